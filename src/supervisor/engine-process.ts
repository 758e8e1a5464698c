import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { LogSink } from '../base/log.js';
import { ALARM_FD, type EngineConfig, LOG_FD } from '../engine/engine-config.js';

/** How long the engine may take to notice the unmount before it is killed, and then to be gone. */
const END_TIMEOUT_MS = 500;
const KILL_TIMEOUT_MS = 1000;
/**
 * On one CPU, helper threads of the garbage collector only get in the way; and the calls of the hot path are many small
 * functions, of which V8 by default stops inlining too early (a tenth of the time spent in JavaScript).
 */
const NODE_OPTIONS = ['--enable-source-maps', '--single-threaded-gc', '--max-inlined-bytecode-size-cumulative=4000'];
/** Keeps Node from opening its debugger before a program of ours can see to that itself, where it has an option for it. */
export const NO_DEBUGGER = ['--disable-sigusr1'].filter((option) => process.allowedNodeEnvironmentFlags.has(option));
const ENGINE = fileURLToPath(new URL('../engine/engine.js', import.meta.url));
/** A whole line of a logger. */
const LOG_LINE = /^\{"level":.*\}$/;

/** Why serving ended. */
export interface End {
  readonly wanted: boolean;
  readonly why: string;
}

/** What the engine inherits. */
export interface EngineDescriptors {
  /** /dev/fuse, mounted. */
  readonly fuse: number;
  /** Its end of the heartbeat. */
  readonly heartbeat: number;
  /** What it leaves to a successor. */
  readonly ledger: number;
  /** An eventfd for its hands. */
  readonly hands: number;
}

/** The process that serves a mount. */
export class EngineProcess {
  /** Resolves when it ends by itself or is killed: with status 0, that is when somebody has unmounted. */
  readonly ended: Promise<End>;
  /** Where it says that traffic begins. */
  readonly alarm: Readable;
  readonly pid: number | undefined;
  private readonly child: ChildProcess;
  private readonly closed: Promise<unknown>;
  private giveUp = (): void => {};

  /** Starts it with these descriptors. What it logs goes to `sink`. */
  constructor(config: EngineConfig, { fuse, heartbeat, ledger, hands }: EngineDescriptors, sink: LogSink, log: Logger) {
    const args = [...process.execArgv, ...NO_DEBUGGER, ...NODE_OPTIONS, ENGINE, JSON.stringify(config)];
    this.child = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'pipe', fuse, heartbeat, 'pipe', ledger, hands],
      cwd: '/',
      detached: true, // what a terminal sends its jobs, Ctrl-Z too, is not for the engine
    });
    this.pid = this.child.pid;
    const stdio = this.child.stdio as readonly unknown[];
    this.alarm = stdio[ALARM_FD] as Readable;
    relayLog(stdio[LOG_FD] as Readable, sink, log);
    this.closed = new Promise((closed) => this.child.once('close', closed));
    this.ended = new Promise((end) => {
      this.giveUp = () => end({ wanted: false, why: 'the device process hangs, and does not die' });
      this.child.once('exit', (code, signal) => end(engineEnd(code, signal)));
      this.child.once('error', (error) =>
        end({ wanted: false, why: `the device process did not start: ${error.message}` }),
      );
    });
  }

  /** Has it ended, as far as it is up to us: one that is stuck in the kernel is given up. */
  kill(): void {
    this.child.kill('SIGKILL');
    setTimeout(() => this.giveUp(), KILL_TIMEOUT_MS).unref();
  }

  /** Waits for its end, after the unmount, and helps it along. False if it cannot be killed, which takes a second and a half. */
  async end(): Promise<boolean> {
    if (await this.isClosedWithin(END_TIMEOUT_MS)) return true;
    this.kill();
    return this.isClosedWithin(KILL_TIMEOUT_MS);
  }

  private isClosedWithin(ms: number): Promise<boolean> {
    return Promise.race([this.closed.then(() => true), sleep(ms, false)]);
  }
}

const engineEnd = (code: number | null, signal: NodeJS.Signals | null): End =>
  code === 0
    ? { wanted: true, why: 'unmounted' }
    : { wanted: false, why: `the device process died: ${signal ?? `exit status ${code}`}` };

/** Passes on lines of JSON, and logs whatever else is said: V8's and Node's last words. */
function relayLog(stream: Readable, sink: LogSink, log: Logger): void {
  let rest = '';
  const relay = (line: string): void => {
    if (LOG_LINE.test(line)) sink.write(`${line}\n`);
    else if (line !== '') log.error({ text: line }, 'the device process says');
  };
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) relay(line);
  });
  stream.on('end', () => relay(rest));
}
