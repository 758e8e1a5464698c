import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bus1fsAs } from '../support/as-user.js';
import { CLI, Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const RUN = [CLI, 'run', '--'];
const disconnect = compiler.compile('clients/disconnect.c', 'disconnect');
const disconnect32 = compiler.compile('clients/disconnect.c', 'disconnect-32', '-m32');
const descriptors = compiler.compile('clients/descriptors.c', 'descriptors-under-run');
const cases = execFileSync(disconnect, ['--list'], { encoding: 'utf8' }).trim().split('\n');

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
});

afterAll(async () => {
  expect(await daemon.stop()).toBe(0);
});

const SILENCE = { status: 0, signal: null, stdout: '', stderr: '' };
const underRun = (...command: readonly string[]) => run(process.execPath, [...RUN, ...command]);

describe('bus1fs run', () => {
  test.each(cases)('%s', async (name) => {
    expect(await underRun(disconnect, daemon.device, name)).toEqual(SILENCE);
  });

  test('without it NULL is refused', async () => {
    expect((await run(disconnect, [daemon.device, 'null_is_allowed'])).stdout).toContain('-EFAULT');
  });

  test('serves 32-bit programs', async () => {
    expect(await underRun(disconnect32, daemon.device, 'null_is_allowed')).toEqual(SILENCE);
  });

  test('needs no privilege', async () => {
    const [command, ...args] = bus1fsAs(4321, 'run', '--', disconnect, daemon.device, 'null_is_allowed');
    expect(await run(command, args)).toEqual(SILENCE);
  });

  test('does not keep descriptors from being installed', async () => {
    expect(await underRun(descriptors, daemon.device, 'as_many_as_there_may_be')).toEqual(SILENCE);
  });

  test.each([
    [['sh', '-c', 'exit 7'], 7, ''],
    [['sh', '-c', 'kill -SEGV $$'], 128 + 11, ''],
    [['/nonexistent'], 127, 'bus1fs: spawn /nonexistent ENOENT\n'],
    [['/etc/passwd'], 126, 'bus1fs: spawn /etc/passwd EACCES\n'],
  ])('%j ends with %i', async (command, status, stderr) => {
    expect(await underRun(...command)).toMatchObject({ status, stderr });
  });

  test('leaves options after the program to the program, with -- and without', async () => {
    const program = ['printf', '%s ', '--help', '--', '-x', '007', ''];
    for (const command of [program, ['--', ...program]]) {
      const outcome = await run(process.execPath, [CLI, 'run', ...command]);
      expect(outcome).toMatchObject({ status: 0, stdout: '--help -- -x 007  ', stderr: '' });
    }
  });

  test('hands on what is not UTF-8 as it is', async () => {
    const bytes = `"$@" run printf %s "$(printf 'a\\377')" | od -An -tx1; V="$(printf 'v\\377')" "$@" run printenv V | od -An -tx1`;
    expect((await run('sh', ['-c', bytes, 'sh', process.execPath, CLI])).stdout).toBe(' 61 ff\n 76 ff 0a\n');
  });

  test('runs what has no #! as a shell script', async () => {
    const script = join(temporaryDirectory('run'), 'script');
    writeFileSync(script, 'exit $1\n', { mode: 0o755 });
    expect(await underRun(script, '9')).toMatchObject({ status: 9, stderr: '' });
  });

  test('passes on what a service manager sends', async () => {
    const script = 'trap "echo asked to end; exit 3" TERM; echo ready; for i in $(seq 400); do sleep 0.05; done';
    const child = spawn(process.execPath, [...RUN, 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
      if (output === 'ready\n') child.kill('SIGTERM');
    });
    expect(await once(child, 'close')).toEqual([3, null]);
    expect(output).toBe('ready\nasked to end\n');
  });

  test('passes it on however early it comes', async () => {
    const script = 'trap "exit 3" TERM; kill -TERM $PPID; for i in $(seq 200); do sleep 0.05; done';
    for (let i = 0; i < 5; i++) expect(await underRun('sh', '-c', script)).toMatchObject({ status: 3, signal: null });
  });

  test('cannot be nested, and says so', async () => {
    const outcome = await underRun(process.execPath, ...RUN, 'true');
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining('there can be one only') });
  });
});
