import { beforeEach, describe, expect, test } from 'vitest';
import { CLI, Daemon, run } from '../support/bus1fs.js';
import { temporaryDirectory } from '../support/temporary.js';

let directory: string;

beforeEach(() => {
  directory = temporaryDirectory('status');
});

/**
 * Runs a script in a mount namespace of its own, in which no bus1fs is mounted but at `visible`; it has functions that
 * mount one in the temporary directory, and end it.
 */
function inside(script: string, visible = '') {
  const prepare = `
    bus1fs() { ${process.execPath} ${CLI} "$@"; }
    up() { bus1fs mount ${directory}/$1 --no-link --daemon --log-file ${directory}/log >/dev/null; }
    down() { bus1fs umount ${directory}/$1; }
    for point in $(findmnt -rno TARGET -t fuse.bus1fs); do
      test "$point" = '${visible}' || umount -il "$point"
    done`;
  return run('unshare', ['--mount', 'sh', '-c', `${prepare}\n${script}`]);
}

describe('bus1fs status without a directory', () => {
  test('is about the only mount, wherever it is', async () => {
    const { stdout, stderr } = await inside('up a; bus1fs status; down a');
    expect({ stdout, stderr }).toMatchObject({
      stdout: expect.stringContaining(` at ${directory}/a/bus1,`),
      stderr: '',
    });
  });

  test('of several is about the one that is served from this mount namespace', async () => {
    const other = await Daemon.start();
    const { stdout, stderr } = await inside('up a; bus1fs status; down a', other.directory);
    expect({ stdout, stderr }).toMatchObject({
      stdout: expect.stringContaining(` at ${directory}/a/bus1,`),
      stderr: '',
    });
    expect(await other.stop()).toBe(0);
  });

  test('of several of those is about the one in the default place', async () => {
    const { stdout, stderr } = await inside(`mount -t tmpfs none /run; up a
      bus1fs mount --no-link --daemon --log-file ${directory}/log; bus1fs status; bus1fs umount; down a`);
    expect({ stdout, stderr }).toMatchObject({ stdout: expect.stringContaining(' at /run/bus1/bus1,'), stderr: '' });
  });

  test('wants to be told where there are more', async () => {
    const { stdout, stderr } = await inside('up a; up b; bus1fs status; down a; down b');
    const names = `${directory}/a, ${directory}/b`;
    expect({ stdout, stderr }).toEqual({
      stdout: '',
      stderr: `bus1fs: more than one bus1fs is mounted; say which: ${names}\n`,
    });
  });

  test('says that there is none', async () => {
    const { stderr } = await inside('bus1fs status');
    expect(stderr).toBe('bus1fs: no bus1fs is mounted here; start one with: bus1fs mount\n');
  });

  test('does not take a bind mount of the device file for one', async () => {
    const { stdout } = await inside(`up a; mount --bind ${directory}/a/bus1 /dev/full; bus1fs status; down a`);
    expect(stdout).toContain(` at ${directory}/a/bus1,`);
  });
});
