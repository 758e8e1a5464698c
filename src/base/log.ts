import { hostname } from 'node:os';
import { type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { printable, printableLines } from './printable.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export const LOG_FORMATS = ['json', 'pretty'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
}

/** Takes lines, each with its end, and neither waits nor throws. */
export interface LogSink {
  write(line: string): void;
}

/** Logs lines of JSON to `sink`. */
export const createLogger = (name: string, level: LogLevel, sink: LogSink): Logger => pino({ name, level }, sink);

const WARN = 40;

/** The line that stands in for `lost` others. */
export const lossLine = (name: string, lost: number): string =>
  `${JSON.stringify({
    ...{ level: WARN, time: Date.now(), pid: process.pid, hostname: hostname(), name, lost },
    msg: `lines of the log were lost here, for which there was no room: ${lost}`,
  })}\n`;

/** What makes of a logger's line one to be read, by machines or by people. It holds no control characters of anybody's. */
export function lineFormat(format: LogFormat, colorize: boolean): (line: string) => string {
  if (format === 'json') return (line) => `${printable(line.trimEnd())}\n`;
  const pretty = prettyFactory({ ignore: 'pid,hostname', colorize });
  return (line) => pretty(JSON.parse(line, printableValue));
}

function printableValue(key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return key === 'stack' ? printableLines(value) : printable(value);
}
