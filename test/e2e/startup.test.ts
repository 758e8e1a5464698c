import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bus1fs, CLI, Daemon, isMounted, run } from '../support/bus1fs.js';
import { ROOT } from '../support/compile.js';
import { DeadFileSystem } from '../support/dead-fs.js';
import { eventually } from '../support/eventually.js';
import { temporaryDirectory } from '../support/temporary.js';

let directory: string;

beforeEach(() => {
  directory = temporaryDirectory('startup');
});

afterEach(async () => {
  while (isMounted(directory)) await run('umount', ['-l', directory]);
});

/** Options of Node that make it, and the engine too, run a program before its own. */
const first = (program: string): string[] => ['--import', `data:text/javascript,${encodeURIComponent(program)}`];

/** Starts Node so that everything that it starts can be found. */
const start = (...args: readonly string[]): ChildProcess =>
  spawn(process.execPath, args, { stdio: 'ignore', env: { ...process.env, MARK: directory } });

/** The processes that have to do with the directory of this test. */
const processes = (): readonly number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && isOurs(pid));

function isOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`MARK=${directory}`);
  } catch {
    return false; // it has ended
  }
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;

/** Waits, as closely as it can, until something is so or the process has ended. */
async function until(child: ChildProcess, condition: () => boolean): Promise<void> {
  while (!hasEnded(child) && !condition()) await turn();
}

const hasChild = ({ pid }: ChildProcess): boolean => readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1') !== '';

/** What a signal may come in the middle of. */
const MOMENTS: readonly (readonly [what: string, moment: (child: ChildProcess) => Promise<unknown>])[] = [
  ...Array.from({ length: 16 }, (_, i) => [`${i * 25} ms`, () => sleep(i * 25)] as const),
  ['as soon as it is mounted', (child) => until(child, () => isMounted(directory))],
  ['as soon as the engine is started', (child) => until(child, () => hasChild(child))],
];

describe('a signal in the middle of starting leaves nothing', () => {
  test.each(MOMENTS)('SIGTERM %s', async (_, moment) => {
    const child = start(CLI, 'mount', directory, '--no-link');
    const exited = once(child, 'exit');
    await moment(child);
    child.kill('SIGTERM');
    await exited;
    expect(isMounted(directory)).toBe(false);
    await eventually(() => processes().length === 0, 'the end of all');
  });

  test.each(MOMENTS)('SIGINT to --daemon %s', async (_, moment) => {
    const child = start(CLI, 'mount', directory, '--no-link', '--daemon', '--log-file', '/dev/null');
    const exited = once(child, 'exit');
    await moment(child);
    // It has done its part by the time it ends, and then it is for umount to end the daemon.
    if (!child.kill('SIGINT')) return;
    const [status] = await exited;
    if (status === 0) await run('umount', [directory]);
    await eventually(() => processes().length === 0, 'the end of all');
    expect(isMounted(directory)).toBe(false);
  });

  test('SIGKILL to --daemon before it is ready', async () => {
    const untold = `
      process.env.STARTER ??= process.pid;
      if (process.argv[1].endsWith('engine.js')) {
        try {
          for (;;) process.kill(Number(process.env.STARTER), 0);
        } catch {}
      }`;
    const command = ['mount', directory, '--no-link', '--daemon', '--log-file', '/dev/null'];
    const child = start(...first(untold), CLI, ...command);
    const exited = once(child, 'exit');
    await until(child, () => isMounted(directory));
    child.kill('SIGKILL');
    await exited;
    await eventually(() => processes().length === 0, 'the end of the daemon');
    expect(isMounted(directory)).toBe(false);
  });

  test('SIGKILL before the engine is tied to its supervisor', async () => {
    const untied = `
      if (!process.argv[1].endsWith('engine.js')) process.env.PARENT = process.pid;
      else while (process.ppid === Number(process.env.PARENT));`;
    const child = start(...first(untied), CLI, 'mount', directory, '--no-link');
    const exited = once(child, 'exit');
    await until(child, () => hasChild(child));
    child.kill('SIGKILL');
    await exited;
    await eventually(() => processes().length === 0, 'the end of the engine');
  });
});

