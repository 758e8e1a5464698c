import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VERSION } from '../../src/base/version.js';
import { isMounted, run } from '../support/bus1fs.js';
import { ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const directory = temporaryDirectory('package');
const prefix = join(directory, 'prefix');
const installed = join(prefix, 'lib/node_modules/bus1fs');
const bus1fs = join(prefix, 'bin/bus1fs');
const mount = join(directory, 'mount');

/** Runs a command that must succeed. Returns what it prints. */
async function succeed(command: string, ...args: readonly string[]): Promise<string> {
  const outcome = await run(command, args, 120_000);
  expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
  return outcome.stdout;
}

const filesIn = (path: string, suffix: string): string[] =>
  readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(suffix))
    .map((name) => name.slice(0, -suffix.length))
    .sort();

beforeAll(async () => {
  mkdirSync(prefix);
  // Packing builds anew, and here would take the build from under the tests that run beside these.
  const tree = join(directory, 'tree');
  cpSync(ROOT, tree, {
    recursive: true,
    filter: (path) => !['.git', 'coverage', 'node_modules'].includes(basename(path)),
  });
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  await succeed('npm', 'pack', tree, '--pack-destination', directory);
  await succeed('npm', 'install', '--global', '--prefix', prefix, join(directory, `bus1fs-${VERSION}.tgz`));
}, 240_000);

afterAll(async () => {
  if (isMounted(mount)) await run('umount', ['-l', mount]);
});

describe('the package', () => {
  test('holds the build of every source, with maps that hold the source', () => {
    const dist = join(installed, 'dist');
    const sources = filesIn(join(ROOT, 'src'), '.ts');
    expect(filesIn(dist, '.js')).toEqual(sources);
    expect(filesIn(dist, '.js.map')).toEqual(sources);
    for (const name of sources) {
      const { sourcesContent } = JSON.parse(readFileSync(join(dist, `${name}.js.map`), 'utf8'));
      expect(sourcesContent).toEqual([readFileSync(join(ROOT, 'src', `${name}.ts`), 'utf8')]);
    }
  });

  test('brings what is meant for users and nothing else', () => {
    const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
    const always = ['LICENSE', 'README.md', 'node_modules', 'package.json'];
    const there = readdirSync(ROOT).filter((name) => files.includes(name));
    expect(readdirSync(installed).sort()).toEqual([...there, ...always].sort());
    expect(readdirSync(join(installed, 'node_modules'))).not.toContain('fuse-native');
    expect(filesIn(join(installed, 'docs'), '.ts')).toEqual([]);
    expect(readdirSync(join(prefix, 'share/man/man1'))).toEqual(['bus1fs.1']);
  });

  test('installed, says its version, finds this machine fit, and serves a client', async () => {
    expect(await succeed(bus1fs, '--version')).toBe(`${VERSION}\n`);
    await succeed(bus1fs, 'doctor');
    const log = join(directory, 'log');
    const ready = await succeed(bus1fs, 'mount', mount, '--no-link', '--daemon', '--log-file', log);
    expect(ready).toBe(`bus1fs ready: ${mount}/bus1\n`);
    const include = (await succeed(bus1fs, 'include-dir')).trim();
    expect(include).toBe(join(installed, 'include'));
    const demo = join(directory, 'demo');
    await succeed('gcc', '-I', include, '-o', demo, join(ROOT, 'test/clients/demo.c'));
    expect(await succeed(demo, `${mount}/bus1`)).toContain('all clients have left');
    await succeed(bus1fs, 'umount', mount);
    expect(isMounted(mount)).toBe(false);
  });
});
