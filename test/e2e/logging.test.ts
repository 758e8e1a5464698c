import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { bus1fs, CLI, Daemon, isMounted, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { eventually } from '../support/eventually.js';
import { FullPipe } from '../support/full-pipe.js';
import { temporaryDirectory } from '../support/temporary.js';
import { Terminal } from '../support/terminal.js';

const holder = compiler.compile('clients/holder.c', 'holder-for-logging');

/** A command that runs the one after it with `path` as standard error. */
const stderrTo = (path: string): string[] => ['sh', '-c', `exec "$@" 2>'${path}'`, 'sh'];

/** Starts a daemon whose log goes to `path`, with everything in it that there is to log. */
const startLoggingTo = (path: string): Promise<Daemon> =>
  Daemon.start(['--no-link', '--max-slices', '5', '--log-level', 'trace'], [], stderrTo(path));

/** Makes a daemon warn, and is served all the while. */
async function useBus({ device }: Daemon): Promise<void> {
  expect(await run(holder, [device, 'overfill'])).toMatchObject({ stdout: 'EDQUOT EDQUOT\n' });
}

describe('a log that takes nothing', () => {
  test('is a pipe that nobody reads: the bus goes on, and ends', async () => {
    const pipe = new FullPipe();
    const daemon = await startLoggingTo(pipe.path);
    await useBus(daemon);
    expect(await daemon.stop()).toBe(0);
    pipe.close();
  });

  test('is a terminal after Ctrl-S: the bus goes on, and ends', async () => {
    const terminal = new Terminal();
    terminal.stop();
    const daemon = await startLoggingTo(terminal.path);
    await useBus(daemon);
    expect(await daemon.stop()).toBe(0);
    terminal.close();
  });

  test('is a pipe whose reader has gone: the bus goes on, and ends', async () => {
    const daemon = await Daemon.start(['--no-link', '--max-slices', '5']);
    daemon.process.stderr.destroy();
    await once(daemon.process.stderr, 'close');
    await useBus(daemon);
    expect(await daemon.stop()).toBe(0);
  });

  test('is a full disk: the bus goes on, and says what was lost when there is room', async () => {
    const disk = temporaryDirectory('disk');
    await run('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'none', disk]);
    try {
      writeFileSync(join(disk, 'other'), Buffer.alloc(16384));
      const daemon = await startLoggingTo(join(disk, 'log'));
      await useBus(daemon);
      rmSync(join(disk, 'other'));
      expect(await daemon.stop()).toBe(0);
      const [first = ''] = readFileSync(join(disk, 'log'), 'utf8').trimStart().split('\n');
      expect(JSON.parse(first)).toMatchObject({ name: 'bus1fs', lost: expect.any(Number) });
    } finally {
      await run('umount', ['-l', disk]);
    }
  });

  test('is that of the seccomp agent: it starts and ends', async () => {
    const pipe = new FullPipe();
    const socket = join(temporaryDirectory('agent'), 'socket');
    const command = [process.execPath, CLI, 'seccomp-agent', '--socket', socket, '--log-level', 'trace'];
    const args = ['--pdeathsig', 'KILL', '--', ...stderrTo(pipe.path), ...command];
    const agent = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(agent, 'exit');
    await Promise.race([once(agent.stdout, 'data'), ended]);
    const runtime = createConnection(socket).end('this makes it warn').resume();
    await once(runtime, 'close');
    agent.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(existsSync(socket)).toBe(false);
    pipe.close();
  });
});

test('standard output that takes nothing holds up nothing', async () => {
  const terminal = new Terminal();
  terminal.stop();
  const directory = temporaryDirectory('silent');
  const mount = [process.execPath, CLI, 'mount', directory, '--no-link'];
  const daemon = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...mount], { stdio: ['ignore', terminal.fd, 'pipe'] });
  const ended = once(daemon, 'exit');
  await once(daemon.stderr as Readable, 'data'); // it is mounted
  expect(await run(holder, [join(directory, 'bus1'), 'query'])).toMatchObject({ status: 0 });
  daemon.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(isMounted(directory)).toBe(false);
  terminal.close();
});

