import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { bus1fs, CLI, run } from '../support/bus1fs.js';
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

describe('bus1fs cdi --list and --remove', () => {
  /** Runs it where /etc/cdi and /var/run/cdi are directories of ours. */
  function withDirectories(script: string) {
    mkdirSync(join(directory, 'bus1'));
    mkdirSync(join(directory, 'layers'));
    const layers = join(directory, 'layers');
    const arrange = `mount -t tmpfs none /var/run && mount -t tmpfs none ${layers} && mkdir ${layers}/u ${layers}/w
      mount -t overlay -o lowerdir=/etc,upperdir=${layers}/u,workdir=${layers}/w none /etc
      rm -rf /etc/cdi && mkdir /var/run/cdi /etc/cdi`;
    const command = `cdi() { ${process.execPath} ${CLI} cdi "$@"; }`;
    return run('unshare', ['--mount', 'sh', '-c', `${arrange}\n${command}\ncd ${directory}\n${script}`]);
  }

  test('show the specifications that engines find, and what is missing for one', async () => {
    const outcome = await withDirectories(`
      cdi --list
      cdi bus1 >/dev/null
      cdi none --output /var/run/cdi/other.json --link /dev/other >/dev/null
      echo '{ "kind": "example.com/thing", "devices": [] }' >/etc/cdi/thing.json
      echo nonsense >/etc/cdi/nonsense.json
      cdi --list`);
    expect(outcome).toMatchObject({ status: 0, stderr: expect.not.stringContaining('    at ') });
    const [none, header, ...lines] = outcome.stdout.trim().split('\n');
    expect(none).toBe('no specification of bus1.dev/bus=bus1 in /etc/cdi or /var/run/cdi');
    expect([header, ...lines].map((line) => line?.split(/ {2,}/))).toEqual([
      ['FILE', 'DIRECTORY', 'BIND', 'LINK', 'STATE'],
      ['/etc/cdi/bus1fs.json', `${directory}/bus1`, `${directory}/bus1`, '/dev/bus1', 'ok'],
      ['/var/run/cdi/other.json', `${directory}/none`, `${directory}/none`, '/dev/other', `missing: ${directory}/none`],
    ]);
  });

  test('say when the Node that the hook runs on is gone', async () => {
    const outcome = await withDirectories(`
      cdi bus1 >/dev/null
      sed -i 's|"/[^"]*/node"|"/gone/v1.2.3/node"|' /etc/cdi/bus1fs.json
      cdi --list`);
    expect(outcome.stdout).toMatch(/ missing: \/gone\/v1\.2\.3\/node$/m);
  });

  test('remove what was written, and nothing else', async () => {
    const outcome = await withDirectories(`
      cdi bus1
      cdi --remove
      cdi --remove
      echo '{}' >/etc/cdi/bus1fs.json
      cdi --remove
      cdi --remove --list
      ls /etc/cdi`);
    expect(outcome.stdout.trim().split('\n').slice(1)).toEqual(['removed /etc/cdi/bus1fs.json', 'bus1fs.json']);
    expect(outcome.stderr.match(/^bus1fs: .*(there is no|was not written by|exclude).*$/gm)).toEqual([
      'bus1fs: there is no /etc/cdi/bus1fs.json; see: bus1fs cdi --list',
      'bus1fs: /etc/cdi/bus1fs.json was not written by bus1fs cdi',
      'bus1fs: --list and --remove exclude each other',
    ]);
  });
});

describe('the programs of the hook', () => {
  /** The hook of a specification that a Node at `node` writes, with `path` for PATH, and what else it says. */
  async function specified(node: string, path: string) {
    const outcome = await run('env', [`PATH=${path}`, node, CLI, 'cdi', '--output', '-']);
    const { devices } = JSON.parse(outcome.stdout) as Specification;
    return { program: devices[0].containerEdits.hooks[0].path, stderr: outcome.stderr };
  }

  /** A Node as version managers install it. */
  function versionedNode(): string {
    const bin = join(directory, 'versions/v20.1.2/bin');
    mkdirSync(bin, { recursive: true });
    copyFileSync(process.execPath, join(bin, 'node'));
    return join(bin, 'node');
  }

  test('are named by paths without a version, if there are such', async () => {
    const node = versionedNode();
    const stable = temporaryDirectory('stable');
    symlinkSync(node, join(stable, 'node'));
    const { program } = await specified(node, `${dirname(node)}:${stable}`);
    expect(program).toBe(join(stable, 'node'));
  });

  test('are said to be passing, if there are not', async () => {
    const node = versionedNode();
    const { program, stderr } = await specified(node, dirname(node));
    expect(program).toBe(node);
    expect(stderr).toContain(`bus1fs: containers need ${node}; when that goes, with an update say, run this again\n`);
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
