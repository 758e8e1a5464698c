import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { CLI, Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { eventually } from '../support/eventually.js';
import { temporaryDirectory } from '../support/temporary.js';
import { Terminal } from '../support/terminal.js';

const holder = compiler.compile('clients/holder.c', 'holder-for-signals');
const signals = compiler.compile('clients/signals.c', 'signals');

const NUMBERS = constants.signals;
/** glibc's SIGRTMIN and SIGRTMAX. */
const [FIRST_REALTIME, LAST_REALTIME] = [34, 64];
const realtime = Array.from({ length: LAST_REALTIME - FIRST_REALTIME + 1 }, (_, i) => FIRST_REALTIME + i);
const standard = Array.from({ length: 31 }, (_, i) => i + 1);
const DEBUGGER = 'Debugger listening';

const ENDING = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGXCPU'] as const;
/** Those that stop a process, or that no process can ignore. */
const STOPPING: readonly number[] = [NUMBERS.SIGKILL, NUMBERS.SIGSTOP, NUMBERS.SIGTSTP];

const numbersOf = (names: readonly NodeJS.Signals[]): readonly number[] => names.map((name) => NUMBERS[name]);

describe('a daemon', () => {
  test.each(ENDING)('unmounts and ends on %s', async (signal) => {
    const daemon = await Daemon.start();
    daemon.process.kill(signal);
    expect(await daemon.exit()).toBe(0);
    expect(daemon.log).toContain(signal);
    expect(readdirSync(daemon.directory)).toEqual([]);
  });

  test('serves on after all others, for its supervisor and for its engine, and opens no debugger', async () => {
    const daemon = await Daemon.start();
    const { pid, devicePid } = await daemon.status();
    const all = Array.from({ length: LAST_REALTIME }, (_, i) => i + 1);
    const harmless = all.filter((number) => !STOPPING.includes(number));
    for (const number of harmless) process.kill(devicePid, number);
    for (const number of harmless) if (!numbersOf(ENDING).includes(number)) process.kill(pid, number);
    expect(await run(holder, [daemon.device, 'query'])).toMatchObject({ status: 0 });
    expect(await daemon.stop()).toBe(0);
    expect(daemon.log).not.toContain(DEBUGGER);
  });

  test('is served on by its engine while Ctrl-Z stops it', async () => {
    const daemon = await Daemon.start();
    const { pid, devicePid } = await daemon.status();
    expect(groupOf(devicePid)).not.toBe(groupOf(pid));
    expect(await daemon.stop()).toBe(0);
  });

  test('collects orphans, as the first process of a container', async () => {
    const daemon = await Daemon.start(['--no-link'], [], ['unshare', '--pid', '--fork', '--mount-proc']);
    const [first = 0] = childrenOf(daemon.process.pid ?? 0);
    try {
      const [engine] = childrenOf(first);
      const enter = ['--target', `${first}`, '--pid', '--mount', 'sh', '-c', '(sleep 1000 >&- 2>&- &)'];
      expect(await run('nsenter', enter)).toMatchObject({ status: 0 });
      const orphan = childrenOf(first).find((pid) => pid !== engine) ?? 0;
      process.kill(orphan);
      await eventually(() => !childrenOf(first).includes(orphan), 'the end of the orphan');
    } finally {
      process.kill(first, 'SIGTERM');
    }
    expect(await daemon.exit()).toBe(0);
  });
});

test('the seccomp agent ends on SIGHUP, and on none that it is not asked to end by', async () => {
  const socket = join(temporaryDirectory('agent'), 'socket');
  const args = ['--pdeathsig', 'KILL', '--', process.execPath, CLI, 'seccomp-agent', '--socket', socket];
  const agent = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(agent, 'exit');
  const log = text(agent.stderr);
  await once(agent.stdout, 'data');
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGPIPE', 'SIGSEGV', 'SIGHUP'] as const) agent.kill(signal);
  expect(await ended).toEqual([0, null]);
  expect(await log).toMatch(/^\{.*"SIGHUP".*\}\n$/);
});

describe('bus1fs run', () => {
  /** Faults, and what tells the parent of a program about it, are not for the program. */
  const own: readonly NodeJS.Signals[] = [
    ...(['SIGKILL', 'SIGSTOP', 'SIGCHLD'] as const),
    ...(['SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGTRAP', 'SIGSYS'] as const),
  ];

  test('passes on every signal', async () => {
    const program = await Program.start([]);
    const passed = [...standard, ...realtime].filter((number) => !numbersOf([...own, 'SIGTERM']).includes(number));
    for (const number of passed) {
      program.send(number);
      await program.says(number);
    }
    for (let i = 0; i < 3; i++) program.send(LAST_REALTIME);
    for (let i = 0; i < 3; i++) await program.says(LAST_REALTIME);
    program.send(NUMBERS.SIGTERM);
    expect(await program.end()).toBe(7);
    expect(program.errors).toBe('');
  });

  test('passes on once what a terminal sends to both', async () => {
    const terminal = new Terminal();
    const program = await Program.start(['setsid', '--ctty'], terminal);
    terminal.type('\x03');
    await program.says(NUMBERS.SIGINT);
    program.send(NUMBERS.SIGUSR1);
    await program.says(NUMBERS.SIGUSR1);
    program.send(NUMBERS.SIGTERM);
    expect(await program.end()).toBe(7);
    terminal.close();
  });

  test('stops with its program on Ctrl-Z, and goes on with it', async () => {
    const terminal = new Terminal();
    const program = await Program.start(['setsid', '--ctty'], terminal);
    terminal.type('\x1a');
    await program.says(NUMBERS.SIGTSTP);
    await eventually(() => stateOf(program.pid) === 'T', 'the stop');
    program.send(NUMBERS.SIGCONT);
    await program.says(NUMBERS.SIGCONT);
    program.send(NUMBERS.SIGTERM);
    expect(await program.end()).toBe(7);
    terminal.close();
  });

  test('ends as a shell would when its program dies of a real-time signal', async () => {
    const program = await Program.start([], undefined, [
      'sh',
      '-c',
      'echo ready; exec setpriv --pdeathsig KILL sleep 1000',
    ]);
    program.send(LAST_REALTIME);
    expect(await program.end()).toBe(128 + LAST_REALTIME);
  });

  test('collects orphans, as the first process of a container', async () => {
    const script = `
      orphan=$(sleep 1000 >&- & echo $!)
      kill $orphan
      for i in $(seq 1000); do kill -0 $orphan 2>/dev/null || exit 7; sleep 0.01; done`;
    const command = [process.execPath, CLI, 'run', 'sh', '-c', script];
    expect(await run('unshare', ['--pid', '--fork', '--mount-proc', ...command])).toMatchObject({ status: 7 });
  });
});

/** A program under `bus1fs run`, which says what signals it gets. */
class Program {
  errors = '';
  private readonly process: ChildProcessByStdio<null, Readable, Readable>;
  private readonly ended: Promise<unknown>;
  private readonly lines: AsyncIterator<string>;

  private constructor(prefix: readonly string[], terminal: Terminal | undefined, command: readonly string[]) {
    const args = ['--pdeathsig', 'KILL', '--', ...prefix, process.execPath, CLI, 'run', ...command];
    this.process = spawn('setpriv', args, {
      stdio: [(terminal?.fd ?? 'ignore') as 'ignore', 'pipe', 'pipe'],
      detached: terminal === undefined, // no terminal of the tests either
    });
    this.process.stderr.on('data', (data) => {
      this.errors += data;
    });
    this.ended = once(this.process, 'exit');
    this.lines = createInterface(this.process.stdout)[Symbol.asyncIterator]();
  }

  static async start(
    prefix: readonly string[],
    terminal?: Terminal,
    command: readonly string[] = [signals],
  ): Promise<Program> {
    const program = new Program(prefix, terminal, command);
    expect(await program.lines.next()).toMatchObject({ value: 'ready' });
    return program;
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  send(signal: number): void {
    process.kill(this.pid, signal);
  }

  async says(signal: number): Promise<void> {
    expect(await this.lines.next()).toMatchObject({ value: `${signal}` });
  }

  async end(): Promise<number | null> {
    await this.ended;
    return this.process.exitCode;
  }
}

const childrenOf = (pid: number): readonly number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);

/** The fields of /proc/PID/stat after the command, in which there may be anything: state, parent, group and so on. */
const statOf = (pid: number): readonly string[] =>
  readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
const stateOf = (pid: number): string | undefined => statOf(pid)[0];
const groupOf = (pid: number): number => Number(statOf(pid)[2]);
