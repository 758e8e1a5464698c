import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { INCLUDE_DIR, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

/** Recorded traces of the reference kernel module; they live beside the tree, and not everywhere. */
const CONFORMANCE = join(ROOT, '../shared/conformance/run');

test('traces of the reference module', async ({ skip }) => {
  skip(!existsSync(CONFORMANCE), `its traces are not in ${dirname(CONFORMANCE)}`);
  const daemon = await Daemon.start();
  const tmp = `TMPDIR=${temporaryDirectory('conformance')}`; // it leaves its own directory there
  const outcome = await run('env', [tmp, CONFORMANCE, daemon.device, INCLUDE_DIR], 300_000);
  expect(await daemon.stop()).toBe(0);
  expect(outcome, outcome.stdout).toMatchObject({ status: 0, stdout: expect.stringMatching(/ 0 diverged\n$/) });
});
