import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Capability, NEEDED_CAPABILITIES } from '../../src/supervisor/capabilities.js';
import type { Finding } from '../../src/supervisor/finding.js';
import { CLI, Daemon, isMounted, run, withOnly } from '../support/bus1fs.js';
import { temporaryDirectory } from '../support/temporary.js';

const DOCTOR = [process.execPath, CLI, 'doctor'];
/** What the trial itself takes, to become another user. */
const CHANGE_USER: readonly Capability[] = ['CAP_SETUID', 'CAP_SETGID'];
const SERVING = ['/dev/fuse', 'mount()', 'passthrough', 'daemon'];
const CALLS = ['open()', 'stat()', 'HANDLE_TRANSFER', 'SEND', 'poll()', 'RECV', 'mmap()', 'received descriptor'];
const ROOT = CALLS.map((call) => `root: ${call}`);
const ANOTHER = ['setuid()', ...CALLS].map((call) => `user 65534: ${call}`);

const without = (...names: readonly Capability[]): Capability[] =>
  [...NEEDED_CAPABILITIES, ...CHANGE_USER].filter((name) => !names.includes(name));

const execute = ([command = '', ...args]: readonly string[]) => run(command, args);

/** Runs `bus1fs doctor --json` under a command. */
async function examine(...prefix: readonly string[]) {
  const { status, stdout, stderr } = await execute([...prefix, ...DOCTOR, '--json']);
  expect(stderr).toBe('');
  const { canRun, findings } = JSON.parse(stdout) as { canRun: boolean; findings: Finding[] };
  const of = (state: Finding['state']) => findings.filter((finding) => finding.state === state);
  const names = (state: Finding['state']) => of(state).map(({ what }) => what);
  const about = (what: string) => findings.find((finding) => finding.what === what);
  return { status, canRun, ok: names('ok'), limited: names('limited'), missing: names('missing'), about };
}

