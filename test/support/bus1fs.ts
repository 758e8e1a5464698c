import { type ChildProcess, type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonStatus } from '../../src/engine/daemon-status.js';
import { type Capability, NEEDED_CAPABILITIES } from '../../src/supervisor/capabilities.js';
import { ROOT } from './compile.js';
import { temporaryDirectory } from './temporary.js';

export const CLI = join(ROOT, 'dist/cli/main.js');

const READY_TIMEOUT_MS = 15_000;
const END_TIMEOUT_MS = 5_000;

/** How a program ended, and what it said. */
export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, or kills it and says so after `timeout` ms. */
export function run(program: string, args: readonly string[], timeout = 30_000): Promise<Outcome> {
  return new Promise((resolve) => {
    const child: ChildProcess = execFile(
      program,
      [...args],
      { timeout, killSignal: 'SIGKILL', maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        const late = error?.killed ? `\n${program} was killed after ${timeout} ms` : '';
        resolve({ status: child.exitCode, signal: child.signalCode, stdout, stderr: stderr + late });
      },
    );
  });
}

/** Runs `bus1fs` with these arguments. */
export const bus1fs = (...args: readonly string[]): Promise<Outcome> => run(process.execPath, [CLI, ...args]);

/** The command to run another one under with these capabilities and no others. */
export const withOnly = (capabilities: readonly Capability[]): string[] => {
  const names = capabilities.map((name) => `+${name.slice('CAP_'.length).toLowerCase()}`);
  return ['setpriv', `--bounding-set=${['-all', ...names].join()}`, '--inh-caps=-all', '--'];
};

/** A daemon with a temporary mount of its own, and, unless told otherwise, just the capabilities that the documents name. */
export class Daemon {
  readonly directory: string;
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  /** What it has logged so far, and what it has said when it was ready. */
  log = '';
  announcement = '';
  private readonly ended: Promise<unknown>;

  private constructor(
    directory: string,
    args: readonly string[],
    nodeArgs: readonly string[],
    prefix: readonly string[],
    capabilities: readonly Capability[],
  ) {
    this.directory = directory;
    // setpriv ends the daemon when this process dies, however it does.
    const node = [process.execPath, ...nodeArgs, CLI, 'mount', directory, ...args];
    this.process = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...withOnly(capabilities), ...prefix, ...node], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stderr.on('data', (data: Buffer) => {
      this.log += data.toString();
    });
    this.ended = once(this.process, 'exit');
  }

  /**
   * Mounts on a temporary directory, without a link unless `args` say otherwise; node itself takes `nodeArgs`, and
   * `prefix` is a command that runs the whole with `capabilities`.
   */
  static start(
    args: readonly string[] = ['--no-link'],
    nodeArgs: readonly string[] = [],
    prefix: readonly string[] = [],
    capabilities: readonly Capability[] = NEEDED_CAPABILITIES,
  ): Promise<Daemon> {
    return Daemon.startAt(temporaryDirectory('mount'), args, nodeArgs, prefix, capabilities);
  }

  static async startAt(
    directory: string,
    args: readonly string[] = ['--no-link'],
    nodeArgs: readonly string[] = [],
    prefix: readonly string[] = [],
    capabilities: readonly Capability[] = NEEDED_CAPABILITIES,
  ): Promise<Daemon> {
    const daemon = new Daemon(directory, args, nodeArgs, prefix, capabilities);
    const ready = once(daemon.process.stdout, 'data').then(([text]) => {
      daemon.announcement = String(text);
      return daemon.announcement.replace(/(?<=\n).*/s, '');
    });
    const line = await Promise.race([
      ready,
      daemon.ended.then(() => 'ended'),
      sleep(READY_TIMEOUT_MS, 'timed out', { ref: false }),
    ]);
    if (line !== `bus1fs ready: ${daemon.device}\n`) {
      await daemon.kill();
      throw new Error(`bus1fs did not get ready: ${line}\n${daemon.log}`);
    }
    return daemon;
  }

  get device(): string {
    return join(this.directory, 'bus1');
  }

  /** Ends it as a service manager would. Resolves to its exit status once no mount is left. */
  async stop(): Promise<number | null> {
    this.process.kill('SIGTERM');
    const late = await Promise.race([this.ended, sleep(END_TIMEOUT_MS, 'late', { ref: false })]);
    if (late === 'late') {
      await this.kill();
      throw new Error(`bus1fs did not end within ${END_TIMEOUT_MS} ms of SIGTERM\n${this.log}`);
    }
    if (isMounted(this.directory)) {
      await run('umount', ['-l', this.directory]);
      throw new Error(`bus1fs left its mount behind\n${this.log}`);
    }
    rmdirSync(this.directory);
    return this.process.exitCode;
  }

  /** What `bus1fs status` reports. */
  async status(): Promise<DaemonStatus> {
    return JSON.parse((await bus1fs('status', this.directory, '--json')).stdout) as DaemonStatus;
  }

  /** How many descriptors the device process has open. */
  async descriptors(): Promise<number> {
    return readdirSync(`/proc/${(await this.status()).devicePid}/fd`).length;
  }

  private async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
    await run('umount', ['-l', this.directory]);
  }

  /** Resolves to its exit status when it has ended by itself. */
  async exit(): Promise<number | null> {
    await this.ended;
    return this.process.exitCode;
  }
}

export const isMounted = (directory: string): boolean =>
  readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${directory} `);
