import { isatty } from 'node:tty';
import type { Argv } from 'yargs';
import { LOG_FORMATS, LOG_LEVELS, type LogOptions } from '../base/log.js';

const STDERR = 2;

/** The options of a command that logs. */
export const withLog = <T>(args: Argv<T>) =>
  args
    .option('log-level', {
      describe: 'the least that is logged: debug adds what is done, trace every call',
      choices: LOG_LEVELS,
      default: 'info' as const,
      requiresArg: true,
    })
    .option('log-format', {
      describe: 'pretty on a terminal and json elsewhere, unless given',
      choices: LOG_FORMATS,
      requiresArg: true,
    });

/** What those options say. */
export const logOptions = (argv: {
  logLevel: LogOptions['level'];
  logFormat: LogOptions['format'] | undefined;
}): LogOptions => ({
  level: argv.logLevel,
  format: argv.logFormat ?? (isatty(STDERR) ? 'pretty' : 'json'),
});
