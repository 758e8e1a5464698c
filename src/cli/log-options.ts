import type { Argv } from 'yargs';
import { LOG_FORMATS, LOG_LEVELS, type LogOptions } from '../base/log.js';

/** The options of a command that logs. */
export const withLog = <T>(args: Argv<T>) =>
  args
    .option('log-level', { describe: 'the least that is logged', choices: LOG_LEVELS, default: 'info' as const })
    .option('log-format', { describe: 'pretty on a terminal and json elsewhere, unless given', choices: LOG_FORMATS });

/** What those options say. */
export const logOptions = (argv: {
  logLevel: LogOptions['level'];
  logFormat: LogOptions['format'] | undefined;
}): LogOptions => ({
  level: argv.logLevel,
  format: argv.logFormat ?? (process.stderr.isTTY ? 'pretty' : 'json'),
});
