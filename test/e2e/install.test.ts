import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { bus1fs, run } from '../support/bus1fs.js';
import { compiler, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const holder = compiler.compile('clients/holder.c', 'holder-for-install');
const UNIT = 'etc/systemd/system/bus1fs.service';
const TMPFILES = 'etc/tmpfiles.d/bus1fs.conf';
const HELPER = 'sbin/mount.bus1';

let root: string;
const at = (path: string): string => join(root, path);
const read = (path: string): string => readFileSync(at(path), 'utf8');

beforeEach(() => {
  root = temporaryDirectory('root');
});

test('writes the files of mount/, with paths that work wherever Node is', async () => {
  expect(await bus1fs('install', '--root', root)).toMatchObject({ status: 0 });
  for (const path of [UNIT, TMPFILES, HELPER]) {
    expect(read(path)).not.toMatch(/\/usr\/bin\/bus1fs|exec bus1fs/);
  }
  expect(statSync(at(HELPER)).mode & 0o777).toBe(0o755);
  const words = /^ExecStart="(.*)" "(.*)" mount /m.exec(read(UNIT))?.slice(1) ?? [];
  expect(words).toHaveLength(2);
  for (const word of words) expect(existsSync(word)).toBe(true);
  const template = readFileSync(join(ROOT, 'mount/bus1fs.service'), 'utf8');
  expect(read(UNIT).replace(/^ExecStart=.* mount/m, '')).toBe(template.replace(/^ExecStart=.* mount/m, ''));
});

test('systemd takes the unit', async ({ skip }) => {
  skip(!existsSync('/usr/bin/systemd-analyze'), 'there is no systemd');
  await bus1fs('install', '--root', root);
  expect(await run('systemd-analyze', ['verify', '--man=no', at(UNIT)])).toMatchObject({ status: 0, stderr: '' });
});

test('calls bus1fs wherever it is, with no PATH, as mount(8) does', async () => {
  const odd = join(temporaryDirectory('odd'), `a b%h$x'"c`);
  for (const part of ['dist', 'mount', 'package.json']) cpSync(join(ROOT, part), join(odd, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(odd, 'node_modules'));
  const cli = join(odd, 'dist/cli/main.js');
  expect(await run(process.execPath, [cli, 'install', '--root', root])).toMatchObject({ status: 0 });
  const quoted = cli.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$');
  expect(read(UNIT)).toContain(`"${quoted}" mount`);

  const mountPoint = temporaryDirectory('installed');
  const helper = [at(HELPER), 'bus1', mountPoint, '-o', 'rw,nolink,mode=0600,group=0,log-file=/dev/null'];
  try {
    expect(await run('env', ['-i', ...helper])).toMatchObject({ status: 0, stderr: '' });
    expect(statSync(join(mountPoint, 'bus1')).mode & 0o777).toBe(0o600);
    expect(await run(holder, [join(mountPoint, 'bus1'), 'query'])).toMatchObject({ status: 0 });
  } finally {
    await run('umount', [mountPoint]);
  }
});

test('leaves alone what is not ours', async () => {
  mkdirSync(dirname(at(HELPER)));
  writeFileSync(at(HELPER), '#!/bin/sh\n');
  const refused = await bus1fs('install', '--root', root);
  expect(refused).toMatchObject({
    status: 1,
    stderr: `bus1fs: ${at(HELPER)} is somebody else's; move it away first\n`,
  });
  expect(existsSync(at(UNIT))).toBe(false);
  expect(await bus1fs('install', '--root', root, '--remove')).toMatchObject({ status: 0 });
  expect(read(HELPER)).toBe('#!/bin/sh\n');
});

test('can be repeated, and taken back', async () => {
  for (let i = 0; i < 2; i++) expect(await bus1fs('install', '--root', root)).toMatchObject({ status: 0 });
  const enabled = at('etc/systemd/system/multi-user.target.wants/bus1fs.service');
  mkdirSync(dirname(enabled));
  symlinkSync('/etc/systemd/system/bus1fs.service', enabled);
  const refused = await bus1fs('install', '--root', root, '--remove');
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('systemctl disable --now bus1fs') });
  rmSync(enabled);
  expect(await bus1fs('install', '--root', root, '--remove')).toMatchObject({ status: 0 });
  for (const path of [UNIT, TMPFILES, HELPER]) expect(existsSync(at(path))).toBe(false);
});

test('--print writes nothing, and shows all', async () => {
  const printed = await bus1fs('install', '--root', root, '--print');
  expect(readdirSync(root)).toEqual([]);
  await bus1fs('install', '--root', root);
  for (const path of [UNIT, TMPFILES, HELPER]) expect(printed.stdout).toContain(`# /${path}\n${read(path)}`);
});
