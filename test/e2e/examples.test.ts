import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { bus1fs, CLI, Daemon, type Outcome, run } from '../support/bus1fs.js';
import { ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const EXAMPLES = join(ROOT, 'examples');
const NAMES = ['hello', 'meet', 'call'] as const;

let directory: string;
let daemon: Daemon;

beforeAll(async () => {
  directory = temporaryDirectory('examples');
  chmodSync(directory, 0o777); // for sockets of other users
  mkdirSync(join(directory, 'path'));
  symlinkSync(CLI, join(directory, 'path/bus1fs'));
  for (const name of NAMES) await compile(name);
  daemon = await Daemon.start();
});

afterAll(async () => {
  expect(await daemon.stop()).toBe(0);
});

/** Compiles an example by the very command that its first comment gives. */
async function compile(name: string): Promise<void> {
  const [command] = readFileSync(join(EXAMPLES, `${name}.c`), 'utf8').match(/(?<=^ \*\t)cc .*$/m) ?? [];
  if (command === undefined) throw new Error(`${name}.c does not say how to compile it`);
  const script = `cd ${EXAMPLES} && PATH=${directory}/path:$PATH && ${command.replace(/-o \S+/, `-o ${directory}/${name}`)}`;
  expect(await run('sh', ['-euc', script]), command).toMatchObject({ status: 0, stdout: '', stderr: '' });
}

const as = (uid: number): string[] => [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];

const runAs = (uid: number, name: string, ...args: readonly string[]): Promise<Outcome> =>
  run('setpriv', [...as(uid), '--', join(directory, name), ...args]);

test('bus1fs include-dir is where they find the header', async () => {
  const { stdout } = await bus1fs('include-dir');
  expect(existsSync(join(stdout.trim(), 'linux/bus1.h'))).toBe(true);
});

describe('hello', () => {
  test.each([0, 1000])('says what happens, run by uid %i', async (uid) => {
    const outcome = await runAs(uid, 'hello', daemon.device);
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout.replace(/pid \d+/, 'pid N')).toBe(
      `the receiver calls its node 0x10; the sender calls its handle to it 0xb
received "hello, bus1" at node 0x10 from uid ${uid}, pid N
the node behind handle 0xb is gone
`,
    );
  });
});

describe('call', () => {
  test.each([0, 1000])('answers, and tells where no answer comes, run by uid %i', async (uid) => {
    expect(await runAs(uid, 'call', daemon.device)).toMatchObject({
      status: 0,
      stdout: '42 / 6: 7\n1 / 0: no answer\n100 / 7: 14\nthe client has left, and so does the service\n',
      stderr: '',
    });
  });
});

test.each(NAMES)('%s names the device that it cannot open', async (name) => {
  const args = name === 'meet' ? ['serve', join(directory, 'unused')] : [];
  const nowhere = join(directory, 'nowhere');
  const stderr = `${name}: ${nowhere}: No such file or directory\n`;
  expect(await runAs(1000, name, ...args, nowhere)).toMatchObject({ status: 1, stderr });
});

describe('meet', () => {
  const services: ChildProcess[] = [];

  afterEach(() => {
    for (const service of services.splice(0)) service.kill('SIGKILL');
  });

  /** Starts the service of uid 1000. Resolves once it waits, to its process and the outcome it will have. */
  async function serve(socket: string, umask: string, device = daemon.device) {
    const script = `umask ${umask}; exec ${directory}/meet serve ${socket} ${device}`;
    const service = spawn('setpriv', [...as(1000), '--', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    services.push(service);
    const output = Promise.all([textOf(service.stdout), textOf(service.stderr)]);
    const ended = Promise.all([once(service, 'exit'), output]).then(([[status], [stdout, stderr]]) => ({
      status,
      stdout,
      stderr,
    }));
    await Promise.race([once(service.stdout, 'data'), ended]);
    return { service, ended };
  }

  async function textOf(stream: Readable): Promise<string> {
    let text = '';
    for await (const data of stream) text += data;
    return text;
  }

  test('two processes of different users meet, and the service hears of both uid and departure', async () => {
    const socket = join(directory, 'open-to-all');
    const { ended } = await serve(socket, '0');
    expect(await runAs(1001, 'meet', 'visit', socket, daemon.device)).toMatchObject({
      status: 0,
      stdout: 'sent\n',
      stderr: '',
    });
    const outcome = await ended;
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout.replace(/pid [1-9]\d*/, 'pid N')).toBe(
      `waiting at ${socket}\n"hello from a visitor" from uid 1001, pid N\nthe last visitor has left\n`,
    );
    expect(existsSync(socket)).toBe(false);
  });

  test('the mode of the socket keeps others out', async () => {
    const socket = join(directory, 'private');
    const { ended } = await serve(socket, '077');
    const stranger = await runAs(1001, 'meet', 'visit', socket, daemon.device);
    expect(stranger).toMatchObject({ status: 1, stdout: '', stderr: `meet: ${socket}: Permission denied\n` });
    expect(await runAs(1000, 'meet', 'visit', socket, daemon.device)).toMatchObject({ status: 0 });
    expect(await ended).toMatchObject({ status: 0, stdout: expect.not.stringContaining('uid 1001') });
  });

  test('a waiting service notices the end of the daemon', async () => {
    const short = await Daemon.start();
    const { ended } = await serve(join(directory, 'orphaned'), '0', short.device);
    expect(await short.stop()).toBe(0);
    expect(await ended).toMatchObject({ status: 1, stderr: 'meet: the daemon of the bus has ended\n' });
  });
});