describe('a defect leaves nothing', () => {
  test('right after the mount', async () => {
    const defect = first('globalThis.setInterval = () => { throw new Error("a defect") }');
    const mount = [process.execPath, ...defect, CLI, 'mount', directory, '--no-link'];
    expect(await run('env', [`MARK=${directory}`, ...mount])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('a defect'),
    });
    expect(isMounted(directory)).toBe(false);
    expect(processes()).toEqual([]);
  });

  test('in the engine, whose last words are in the log', async () => {
    const defect = first('if (process.argv[1].endsWith("engine.js")) throw new Error("a defect")');
    const outcome = await run(process.execPath, [...defect, CLI, 'mount', directory, '--no-link']);
    expect(outcome).toMatchObject({ status: 1, stdout: '' });
    const lines = outcome.stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual(expect.objectContaining({ level: 50, text: 'Error: a defect' }));
    expect(lines.at(-1)).toMatchObject({ msg: 'ending', why: 'the device process died: exit status 1' });
    expect(isMounted(directory)).toBe(false);
  });

  test('while it serves', async () => {
    const defect = first('process.on("SIGWINCH", () => { throw new Error("a defect") })');
    const daemon = await Daemon.start(['--no-link'], defect);
    daemon.process.kill('SIGWINCH');
    expect(await daemon.exit()).toBe(1);
    expect(daemon.log).toContain('a defect');
    expect(isMounted(daemon.directory)).toBe(false);
  });
});

test('SIGTERM ends it though its engine cannot be killed', async () => {
  const dead = new DeadFileSystem();
  const path = JSON.stringify(join(dead.directory, 'file'));
  const stuck = `
    import { Worker } from 'node:worker_threads';
    const engine = process.argv[1].endsWith('engine.js');
    if (engine) new Worker(\`require('node:fs').existsSync(\${JSON.stringify(${path})})\`, { eval: true });`;
  try {
    const daemon = await Daemon.start(['--no-link'], first(stuck));
    await dead.take();
    expect(await daemon.stop()).toBe(0);
    expect(daemon.log).toContain('does not die');
  } finally {
    dead.end();
  }
});

describe('a daemon leaves alone where it was started', () => {
  test('the directory and the open files', async () => {
    const disk = temporaryDirectory('disk');
    expect(await run('mount', ['-t', 'tmpfs', 'none', disk])).toMatchObject({ status: 0 });
    try {
      const command = [CLI, 'mount', directory, '--no-link', '--daemon', '--log-file', '/dev/null'];
      const file = openSync(join(disk, 'file'), 'w+');
      const stdio: StdioOptions = [...Array<'ignore'>(20).fill('ignore'), file]; // Node itself lets go of the first 16
      const starter = spawn(process.execPath, command, { cwd: disk, stdio });
      closeSync(file);
      expect(await once(starter, 'exit')).toEqual([0, null]);
      expect(await run('umount', [disk])).toMatchObject({ status: 0, stderr: '' });
    } finally {
      await run('umount', ['-lq', disk]);
      await bus1fs('umount', directory);
    }
  });

  test('the umask: clients get through', async () => {
    const daemon = await Daemon.startAt(
      join(directory, 'a/b'),
      ['--no-link'],
      [],
      ['sh', '-c', 'umask 077; exec "$@"', 'sh'],
    );
    expect(statSync(dirname(daemon.directory)).mode & 0o777).toBe(0o755);
    expect(await daemon.stop()).toBe(0);
  });
});

test('--mode and --group are those of the device', async () => {
  const daemon = await Daemon.start(['--no-link', '--mode', '0640', '--group', 'daemon']);
  const group = /^daemon:[^:]*:(\d+)/m.exec(readFileSync('/etc/group', 'utf8'))?.[1];
  const { mode, uid, gid } = statSync(daemon.device);
  expect([mode & 0o777, uid, gid]).toEqual([0o640, 0, Number(group)]);
  const as = (gid: number): string[] => ['--reuid=4321', `--regid=${gid}`, '--clear-groups', 'cat', daemon.device];
  expect((await run('setpriv', as(4321))).stderr).toContain('Permission denied');
  expect((await run('setpriv', as(Number(group)))).stderr).not.toContain('Permission denied');
  expect(await daemon.stop()).toBe(0);
});

describe('what it does not run on is told in one line', () => {
  test('an old Node, before anything newer is read', async () => {
    const old = 'data:text/javascript,Object.defineProperty(process.versions,"node",{value:"18.20.8"})';
    const outcome = await run(process.execPath, ['--import', old, CLI, 'mount']);
    expect(outcome).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(/^bus1fs: .*20\.19.*18\.20\.8.*\n$/),
    });
    expect(readFileSync(CLI, 'utf8')).not.toMatch(/^import|\brequire\b|\?\?|\?\./m);
  });

  test('the oldest Node is the one of package.json', () => {
    const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const [, major, minor] = /^>=(\d+)\.(\d+)/.exec(engines.node) ?? [];
    expect(readFileSync(CLI, 'utf8')).toContain(`major: ${major}, minor: ${minor}`);
  });

  test('an old kernel', async () => {
    const outcome = await run('setarch', ['--uname-2.6', process.execPath, CLI, 'mount', directory, '--no-link']);
    expect(outcome).toMatchObject({ status: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/^bus1fs: .*6\.9.*linux-image-6\.12-amd64.*\n$/);
    expect(isMounted(directory)).toBe(false);
  });
});
