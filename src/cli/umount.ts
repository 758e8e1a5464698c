import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv } from 'yargs';
import { errnoName } from '../base/errno.js';
import { ExpectedError } from '../base/expected-error.js';
import { canonicalPath, findMount, unmountAll } from '../supervisor/mount-point.js';
import { withDirectory } from './mount-argument.js';
import { readStatus } from './status.js';

const END_TIMEOUT_MS = 2000;

export const addUmount = (cli: Argv): Argv =>
  cli.command('umount [directory]', 'unmount and end the daemon', withDirectory, async (argv) => {
    const directory = canonicalPath(argv.directory);
    findMount(directory);
    const daemon = await readStatus(directory).then(
      (status) => status.pid,
      () => undefined, // a dead mount has no daemon to wait for
    );
    const error = unmountAll(directory);
    if (error !== 0) throw new ExpectedError(`unmounting ${directory} failed with ${errnoName(error)}; run as root`);
    if (daemon !== undefined) await waitForEnd(daemon);
  });

async function waitForEnd(pid: number): Promise<void> {
  for (const deadline = Date.now() + END_TIMEOUT_MS; isRunning(pid) && Date.now() < deadline; ) await sleep(10);
}

/** Whether a process has not ended yet; a zombie has. */
function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
