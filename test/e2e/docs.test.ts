import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { commandsIn } from '../../docs/help.js';
import { bus1fs, type Outcome, run } from '../support/bus1fs.js';
import { INCLUDE_DIR, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const DOCS = join(ROOT, 'docs');
const read = (path: string): string => readFileSync(path, 'utf8');

const documents = [
  ...readdirSync(DOCS)
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(DOCS, name)),
  join(ROOT, 'examples/containers/README.md'),
  join(ROOT, 'SECURITY.md'),
];

describe.each(documents.map((path) => [relative(ROOT, path), path]))('%s', (_, path) => {
  const text = read(path);

  test('links lead to what is there', () => {
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#\s]*)/g)].map(([, target = '']) => target);
    expect(targets.filter((target) => !existsSync(join(dirname(path), target)))).toEqual([]);
  });

  test('code in C compiles', async () => {
    const outcomes = await Promise.all([...text.matchAll(/^```c\n(.*?)^```/gms)].map(([, code = '']) => compile(code)));
    expect(outcomes.map(({ stderr }) => stderr).filter((stderr) => stderr !== '')).toEqual([]);
  });
});

const FRAME = `#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/bus1.h>
void fragment(int peer, __u64 handle, const char *pool, struct bus1_cmd_recv recv);
void fragment(int peer, __u64 handle, const char *pool, struct bus1_cmd_recv recv) {
#line 1
`;

/** Compiles a block of code: a whole file, if it includes something, or the inside of a function. */
function compile(code: string): Promise<Outcome> {
  const isWhole = code.includes('#include');
  const file = join(temporaryDirectory('block'), 'block.c');
  writeFileSync(file, isWhole ? code : `${FRAME}${code}}\n`);
  const unused = isWhole ? [] : ['-Wno-unused'];
  return run('gcc', ['-Wall', '-Wextra', ...unused, '-Wno-unused-parameter', '-I', INCLUDE_DIR, '-fsyntax-only', file]);
}

test('commands.md has all that linux/bus1.h has', () => {
  const commands = read(join(DOCS, 'commands.md'));
  const header = read(join(INCLUDE_DIR, 'linux/bus1.h'));
  const defined = [...header.matchAll(/^#define (BUS1_\w+)/gm), ...header.matchAll(/^\t(BUS1_\w+),/gm)];
  const fields = header.matchAll(/^\t+__u(?:32|64) (\w+);/gm);
  // The bits of ids are explained in concepts.md, and what numbers are made of need not be.
  const names = [...defined, ...fields]
    .map(([, name = '']) => name)
    .filter((name) => !/_MAGIC|_HANDLE_FLAG_/.test(name));
  expect(names.length).toBeGreaterThan(60);
  const isThere = (name: string): boolean =>
    name.startsWith('BUS1_CMD_')
      ? commands.includes(`\n## ${name.replace('BUS1_CMD_', '')}\n`)
      : new RegExp(`\\b${name}\\b`).test(commands);
  expect(names.filter((name) => !isThere(name))).toEqual([]);
});

describe('man pages', () => {
  let directory: string;
  const page = (name: string): string => join(directory, name);

  beforeAll(async () => {
    directory = join(temporaryDirectory('man'), 'man');
    mkdirSync(directory);
    const written = await run(process.execPath, ['--import', 'tsx', join(DOCS, 'man.ts'), directory]);
    expect(written).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  test.for([
    ['groff', ['-man', '-k', '-ww', '-Tutf8', '-z']],
    ['mandoc', ['-T', 'lint', '-W', 'warning']],
  ] as const)('%s has no complaint', async ([checker, args], { skip }) => {
    if ((await run('which', [checker])).status !== 0) {
      const reason = `${checker} is missing, so man pages are not checked with it; on Debian: apt-get install groff mandoc`;
      console.warn(reason);
      skip(reason);
    }
    for (const name of ['bus1.4', 'bus1fs.1']) {
      expect(await run(checker, [...args, page(name)])).toMatchObject({ status: 0, stdout: '', stderr: '' });
    }
  });

  test('bus1(4) has every part of the documents it is made from', () => {
    const roff = read(page('bus1.4'));
    for (const name of ['concepts', 'commands', 'restart']) {
      const parts = [...read(join(DOCS, `${name}.md`)).matchAll(/^## (.*)$/gm)].map(([, title]) => `.SS "${title}"\n`);
      expect(parts.filter((part) => !roff.includes(part))).toEqual([]);
    }
  });

  test('bus1fs(1) has every command, option and argument that the command line has', async () => {
    const roff = read(page('bus1fs.1')).replaceAll('\\-', '-').replaceAll('\\%', '');
    const commands = commandsIn((await bus1fs('--help')).stdout);
    expect(commands).toContain('mount');
    for (const command of commands) {
      const { stdout } = await bus1fs(command, '--help');
      expect(roff).toContain(`.SS "${stdout.split('\n')[0]}"\n`);
      const words = [...stdout.matchAll(/(?<=^ +(?:-\w, )?)(?:--[\w-]+|\w+)(?= {2})/gm)].map(([word]) => word);
      expect(words).toContain('--help');
      expect(words.filter((word) => !new RegExp(`^\\\\fB.*${word}\\\\fR$`, 'm').test(roff))).toEqual([]);
    }
  });
});
