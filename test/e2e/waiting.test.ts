import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../support/bus1fs.js';
import { compiler, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

/* What device.ts allows and bus1 does not use, on a file system that exists only here. */

const program = compiler.compile('clients/waiting.c', 'waiting');
const cases = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');

let directory: string;
let server: ChildProcessByStdio<null, Readable, Readable>;
let log = '';

beforeAll(async () => {
  directory = temporaryDirectory('waiting');
  server = spawn(
    'setpriv',
    [
      '--pdeathsig',
      'KILL',
      '--',
      process.execPath,
      '--import',
      'tsx',
      join(ROOT, 'test/support/waiting-fs.ts'),
      directory,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  server.stderr.on('data', (data) => {
    log += data;
  });
  const [line] = await Promise.race([once(server.stdout, 'data'), once(server, 'exit').then(() => [log])]);
  expect(`${line}`).toBe('ready\n');
});

afterAll(async () => {
  const ended = once(server, 'exit');
  await run('umount', [directory]);
  const [status] = await ended;
  expect({ status, log }).toEqual({ status: 0, log: '' });
});

describe('a call that is answered later', () => {
  test.each(cases)('%s', async (name) => {
    expect(await run(program, [join(directory, 'wait'), name])).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });
});

describe('a tree', () => {
  test('has directories in directories', () => {
    expect(readdirSync(directory).sort()).toEqual(['a', 'changing', 'many', 'wait']);
    expect(readFileSync(join(directory, 'a/b/c'), 'utf8')).toBe('deep\n');
    expect(() => statSync(join(directory, 'a/b/d'))).toThrow('ENOENT');
    expect(() => statSync(join(directory, 'a/b/c/d'))).toThrow('ENOTDIR');
    expect(statSync(join(directory, 'a')).ino).toBe(statSync(join(directory, 'a/b/..')).ino);
  });

  test('lists more entries than one reply holds, each once', () => {
    const names = readdirSync(join(directory, 'many'));
    expect(new Set(names).size).toBe(300);
    expect(names).toHaveLength(300);
  });

  test('attributes are asked anew where they change', async () => {
    const file = join(directory, 'changing');
    const open = openSync(file, 'r');
    expect(statSync(file).mode & 0o777).toBe(0o644);
    const change = 'import fcntl, struct, sys; fcntl.ioctl(open(sys.argv[1]), 0xc0087705, struct.pack("Q", 0))';
    expect(await run('python3', ['-c', change, join(directory, 'wait')])).toMatchObject({ status: 0, stderr: '' });
    expect(statSync(file).mode & 0o777).toBe(0o666);
    closeSync(open);
  });

  test('statfs says what a file system is expected to say', () => {
    expect(statfsSync(directory)).toMatchObject({ bsize: 4096, blocks: 0 });
  });
});