test('a log that is read late is whole', async () => {
  const pipe = new FullPipe();
  const daemon = await startLoggingTo(pipe.path);
  await useBus(daemon);
  let text = '';
  await eventually(() => {
    text += pipe.read();
    return text.includes('quota exceeded');
  }, 'the warning');
  expect(await daemon.stop()).toBe(0);
  text += pipe.read();
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const messages = lines.map(({ msg }) => msg);
  expect(messages).toEqual(expect.arrayContaining(['mounted', 'a peer was opened', 'request', 'ending']));
  pipe.close();
});

test('each level adds to the one before', async () => {
  const counts = new Map<string, number>();
  for (const level of ['info', 'debug', 'trace']) {
    const daemon = await Daemon.start(['--no-link', '--log-level', level]);
    await run(holder, [daemon.device, 'query']);
    expect(await daemon.stop()).toBe(0);
    const lines = daemon.log
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string });
    for (const { name } of lines) counts.set(`${level} ${name}`, (counts.get(`${level} ${name}`) ?? 0) + 1);
  }
  const of = (key: string): number => counts.get(key) ?? 0;
  expect(of('debug bus1fs')).toBeGreaterThan(of('info bus1fs'));
  expect(of('debug bus1fs-device')).toBeGreaterThan(of('info bus1fs-device'));
  expect(of('trace bus1fs-device')).toBeGreaterThan(of('debug bus1fs-device'));
});

test('SIGHUP makes a daemon open its log file anew, wherever it was started', async () => {
  const directory = temporaryDirectory('rotate');
  const at = join(directory, 'm');
  const started = await run(
    'sh',
    ['-c', `cd ${directory} && exec "$@"`, 'sh', process.execPath, CLI].concat([
      'mount',
      'm',
      '--no-link',
      '--daemon',
      '--log-file',
      'log',
    ]),
  );
  expect(started).toMatchObject({ status: 0, stdout: `bus1fs ready: ${at}/bus1\n` });
  const { pid } = JSON.parse((await bus1fs('status', at, '--json')).stdout);
  renameSync(join(directory, 'log'), join(directory, 'log.1'));
  try {
    process.kill(pid, 'SIGHUP');
    await eventually(() => existsSync(join(directory, 'log')), 'the new file');
  } finally {
    expect(await run('umount', ['-l', at])).toMatchObject({ status: 0 });
  }
  await eventually(() => !existsSync(`/proc/${pid}`), 'the end');
  expect(readFileSync(join(directory, 'log.1'), 'utf8')).toContain('"mounted"');
  expect(readFileSync(join(directory, 'log'), 'utf8')).toContain('unmounted');
});

describe('what a client is called', () => {
  const EVIL = '\u001b[31m\n"{';

  test('drives no terminal and forges no line', async () => {
    const client = join(temporaryDirectory('evil'), EVIL);
    copyFileSync(holder, client);
    for (const format of ['pretty', 'json']) {
      const daemon = await Daemon.start(['--no-link', '--max-slices', '5', '--log-format', format]);
      expect(await run(client, [daemon.device, 'overfill'])).toMatchObject({ stdout: 'EDQUOT EDQUOT\n' });
      const held = spawn(client, [daemon.device, 'pause'], { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(held.stdout, 'data');
      const shown = [await bus1fs('status', daemon.directory), await bus1fs('status', daemon.directory, '--json')];
      held.kill();
      await once(held, 'exit');
      expect(await daemon.stop()).toBe(0);
      expect(daemon.log).toMatch(/quota exceeded: .*u001b\[31m/);
      for (const text of [daemon.log, ...shown.map(({ stdout }) => stdout)]) {
        expect(text).toContain('u001b[31m');
        expect(text).not.toMatch(/[^\P{Cc}\n]|^"\{/mu);
      }
      expect(JSON.parse(shown[1]?.stdout ?? '').bus1.peers[0].command).toBe(EVIL);
    }
  });
});
