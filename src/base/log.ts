import { type Logger, type LoggerOptions, pino } from 'pino';
import pretty from 'pino-pretty';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export const LOG_FORMATS = ['json', 'pretty'] as const;

export interface LogOptions {
  readonly level: (typeof LOG_LEVELS)[number];
  readonly format: (typeof LOG_FORMATS)[number];
}

const STDERR = 2;

/** Logs to standard error, synchronously: neither of the two processes loses its last words. */
export function createLogger(name: string, { level, format }: LogOptions): Logger {
  const options: LoggerOptions = { name, level };
  if (format === 'json') return pino(options, pino.destination({ fd: STDERR, sync: true }));
  return pino(options, pretty({ destination: STDERR, sync: true, ignore: 'pid,hostname' }));
}