/** The children of a process that are `bus1fs mount`. */
const daemonsOf = (pid: number | undefined): string[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((child) => child !== '' && readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('\0mount\0'));

describe('doctor', () => {
  test('lets clients of root and of another user do all there is, and tells each step', async () => {
    const { status, canRun, ok } = await examine('env');
    expect({ status, canRun }).toEqual({ status: 0, canRun: true });
    expect(ok.filter((what) => [...SERVING, ...ROOT, ...ANOTHER].includes(what))).toEqual([
      ...SERVING,
      ...ROOT,
      ...ANOTHER,
    ]);
  });

  test('the capabilities that the documents name are enough for that', async () => {
    const { status, ok, missing } = await examine(...withOnly(without()));
    expect({ status, missing }).toEqual({ status: 0, missing: [] });
    expect(ok).toEqual(expect.arrayContaining([...ROOT, ...ANOTHER]));
  });

  test('without CAP_DAC_OVERRIDE clients of other users fail, and it says where and why', async () => {
    const { status, ok, missing, about } = await examine(...withOnly(without('CAP_DAC_OVERRIDE')));
    expect({ status, missing }).toEqual({
      status: 1,
      missing: ['user 65534: stat()', 'user 65534: HANDLE_TRANSFER'],
    });
    expect(ok).toEqual(expect.arrayContaining(ROOT));
    expect(about('user 65534: HANDLE_TRANSFER')).toMatchObject({
      found: 'EBADF',
      advice: expect.stringContaining('CAP_DAC_OVERRIDE (not held)'),
    });
    expect(about('CAP_DAC_OVERRIDE')?.advice).toContain('docker run --cap-add DAC_OVERRIDE');
  });

  test('without CAP_SYS_PTRACE the daemon does not start, and it says why', async () => {
    const { status, missing, about } = await examine(...withOnly(without('CAP_SYS_PTRACE')));
    expect({ status, missing }).toEqual({ status: 1, missing: ['CAP_SYS_PTRACE', 'daemon'] });
    expect(about('daemon')?.advice).toContain('CAP_SYS_PTRACE (not held)');
    expect(about('CAP_SYS_PTRACE')?.advice).toContain('docker run --cap-add SYS_PTRACE');
  });

  test('without CAP_SYS_ADMIN mounting fails, and it says why', async () => {
    const { status, missing, about } = await examine(...withOnly(without('CAP_SYS_ADMIN')));
    expect({ status, missing }).toEqual({ status: 1, missing: ['CAP_SYS_ADMIN', 'mount()'] });
    expect(about('mount()')).toMatchObject({
      found: 'EPERM',
      advice: expect.stringContaining('CAP_SYS_ADMIN (not held)'),
    });
  });

  test('where it cannot become another user it says so, and the rest counts', async () => {
    const { status, ok, limited } = await examine(...withOnly(NEEDED_CAPABILITIES));
    expect(status).toBe(0);
    expect(ok).toEqual(expect.arrayContaining(ROOT));
    expect(limited).toContain('user 65534: setuid()');
  });

  test('in a user namespace it says that this is the cause', async () => {
    const { status, missing, about } = await examine('unshare', '--user', '--map-root-user', '--');
    expect(status).toBe(1);
    expect(missing).toEqual(['user namespace', 'daemon']);
    expect(about('daemon')?.advice).toContain('user namespace (another one)');
  });

  test('needs no directory that can be written', async () => {
    const script = 'for d in / /tmp /run /dev/shm; do mount --bind $d $d; mount -o remount,bind,ro $d; done; exec "$@"';
    const { status, ok } = await examine('env', 'TMPDIR=/none', 'unshare', '--mount', 'sh', '-euc', script, '--');
    expect(status).toBe(0);
    expect(ok).toEqual(expect.arrayContaining([...SERVING, ...ROOT, ...ANOTHER]));
  });

  test('names the directories it tried where it may neither write nor mount', async () => {
    const script = 'for d in /run /dev/shm; do mount -t tmpfs -o ro none $d; done; exec "$@"';
    const prefix = ['env', 'TMPDIR=/none', 'unshare', '--mount', 'sh', '-euc', script, '--', ...withOnly([])];
    const { status, about } = await examine(...prefix);
    expect(status).toBe(1);
    const what = 'a directory to mount on';
    for (const directory of ['/run', '/dev/shm', '/none'])
      expect(about(what)?.found).toContain(`mkdtemp '${directory}/`);
    expect(about(what)?.advice).toContain('docker run --tmpfs /run');
  });

  test('leaves nothing behind', async () => {
    const look = 'find /run /dev/shm -name "bus1fs*"; grep bus1fs-doctor /proc/self/mountinfo';
    const script = `for d in /run /dev/shm; do mount -t tmpfs none $d; done; "$@" >/dev/null || :; ${look} || :`;
    for (const capabilities of [without(), []]) {
      const doctor = [...withOnly(capabilities), ...DOCTOR];
      const { stdout } = await execute(['unshare', '--mount', 'sh', '-euc', script, '--', ...doctor]);
      expect(stdout).toBe('');
    }
  });

  test('takes its daemon along when it is ended', async () => {
    const doctor = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...DOCTOR], { stdio: 'ignore' });
    const end = once(doctor, 'exit');
    await expect.poll(() => daemonsOf(doctor.pid), { timeout: 10_000, interval: 5 }).not.toEqual([]);
    const [daemon] = daemonsOf(doctor.pid);
    doctor.kill('SIGTERM');
    expect(await end).toEqual([128 + 15, null]);
    await expect.poll(() => existsSync(`/proc/${daemon}`), { timeout: 10_000 }).toBe(false);
  });

  test('shows a table and advice to people', async () => {
    const { status, stdout } = await execute([...withOnly([]), ...DOCTOR]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^CAP_SYS_ADMIN +missing +not held$/m);
    expect(stdout).toMatch(/^CAP_SYS_ADMIN: .*docker run --cap-add SYS_ADMIN/m);
  });
});

describe('mount', () => {
  test.each([['CAP_SYS_ADMIN'], ['CAP_SYS_PTRACE']] as const)('is refused without %s', async (name) => {
    const directory = temporaryDirectory('refused');
    const mount = [process.execPath, CLI, 'mount', directory, '--no-link'];
    const outcome = await execute([...withOnly(without(name)), ...mount]);
    expect(outcome).toMatchObject({ status: 1, stdout: '' });
    expect(outcome.stderr).toMatch(new RegExp(`^bus1fs: .*${name} \\(not held\\).*--cap-add ${name.slice(4)}.*\\n$`));
    expect(isMounted(directory)).toBe(false);
  });

  test('is refused in a user namespace', async () => {
    const mount = [process.execPath, CLI, 'mount', temporaryDirectory('refused'), '--no-link'];
    const outcome = await execute(['unshare', '--user', '--map-root-user', '--', ...mount]);
    expect(outcome).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('user namespace') });
  });

  test('warns that only clients of root are served without CAP_DAC_OVERRIDE', async () => {
    const few = await Daemon.start(['--no-link'], [], [], without('CAP_DAC_OVERRIDE'));
    expect(few.log).toContain('It is needed to serve clients of other users than root.');
    expect(await few.stop()).toBe(0);
    const enough = await Daemon.start();
    expect(enough.log).not.toContain('It is needed');
    expect(await enough.stop()).toBe(0);
  });
});
