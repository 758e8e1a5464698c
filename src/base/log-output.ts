import { write } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { promisify } from 'node:util';
import type { Logger } from 'pino';
import { createLogger, type LogOptions, type LogSink, lineFormat, lossLine } from './log.js';

const writeSome = promisify(write);

const STDERR = 2;
/** How much text may wait for whoever takes it, in characters. */
const CAPACITY = 1 << 20;
/** How long to wait where a descriptor that somebody made non-blocking takes nothing. */
const RETRY_MS = 50;

/**
 * Writes bytes to a descriptor on a thread of Node's pool, so that nothing else waits for it. Resolves to how many were
 * written: all, unless that failed.
 */
export async function writeAll(fd: number, bytes: Uint8Array): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    try {
      done += (await writeSome(fd, bytes, done)).bytesWritten;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') break;
      await sleep(RETRY_MS);
    }
  }
  return done;
}

/**
 * The log of a process that has an event loop, on a descriptor that may take nothing for a while, or ever: a pipe that
 * nobody reads, a terminal after Ctrl-S, a full disk. Lines wait in a queue of bounded size. What does not fit in, or
 * cannot be written, is counted, and that is said in its place as soon as something can be written again.
 */
export class LogOutput implements LogSink {
  private readonly name: string;
  private readonly fd: number;
  private readonly format: (line: string) => string;
  private readonly queue: string[] = [];
  private queued = 0;
  /** Lines lost and not yet said: those before the queue, which failed, and those behind it, which did not fit in. */
  private lostBefore = 0;
  private lostBehind = 0;
  private writing: Promise<void> | undefined;
  /** Whether the last line that was written lacks its end. */
  private isTorn = false;

  /** `name` is whose log it is; `format` makes of each of its lines what is written. */
  constructor(name: string, fd: number, format: (line: string) => string) {
    this.name = name;
    this.fd = fd;
    this.format = format;
  }

  write(line: string): void {
    const text = this.format(line);
    if (this.lostBehind > 0 || this.queued + text.length > CAPACITY) {
      this.lostBehind++;
      return;
    }
    this.queue.push(text);
    this.queued += text.length;
    this.writing ??= this.drain();
  }

  /** Resolves when everything has been written, or failed to be, or `ms` have passed. */
  async flush(ms: number): Promise<void> {
    if (this.lostBefore > 0) this.writing ??= this.drain();
    await Promise.race([this.writing, sleep(ms, undefined, { ref: false })]);
  }

  /** Writes, until everything is written or something cannot be. */
  private async drain(): Promise<void> {
    for (let works = true; works; ) {
      if (this.lostBefore === 0 && this.queue.length === 0) {
        if (this.lostBehind === 0) break;
        [this.lostBefore, this.lostBehind] = [this.lostBehind, 0];
      }
      works = await (this.lostBefore > 0 ? this.tellLoss() : this.putNext());
    }
    this.lostBefore += this.queue.length + this.lostBehind;
    this.queue.length = 0;
    this.queued = 0;
    this.lostBehind = 0;
    this.writing = undefined;
  }

  private async tellLoss(): Promise<boolean> {
    const isWhole = await this.put(this.format(lossLine(this.name, this.lostBefore)));
    if (isWhole) this.lostBefore = 0;
    return isWhole;
  }

  private async putNext(): Promise<boolean> {
    const text = this.queue.shift() ?? '';
    this.queued -= text.length;
    const isWhole = await this.put(text);
    if (!isWhole) this.lostBefore++;
    return isWhole;
  }

  private async put(text: string): Promise<boolean> {
    const bytes = Buffer.from(this.isTorn ? `\n${text}` : text);
    const written = await writeAll(this.fd, bytes);
    const isWhole = written === bytes.length;
    this.isTorn = !isWhole && (this.isTorn || written > 0);
    return isWhole;
  }
}

/** A log on standard error. */
export function openLog(
  name: string,
  { level, format }: LogOptions,
): { readonly output: LogOutput; readonly log: Logger } {
  const output = new LogOutput(name, STDERR, lineFormat(format, isatty(STDERR)));
  return { output, log: createLogger(name, level, output) };
}
