import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { CLI, run } from '../support/bus1fs.js';
import { compiler, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const HELPER = join(ROOT, 'mount/mount.bus1');
const holder = compiler.compile('clients/holder.c', 'holder-for-mount');

let directory: string;

beforeAll(() => {
  directory = temporaryDirectory('helper');
});

/**
 * Runs a script with the helper and bus1fs in /sbin and Node in /usr/local/bin, wherever it is on this machine, in a mount namespace
 * that sees them there alone.
 */
const withHelper = (script: string) =>
  run('unshare', [
    ...['--mount', 'sh', '-euc'],
    `mkdir -p ${directory}/work
     mount -t tmpfs none ${directory}/work && mkdir ${directory}/work/u ${directory}/work/w
     mount -t overlay -o lowerdir=/usr/sbin,upperdir=${directory}/work/u,workdir=${directory}/work/w none /usr/sbin
     cp ${HELPER} /usr/sbin/mount.bus1
     ln -s ${CLI} /usr/sbin/bus1fs
     touch ${directory}/work/node && mount --bind ${process.execPath} ${directory}/work/node
     mount -t tmpfs none /usr/local/bin && touch /usr/local/bin/node
     mount --bind ${directory}/work/node /usr/local/bin/node
     cd ${directory}
     ${script}`,
  ]);

describe('mount -t bus1', () => {
  test('mounts, with options, and umount ends the daemon', async () => {
    const outcome = await withHelper(`
      mount -t bus1 -o nolink,max-slices=7,log-file=${directory}/log bus1 ${directory}/a
      ${holder} ${directory}/a/bus1 query
      umount ${directory}/a
      until grep -q unmounted ${directory}/log; do sleep 0.1; done`);
    expect(outcome).toMatchObject({
      status: 0,
      stdout: `bus1fs ready: ${directory}/a/bus1\n7 65536 16777216 4096\n`,
    });
  });

  test('finds Node where mount(8) does not look', async () => {
    const outcome = await withHelper(`
      touch nothing
      [ ${process.execPath} = /usr/local/bin/node ] || mount --bind nothing ${process.execPath}
      mount -t bus1 -o nolink,log-file=${directory}/log bus1 ${directory}/c
      umount ${directory}/c`);
    expect(outcome).toMatchObject({ status: 0, stdout: `bus1fs ready: ${directory}/c/bus1\n` });
  });

  test('works from a line of fstab', async () => {
    writeFileSync(
      join(directory, 'fstab'),
      `bus1 ${directory}/b bus1 noauto,nofail,x-systemd.automount,nolink,log-file=${directory}/log 0 0\n`,
    );
    const outcome = await withHelper(`
      mount --fstab ${directory}/fstab ${directory}/b
      ${holder} ${directory}/b/bus1 query
      umount ${directory}/b`);
    expect(outcome).toMatchObject({ status: 0, stdout: expect.stringContaining('16384 65536 16777216 4096\n') });
  });

  test('refuses options it does not know', async () => {
    const outcome = await run(HELPER, ['bus1', directory, '-o', 'rw,colour=red']);
    expect(outcome).toMatchObject({ status: 1, stderr: 'mount.bus1: unknown option: colour=red\n' });
    expect((await run(HELPER, ['bus1'])).stderr).toContain('usage');
  });
});
