import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/compile.js';

const FILES = [
  ...['.clang-format', '.dockerignore', '.editorconfig', '.gitignore', '.npmrc', 'ARCHITECTURE.md', 'CHANGELOG.md'],
  ...['CONTRIBUTING.md', 'LICENSE', 'README.md', 'SECURITY.md', 'biome.json', 'package-lock.json', 'package.json'],
  ...['tsconfig.build.json', 'tsconfig.json', 'vitest.config.ts'],
];
const DIRECTORIES = ['.ci', 'docker', 'docs', 'examples', 'include', 'mount', 'src', 'test'];
const MOST_BYTES = 200 * 1024;

/** What git tracks, and what it would with `git add .`; undefined where there is no git, or the tree is no checkout. */
function files(): string[] | undefined {
  const ours = ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { status, stdout } = spawnSync('git', ours, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) return undefined;
  return stdout.split('\0').filter((name) => name !== '' && existsSync(join(ROOT, name)));
}

const isPicture = (name: string): boolean => /^docs\/.*\.png$/.test(name);

/** What keeps a file out of the tree. */
function fault(name: string): string | undefined {
  const [top = '', below] = name.split('/');
  if (!(below === undefined ? FILES : DIRECTORIES).includes(top)) return 'an unknown name at the top';
  if (name.endsWith('.log')) return 'a log';
  const path = join(ROOT, name);
  if (lstatSync(path).size > MOST_BYTES && name !== 'package-lock.json') return `more than ${MOST_BYTES} bytes`;
  if (lstatSync(path).isFile() && readFileSync(path).includes(0) && !isPicture(name)) return 'binary';
  return undefined;
}

test('the tree holds nothing that was made by a tool or left by accident', ({ skip }) => {
  const names = files();
  if (names === undefined) return skip('git is not there, or this is no checkout of it');
  expect(names.flatMap((name) => fault(name)?.replace(/^/, `${name}: `) ?? [])).toEqual([]);
});
