import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { unmountAll } from './mount-point.js';

const READY_TIMEOUT_MS = 15_000;
const END_TIMEOUT_MS = 5_000;
/** Of pino's levels. */
const WARN = 40;

/** `bus1fs mount` as a user starts it, on a directory for a trial. It does not outlive this process. */
export class TrialDaemon {
  readonly device: string;
  private readonly directory: string;
  private readonly process: ChildProcessByStdio<null, Readable, Readable>;
  private readonly ended: Promise<unknown>;
  private log = '';
  /** Whether abort() was called. */
  isAborted = false;

  /** `command` is bus1fs. */
  constructor(command: readonly string[], directory: string) {
    this.directory = directory;
    this.device = `${directory}/bus1`;
    const [program = '', ...args] = [...command, 'mount', directory, '--no-link', '--log-format', 'json'];
    // A service manager that waits for this process shall not hear that the trial is ready.
    const { NOTIFY_SOCKET: _, ...env } = process.env;
    this.process = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    this.process.stderr.on('data', (data) => {
      this.log += data;
    });
    this.ended = once(this.process, 'close');
    const kill = () => this.process.kill('SIGTERM');
    process.once('exit', kill);
    this.ended.finally(() => process.off('exit', kill));
  }

  /** Resolves to whether it serves. */
  isReady(): Promise<boolean> {
    const ready = once(this.process.stdout, 'data').then(() => true);
    return Promise.race([ready, this.ended.then(() => false), sleep(READY_TIMEOUT_MS, false, { ref: false })]);
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM');
    const isLate = await Promise.race([this.ended.then(() => false), sleep(END_TIMEOUT_MS, true, { ref: false })]);
    if (isLate) this.abort();
  }

  /** Ends it whatever state it is in, and so the calls that wait for its answer. */
  abort(): void {
    this.isAborted = true;
    this.process.kill('SIGKILL');
    unmountAll(this.directory);
  }

  /** What it complained of last; empty if it did not. */
  complaint(): string {
    return this.log.split('\n').map(complaintIn).filter(Boolean).at(-1) ?? '';
  }
}

/** The message of a line of its log that is at least a warning, or of its last line, which is plain text. */
function complaintIn(line: string): string {
  if (!line.startsWith('{')) return line.replace(/^bus1fs: /, '');
  const { level, msg } = JSON.parse(line) as { level: number; msg: string };
  return level >= WARN ? msg : '';
}
