import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DaemonStatus } from '../../src/engine/daemon-status.js';
import { bus1fsAs } from '../support/as-user.js';
import { bus1fs, Daemon, isMounted, run } from '../support/bus1fs.js';
import { compiler, INCLUDE_DIR } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const holder = compiler.compile('clients/holder.c', 'holder');
const siblings = compiler.compile('clients/siblings.c', 'siblings-for-daemon');
const handles = compiler.compile('clients/handles.c', 'handles-for-daemon');

let directory: string;

beforeEach(() => {
  directory = temporaryDirectory('daemon');
});

afterEach(async () => {
  while (isMounted(directory)) await run('umount', ['-l', directory]);
  rmSync(directory, { recursive: true, force: true });
});

/** Whether a process runs; one that has ended and is not yet collected by its parent does not. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

async function eventually(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (condition()) return;
    await sleep(10);
  }
  throw new Error(`${what}: not within 5 s`);
}

/** A client that keeps a peer open and waits in `poll` or for a signal; resolves once it does. */
async function hold(device: string, how: 'poll' | 'pause') {
  const child = spawn(holder, [device, how], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');
  return { pid: child.pid, kill: () => child.kill(), exited };
}

const status = async (at: string): Promise<DaemonStatus> =>
  JSON.parse((await bus1fs('status', at, '--json')).stdout) as DaemonStatus;

describe('mount', () => {
  test('creates the directory, serves the device, and SIGTERM takes everything back', async () => {
    const daemon = await Daemon.startAt(join(directory, 'a/b'));
    expect(lstatSync(daemon.device).isCharacterDevice()).toBe(true);
    const { pid, devicePid } = await status(daemon.directory);
    expect(await daemon.stop()).toBe(0);
    expect([isAlive(pid), isAlive(devicePid)]).toEqual([false, false]);
  });

  test('is the same through a symlink, and in a directory with odd characters', async () => {
    const odd = join(directory, 'a b\\c\td');
    symlinkSync(directory, join(directory, 'link-to-itself'));
    const daemon = await Daemon.startAt(odd);
    const through = join(directory, 'link-to-itself', 'a b\\c\td');
    expect(await bus1fs('mount', through, '--no-link')).toMatchObject({
      stderr: expect.stringContaining('mounted at'),
    });
    // handing a handle to another descriptor needs the device number of the mount
    const outcome = await run(handles, [`${through}/bus1`, 'release_counts_user_references']);
    expect(outcome).toMatchObject({ status: 0, stdout: '' });
    expect((await bus1fs('umount', through)).status).toBe(0);
    expect(await daemon.exit()).toBe(0);
  });

  test('ends by SIGINT to its process group, also with clients open and blocked', async () => {
    const daemon = await Daemon.startAt(join(directory, 'm'));
    const poller = await hold(daemon.device, 'poll');
    const pauser = await hold(daemon.device, 'pause');
    const { pid, devicePid } = await status(daemon.directory);
    for (const each of [devicePid, pid]) process.kill(each, 'SIGINT');
    expect(await daemon.exit()).toBe(0);
    expect(isMounted(daemon.directory)).toBe(false);
    expect(await poller.exited).toEqual([0, null]); // it saw POLLERR
    pauser.kill();
    await pauser.exited;
  });

  test('makes the link, keeps what is not ours, and removes its own at the end', async () => {
    const link = join(directory, 'link');
    const daemon = await Daemon.startAt(join(directory, 'm'), ['--link', link]);
    expect(readlinkSync(link)).toBe(daemon.device);
    expect(lstatSync(daemon.device).isCharacterDevice()).toBe(true);
    expect(await daemon.stop()).toBe(0);
    expect(existsSync(link)).toBe(false);

    for (const [found, put] of [
      ['a file', () => writeFileSync(link, 'mine')],
      ['a symlink to /dev/null', () => symlinkSync('/dev/null', link)],
    ] as const) {
      put();
      const other = await Daemon.startAt(join(directory, 'm'), ['--link', link]);
      expect(other.announcement).toContain(`the link ${link} was not made: ${found} is there`);
      expect(other.log).toContain('left alone');
      expect(other.log).not.toMatch(/"link":[^\n]*"msg":"mounted"/);
      expect(await other.stop()).toBe(0);
      expect(lstatSync(link)).toBeTruthy();
      rmSync(link);
    }
  });

  test('takes over a link that a killed daemon left', async () => {
    const link = join(directory, 'link');
    symlinkSync(join(directory, 'm/bus1'), link);
    const daemon = await Daemon.startAt(join(directory, 'm'), ['--link', link]);
    expect(await daemon.stop()).toBe(0);
    expect(existsSync(link)).toBe(false);
  });

  test('clears a dead mount and says so', async () => {
    const first = await Daemon.startAt(join(directory, 'm'));
    const { pid, devicePid } = await status(first.directory);
    process.kill(pid, 'SIGKILL');
    await first.exit();
    await eventually(() => !isAlive(devicePid), 'the device process follows its supervisor');
    expect(isMounted(first.directory)).toBe(true);
    expect((await bus1fs('status', first.directory)).stderr).toContain('bus1fs umount');

    const second = await Daemon.startAt(join(directory, 'm'));
    expect(second.log).toContain('cleared a dead bus1fs mount');
    expect(await second.stop()).toBe(0);
  });

  test('refuses a directory that is in use', async () => {
    const daemon = await Daemon.startAt(join(directory, 'm'));
    const again = await bus1fs('mount', daemon.directory, '--no-link');
    expect(again).toMatchObject({ status: 1, stderr: expect.stringContaining('bus1fs umount') });
    expect(await daemon.stop()).toBe(0);

    mkdirSync(join(directory, 'full'));
    writeFileSync(join(directory, 'full/file'), '');
    expect(await bus1fs('mount', join(directory, 'full'), '--no-link')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('not empty'),
    });
    expect(await bus1fs('mount', '/proc', '--no-link')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('mount point of type proc'),
    });
    for (const wrong of [
      [join(directory, 'full/file'), '--no-link'],
      [join(directory, 'm'), '--link', '/proc/nowhere/link'],
    ]) {
      const outcome = await bus1fs('mount', ...wrong);
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).not.toContain('    at ');
    }
    expect(isMounted(join(directory, 'm'))).toBe(false);
  });

  test('ends with an error, and without a mount, when the device process dies and no other one shall take over', async () => {
    const daemon = await Daemon.startAt(join(directory, 'm'), ['--no-link', '--no-restart']);
    const client = await hold(daemon.device, 'poll');
    process.kill((await status(daemon.directory)).devicePid, 'SIGKILL');
    expect(await daemon.exit()).toBe(1);
    expect(daemon.log).toContain('the device process died');
    expect(daemon.log).toContain('SIGKILL');
    expect(isMounted(daemon.directory)).toBe(false);
    expect(await client.exited).toEqual([0, null]);
  });

  test('--daemon returns once the device is usable, and logs to a file', async () => {
    const at = join(directory, 'm');
    const log = join(directory, 'log');
    const options = ['--no-link', '--daemon', '--log-file', log];
    const started = await bus1fs('mount', at, ...options);
    expect(started).toMatchObject({ status: 0, stdout: `bus1fs ready: ${at}/bus1\n`, stderr: '' });
    const { pid } = await status(at);
    expect((await bus1fs('umount', at)).status).toBe(0);
    expect(isAlive(pid)).toBe(false);
    expect(readFileSync(log, 'utf8')).toContain('mounted');
    const failed = await bus1fs('mount', '/proc', ...options);
    expect(failed).toMatchObject({ status: 1, stderr: expect.stringMatching(/^bus1fs: \/proc is a mount point.*\n$/) });
  });

  test('notifies systemd', async () => {
    const socket = join(directory, 'notify');
    const listener = spawn('python3', ['-c', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    const heard: string[] = [];
    listener.stdout.on('data', (data: Buffer) => heard.push(...data.toString().trim().split('\n')));
    await eventually(() => existsSync(socket), 'the listener');
    process.env['NOTIFY_SOCKET'] = socket;
    try {
      const daemon = await Daemon.startAt(join(directory, 'm'));
      await eventually(() => heard.includes('READY=1'), 'READY=1');
      expect(await daemon.stop()).toBe(0);
      await eventually(() => heard.includes('STOPPING=1'), 'STOPPING=1');
    } finally {
      delete process.env['NOTIFY_SOCKET'];
      listener.kill();
    }
  });

  test('the limits are those of the options', async () => {
    const options = [
      '--max-slices',
      '11',
      '--max-handles',
      '22',
      '--max-inflight-bytes',
      '33',
      '--max-inflight-fds',
      '44',
    ];
    const daemon = await Daemon.startAt(join(directory, 'm'), ['--no-link', ...options]);
    expect((await run(holder, [daemon.device, 'query'])).stdout).toBe('11 22 33 44\n');
    expect(await daemon.stop()).toBe(0);
  });

  test('an exceeded quota is logged once, with who, which, how much and the cure', async () => {
    const daemon = await Daemon.startAt(join(directory, 'm'), ['--no-link', '--max-slices', '5']);
    const overfill = await run(holder, [daemon.device, 'overfill']);
    expect(overfill.stdout).toBe('EDQUOT EDQUOT\n');
    expect(await daemon.stop()).toBe(0);
    const lines = daemon.log.split('\n').filter((line) => line.includes('quota exceeded'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /peer \d+ \(uid 0, pid \d+, holder\) asked for 1 more slices of peer .* has 5 of 5 in use; raise it with --max-slices/,
    );
  });

  test('a second user of one inode is logged once, with the better way', async () => {
    const daemon = await Daemon.startAt(join(directory, 'm'));
    for (let i = 0; i < 2; i++) {
      expect(await run(siblings, [daemon.device, 'other_users_are_kept_out'])).toMatchObject({ status: 0, stdout: '' });
    }
    expect(await daemon.stop()).toBe(0);
    expect(daemon.log.match(/"uid":4321,"owner":0,.*bind the directory of the mount instead/g)).toHaveLength(1);
  });

  test('log formats', async () => {
    for (const [format, pattern] of [
      ['json', /^\{"level":30.*"msg":"mounted"\}$/m],
      ['pretty', /INFO.*mounted/],
    ] as const) {
      const daemon = await Daemon.startAt(join(directory, 'm'), ['--no-link', '--log-format', format]);
      expect(daemon.log).toMatch(pattern);
      expect(await daemon.stop()).toBe(0);
    }
    const silent = await Daemon.startAt(join(directory, 'm'), ['--no-link', '--log-level', 'warn']);
    expect(await silent.stop()).toBe(0);
    expect(silent.log).toBe('');
  });
});

const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True: print(s.recv(4096).decode(), flush=True)
`;

describe('status', () => {
  test('lists the peers', async () => {
    const daemon = await Daemon.startAt(join(directory, 'm'));
    const client = await hold(daemon.device, 'pause');
    const report = await status(daemon.directory);
    expect(report).toMatchObject({ version, uptimeSeconds: expect.any(Number) });
    expect(report.bus1.peers).toEqual([
      {
        id: expect.any(Number),
        pid: client.pid,
        command: 'holder',
        uid: 0,
        abi: '2016',
        connected: true,
        nodes: 1,
        handles: 1,
        queued: 1,
        poolBytes: 8,
        used: { slices: 1, handles: 1, inflightBytes: 8, inflightFds: 0 },
      },
    ]);
    const text = (await bus1fs('status', daemon.directory)).stdout;
    expect(text).toMatch(new RegExp(`${client.pid} +holder +0 +2016 +connected +1 +1 +1 +1 +8`));
    client.kill();
    await client.exited;
    expect((await status(daemon.directory)).bus1.peers).toEqual([]);
    expect(await daemon.stop()).toBe(0);
  });

  test('is for root in the pid namespace of the daemon only', async () => {
    const daemon = await Daemon.startAt(join(directory, 'm'));
    const file = join(daemon.directory, 'status');
    const [command, ...args] = bus1fsAs(65534, 'umount', daemon.directory);
    expect(await run(command, args)).toMatchObject({ status: 1, stderr: expect.stringContaining('run as root') });
    const asNobody = await run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', 'cat', file]);
    expect(asNobody.stderr).toContain('Permission denied');
    const inContainer = await run('unshare', ['--pid', '--fork', 'cat', file]);
    expect(inContainer.stderr).toContain('Permission denied');
    expect(await daemon.stop()).toBe(0);
  });

  test('says when nothing is mounted', async () => {
    for (const command of ['status', 'umount']) {
      expect(await bus1fs(command, directory)).toMatchObject({
        status: 1,
        stderr: `bus1fs: no bus1fs is mounted at ${directory}\n`,
      });
    }
  });
});

describe('command line', () => {
  test('--help and --version', async () => {
    const help = await bus1fs('--help');
    for (const command of ['mount', 'umount', 'status', 'doctor', 'include-dir'])
      expect(help.stdout).toContain(command);
    expect((await bus1fs('mount', '--help')).stdout).toContain('--max-inflight-bytes');
    expect((await bus1fs('--version')).stdout).toBe(`${version}\n`);
  });

  test.each([
    [[], 'Say what to do'],
    [['mout'], 'Did you mean mount?'],
    [['mount', '--nonsense'], 'nonsense'],
    [['mount', '--max-slices', 'many'], '--max-slices takes a whole number'],
    [['mount', '--max-handles', '2147483648'], '--max-handles takes a whole number'],
    [['mount', '--log-level', 'loud'], 'log-level'],
    [['mount', '--link'], 'link'],
    [['mount', '--latency'], 'latency'],
    [['mount', '--log-file', 'log'], '--log-file is for --daemon'],
    [['mount', '--mode', '0888'], '--mode takes permissions in octal'],
    [['mount', 'a', 'b'], 'b'],
    [['run'], 'say what to run'],
    [['run', '--nonsense', 'true'], 'nonsense'],
    [['completion', 'tcsh'], 'shell'],
    [['completion'], 'bash, zsh, fish'],
    [['install', '--print', '--remove'], 'exclude each other'],
  ] as const)('%j is refused', async (args, message) => {
    const outcome = await bus1fs(...args);
    expect(outcome).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(message) });
    expect(outcome.stderr).toMatch(/^bus1fs: .*; see: bus1fs .*--help\n$/);
  });

  test('include-dir names where linux/bus1.h is', async () => {
    expect((await bus1fs('include-dir')).stdout).toBe(`${INCLUDE_DIR}\n`);
  });
});
