import { closeSync, openSync, rmdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Daemon, isMounted, run } from '../support/bus1fs.js';
import { temporaryDirectory } from '../support/temporary.js';

test('a daemon that ends leaves alone what somebody else has mounted in its place', async () => {
  const directory = temporaryDirectory('mount-point');
  const daemon = await Daemon.startAt(directory);
  const peer = openSync(daemon.device, 'r+'); // so that the file system lives on without its mount
  try {
    expect(await run('umount', ['-l', directory])).toMatchObject({ status: 0 });
    expect(await run('mount', ['-t', 'tmpfs', 'theirs', directory])).toMatchObject({ status: 0 });
    daemon.process.kill('SIGTERM');
    expect(await daemon.exit()).toBe(0);
    expect(isMounted(directory)).toBe(true);
    expect(await run('umount', [directory])).toMatchObject({ status: 0 });
  } finally {
    closeSync(peer);
    if (isMounted(directory)) await run('umount', ['-l', directory]);
    rmdirSync(directory);
  }
});
