import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { bus1fs, Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const program = compiler.compile('clients/identity.c', 'identity');
const recycledIds = compiler.compile('clients/recycled-ids.c', 'recycled-ids');
const OVERFLOW = 65534;
const SILENT_SUCCESS = { status: 0, signal: null, stdout: '', stderr: '' };

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
});

afterAll(async () => {
  expect(await daemon.stop()).toBe(0);
});

/** Runs a receiver under the command `receiver`, and under that a sender under `sender`. Returns who each says was sending. */
async function converse(receiver: readonly string[], sender: readonly string[]) {
  const [command = '', ...args] = [
    ...receiver,
    program,
    daemon.device,
    'receive',
    ...sender,
    program,
    daemon.device,
    'send',
  ];
  const outcome = await run(command, args);
  const numbers = (who: string): number[] =>
    (new RegExp(`${who} sees (.*)`).exec(outcome.stdout)?.[1] ?? `${outcome.stdout}${outcome.stderr}`)
      .split(' ')
      .map(Number);
  return { sent: numbers('sender'), received: numbers('receiver') };
}

const PID_NS = ['unshare', '--pid', '--fork'];
/** With a /proc that shows it, and mounts that the outside sees all the same. */
const OWN_PROC = [
  ...PID_NS,
  '--mount',
  '--propagation',
  'unchanged',
  'sh',
  '-c',
  'mount --make-private /proc && mount -t proc proc /proc && exec "$0" "$@"',
];
const asUser = (id: number): string[] => ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
const ENV = ['env'];

describe('credentials', () => {
  test('in one namespace they are what the sender sees itself', async () => {
    const { sent, received } = await converse(ENV, ENV);
    expect(received).toEqual(sent);
  });

  test('of a process in a nested pid namespace, as the outer one sees it', async () => {
    const { sent, received } = await converse(ENV, PID_NS);
    expect(sent[2]).toBe(1);
    const [uid, gid, pid, tid] = received;
    expect([uid, gid]).toEqual([0, 0]);
    expect(pid).toBeGreaterThan(1);
    expect(tid).toBe(pid);
  });

  test('inside one nested pid namespace', async () => {
    const { sent, received } = await converse(PID_NS, ENV);
    expect(sent[2]).toBe(2);
    expect(received).toEqual(sent);
  });

  test('two and three levels deep', async () => {
    // each unshare is a process in the receiver's namespace too, and the receiver itself is process 1
    expect((await converse(PID_NS, PID_NS)).received.slice(2)).toEqual([3, 3]);
    expect((await converse([...PID_NS, ...PID_NS], [...PID_NS, ...PID_NS])).received.slice(2)).toEqual([4, 4]);
    expect((await converse([...PID_NS, ...PID_NS, ...PID_NS], ENV)).received.slice(2)).toEqual([2, 2]);
  });

  test('of another user', async () => {
    const { sent, received } = await converse(ENV, asUser(4321));
    expect(sent.slice(0, 2)).toEqual([4321, 4321]);
    expect(received).toEqual(sent);
  });

  test('as a user namespace of the receiver maps them', async () => {
    const mapped = ['unshare', '--user', '--map-root-user'];
    expect((await converse([...asUser(4321), ...mapped], ENV)).received.slice(0, 2)).toEqual([0, 0]);
  });

  test.each([0, 7, 100, 421, 1099])('of user %i of a namespace that maps ranges of ids', async (id) => {
    const mapped = [program, daemon.device, 'map', '0 0 1\n100 4000 1000\n7 70000 1\n'];
    const { sent, received } = await converse(mapped, asUser(id));
    expect(sent.slice(0, 2)).toEqual([id, id]);
    expect(received).toEqual(sent);
  });

  test('what a user namespace does not map reads as the overflow id', async () => {
    const unmapped = ['unshare', '--user'];
    expect((await converse([...asUser(4321), ...unmapped], ENV)).received.slice(0, 2)).toEqual([OVERFLOW, OVERFLOW]);
  });

  test('of a sender in a user namespace, as the receiver outside sees it', async () => {
    const { sent, received } = await converse(ENV, [...asUser(4321), 'unshare', '--user', '--map-root-user']);
    expect(sent.slice(0, 2)).toEqual([0, 0]);
    expect(received.slice(0, 2)).toEqual([4321, 4321]);
  });
});

test('a caller that the daemon cannot see gets EPERM, and one line says why', async () => {
  // This daemon is in a pid namespace of its own, so its clients out here are not visible to it.
  const shared = temporaryDirectory('shared');
  await run('mount', ['--bind', '--make-shared', shared, shared]);
  onTestFinished(async () => {
    await run('umount', ['-l', shared]);
  });
  const contained = await Daemon.startAt(join(shared, 'm'), ['--no-link'], [], OWN_PROC);
  for (let i = 0; i < 2; i++)
    expect((await run(program, [contained.device, 'receive', 'true'])).stdout).toContain('EPERM');
  expect(contained.log.match(/run bus1fs in the pid namespace of the host/g)).toHaveLength(1);
  expect((await bus1fs('umount', contained.directory)).status).toBe(0);
  expect(await contained.exit()).toBe(0);
});

describe('ids that come back', () => {
  // Whoever sets the next id sets it for all of the namespace, so daemon and clients have one for themselves.
  let contained: Daemon;
  let target: readonly string[];

  beforeAll(async () => {
    contained = await Daemon.start(['--no-link'], [], [...PID_NS, '--mount-proc']);
    const { pid } = contained.process;
    const init = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    target = ['--target', init, '--mount'];
  });

  afterAll(async () => {
    expect(await run('nsenter', [...target, '--', 'umount', contained.directory])).toMatchObject({ status: 0 });
    expect(await contained.exit()).toBe(0);
  });

  const comeBack = (when: string) => run('nsenter', [...target, '--pid', '--', recycledIds, contained.device, when]);

  test('after a while', async () => {
    expect(await comeBack('after_a_while')).toEqual(SILENT_SUCCESS);
  });

  test('at once', async () => {
    expect(await comeBack('at_once')).toEqual(SILENT_SUCCESS);
  });
});
