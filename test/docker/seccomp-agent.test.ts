import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bus1fs, CLI, Daemon, type Outcome, run } from '../support/bus1fs.js';
import { compiler, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const disconnect = compiler.compile('clients/disconnect.c', 'disconnect', '-static');
const directory = temporaryDirectory('agent');
const socket = join(directory, 'socket');
const profile = JSON.parse(readFileSync(join(ROOT, 'docker/seccomp.json'), 'utf8')) as object;

let daemon: Daemon;
let agent: ReturnType<typeof spawn>;
let log = '';
let lastContainer = 0;

beforeAll(async () => {
  daemon = await Daemon.start();
  const started = spawn('setpriv', ['--pdeathsig', 'TERM', CLI, 'seccomp-agent', '--socket', socket], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  agent = started;
  started.stderr.on('data', (data: Buffer) => {
    log += data.toString();
  });
  const [line] = (await once(started.stdout, 'data')) as [Buffer];
  expect(line.toString()).toBe(`bus1fs seccomp-agent ready: ${socket}\n`);
});

afterAll(async () => {
  agent.kill('SIGTERM');
  expect(await once(agent, 'exit')).toEqual([0, null]);
  expect(existsSync(socket)).toBe(false);
  expect(await daemon.stop()).toBe(0);
});

/** Runs a case of the client in a container that runc makes of a bundle, under the profile. */
async function inContainer(name: string): Promise<Outcome> {
  const id = `bus1fs-test-${process.pid}-${++lastContainer}`;
  const bundle = join(directory, id);
  for (const path of ['proc', 'dev', 'bus']) mkdirSync(join(bundle, 'rootfs', path), { recursive: true });
  copyFileSync(disconnect, join(bundle, 'rootfs/disconnect'));
  const config = {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: ['/disconnect', '/bus/bus1', name], cwd: '/', noNewPrivileges: true },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/bus', type: 'bind', source: daemon.directory, options: ['rbind'] },
    ],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'network' }],
      seccomp: { ...profile, listenerPath: socket },
    },
  };
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
  const runc = (...args: readonly string[]) => run('runc', ['--root', join(directory, 'runc'), ...args]);
  const outcome = await runc('run', '--bundle', bundle, id);
  await runc('delete', '--force', id); // if it was killed for taking too long
  return outcome;
}

const SILENCE = { status: 0, signal: null, stdout: '', stderr: '' };

describe('bus1fs seccomp-agent', () => {
  test.each(['null_is_allowed', 'everything_else_is_as_ever', 'by_threads_and_children'])('%s', async (name) => {
    expect(await inContainer(name)).toEqual(SILENCE);
  });

  test('serves containers at the same time and lets go of each', async () => {
    const outcomes = await Promise.all(Array.from({ length: 3 }, () => inContainer('by_threads_and_children')));
    for (const outcome of outcomes) expect(outcome).toEqual(SILENCE);
    const containers = (message: string): number => log.split(message).length - 1;
    await expect.poll(() => containers('the container has ended')).toBe(containers('serving a container'));
  });

  test('survives nonsense', async () => {
    for (const nonsense of ['{"fds": ["seccompFd"], "state"', '{"fds": 5}', 'null', '']) {
      const connection = createConnection(socket, () => connection.end(nonsense));
      await once(connection, 'close');
    }
    await expect.poll(() => log).toContain('not understood');
    expect(await inContainer('null_is_allowed')).toEqual(SILENCE);
  });

  test('does not take the socket of another one', async () => {
    expect(await bus1fs('seccomp-agent', '--socket', socket)).toMatchObject({
      status: 1,
      stderr: `bus1fs: somebody listens at ${socket} already\n`,
    });
  });
});
