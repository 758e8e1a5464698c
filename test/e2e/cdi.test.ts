import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { bus1fs, CLI } from '../support/bus1fs.js';
import { temporaryDirectory } from '../support/temporary.js';

let directory: string;

beforeEach(() => {
  directory = temporaryDirectory('cdi');
});

interface Specification {
  readonly kind: string;
  readonly devices: readonly [
    {
      readonly name: string;
      readonly containerEdits: {
        readonly mounts: readonly { readonly hostPath: string; readonly containerPath: string }[];
        readonly hooks: readonly [{ readonly path: string; readonly args: readonly string[] }];
      };
    },
  ];
}

describe('bus1fs cdi', () => {
  test('writes a specification of the mount and its link', async () => {
    const output = join(directory, 'a/cdi.json');
    const outcome = await bus1fs(
      'cdi',
      join(directory, 'bus/bus1'),
      '--bind',
      join(directory, 'bus'),
      '--output',
      output,
    );
    expect(outcome).toMatchObject({ status: 0, stdout: expect.stringContaining('--device bus1.dev/bus=bus1') });
    const { kind, devices } = JSON.parse(readFileSync(output, 'utf8')) as Specification;
    const [{ name, containerEdits }] = devices;
    expect(`${kind}=${name}`).toBe('bus1.dev/bus=bus1');
    const bind = join(directory, 'bus');
    expect(containerEdits.mounts).toMatchObject([{ hostPath: bind, containerPath: bind }]);
    expect(containerEdits.hooks[0].args.slice(-4)).toEqual([
      ...['--link', '/dev/bus1', '--target', join(directory, 'bus/bus1/bus1')],
    ]);
  });

  test.each([
    [['/run/bus1', '--bind', '/run/other'], 'bus1fs: /run/bus1 is not in /run/other\n'],
    [['--link', '/etc/bus1'], 'bus1fs: --link takes a path in /dev\n'],
  ])('refuses %j', async (args, stderr) => {
    expect(await bus1fs('cdi', '--output', '-', ...args)).toMatchObject({ status: 1, stdout: '', stderr });
  });
});

describe('the hook', () => {
  /** Runs it as a container runtime does, for a container whose root is in `directory`. */
  function runHook(): void {
    writeFileSync(join(directory, 'config.json'), JSON.stringify({ root: { path: 'root' } }));
    const args = [CLI, 'cdi-hook', '--link', '/dev/bus1', '--target', '/run/bus1/bus1'];
    execFileSync(process.execPath, args, { input: JSON.stringify({ bundle: directory }), env: {}, stdio: 'pipe' });
  }

  test('creates the link, and is content with one that is there', () => {
    mkdirSync(join(directory, 'root/dev'), { recursive: true });
    for (let i = 0; i < 2; i++) runHook();
    expect(readlinkSync(join(directory, 'root/dev/bus1'))).toBe('/run/bus1/bus1');
  });

  test('leaves something else alone and says so', () => {
    mkdirSync(join(directory, 'root/dev'), { recursive: true });
    writeFileSync(join(directory, 'root/dev/bus1'), 'theirs');
    expect(runHook).toThrow('the container has something else at /dev/bus1');
    expect(readFileSync(join(directory, 'root/dev/bus1'), 'utf8')).toBe('theirs');
  });

  test('does not follow a link out of the container', () => {
    mkdirSync(join(directory, 'root'));
    mkdirSync(join(directory, 'outside'));
    symlinkSync('../outside', join(directory, 'root/dev'));
    expect(runHook).toThrow('a symlink there may lead out of the container');
    expect(existsSync(join(directory, 'outside/bus1'))).toBe(false);
  });
});
