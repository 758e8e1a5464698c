import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { Engine } from './engine.js';

const IMAGE = 'bus1-clients';
const CLIENTS = ['peers', 'handles', 'messages', 'processes', 'descriptors'] as const;

const programs = new Map(
  [...CLIENTS, 'demo', 'holder', 'meet'].map((name) => [name, compiler.compile(`clients/${name}.c`, name, '-static')]),
);

let engine: Engine;

beforeAll(async () => {
  engine = await Engine.start();
  await engine.makeImage(IMAGE, [...programs.values()]);
}, 120_000);

afterAll(async () => {
  await engine.stop();
}, 60_000);

describe('a daemon on the host', () => {
  let daemon: Daemon;
  let volume: string[];

  beforeAll(async () => {
    daemon = await Daemon.start();
    volume = ['--volume', `${daemon.directory}:/run/bus1`];
  });

  afterAll(async () => {
    expect(await daemon.stop()).toBe(0);
  });

  /** Runs a command in a container with nothing but the device's directory added to Docker's defaults. */
  const inContainer = (...command: readonly string[]) =>
    engine.docker('run', '--rm', '--network', 'none', ...volume, IMAGE, ...command);

  test('serves a program that opens /dev/bus1 in a container', async () => {
    const outcome = await inContainer('sh', '-c', 'ln -s /run/bus1/bus1 /dev/bus1 && demo');
    expect(outcome).toMatchObject({ status: 0, stdout: expect.stringContaining('all clients have left') });
  });

  test.each(CLIENTS)('every case of %s passes in a container', async (client) => {
    const program = programs.get(client) ?? '';
    const cases = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
    const script = cases
      .filter((name) => !NEEDS_MORE.has(name))
      .map((name) => `${basename(program)} /run/bus1/bus1 ${name} || echo FAILED ${name}`)
      .join('; ');
    expect(await inContainer('sh', '-c', script)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  test('two containers exchange messages and descriptors, and see each other as their namespaces allow', async () => {
    const meeting = ['--volume', `${mkdtempSync(join(tmpdir(), 'bus1fs-meeting-'))}:/meeting`];
    const run = (user: string, role: string) =>
      engine.docker(
        ...['run', '--rm', '--network', 'none', '--user', user, ...volume, ...meeting, IMAGE],
        ...['meet', '/run/bus1/bus1', '/meeting/socket', role],
      );
    const [server, visitor] = await Promise.all([run('0', 'serve'), run('0', 'visit')]);
    // the sender is in a sibling pid namespace, which the server's cannot see
    expect(server).toMatchObject({ status: 0, stdout: 'uid 0 pid 0 text hello\n', stderr: '' });
    expect(visitor).toMatchObject({ status: 0, stdout: 'through the pipe\n', stderr: '' });
    rmSync(meeting[1]?.split(':')[0] ?? '', { recursive: true });
  });

  test('a container cannot read the status of the daemon', async () => {
    const outcome = await inContainer('sh', '-c', 'ls -l /run/bus1 && busybox cat /run/bus1/status');
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining('Permission denied') });
  });
});

/** Cases that need what Docker does not give to a container by default: clone(CLONE_NEWPID). */
const NEEDS_MORE = new Set(['an_invisible_sender_is_0']);

test('a container outlives a restart of the daemon, if the mount may propagate to it', async () => {
  // A mount reaches a container only through a mount point that is shared.
  const shared = mkdtempSync(join(tmpdir(), 'bus1fs-shared-'));
  const at = join(shared, 'bus1');
  mkdirSync(at);
  await run('mount', ['--bind', shared, shared]);
  await run('mount', ['--make-shared', shared]);
  try {
    const first = await Daemon.startAt(at);
    const options = ['--detach', '--network', 'none', '--volume', `${shared}:/shared:rslave`];
    const started = await engine.docker('run', ...options, IMAGE, 'sleep', '1000');
    const id = started.stdout.trim();
    const query = () => engine.docker('exec', id, 'holder', '/shared/bus1/bus1', 'query');
    expect((await query()).status).toBe(0);
    first.process.kill('SIGTERM');
    expect(await first.exit()).toBe(0);
    expect((await query()).status).not.toBe(0);
    const second = await Daemon.startAt(at);
    expect(await query()).toMatchObject({ status: 0, stdout: '16384 65536 16777216 4096\n' });
    await engine.docker('rm', '--force', id);
    expect(await second.stop()).toBe(0);
  } finally {
    await run('umount', ['-l', shared]);
    rmSync(shared, { recursive: true });
  }
});
