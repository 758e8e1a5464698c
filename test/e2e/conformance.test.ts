import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { INCLUDE_DIR, ROOT } from '../support/compile.js';

/** Recorded traces of the reference kernel module; they live beside the tree, and not everywhere. */
const CONFORMANCE = join(ROOT, '../shared/conformance');

test.runIf(existsSync(CONFORMANCE))('traces of the reference module without descriptors', async () => {
  const scripts = mkdtempSync(join(tmpdir(), 'bus1fs-conformance-'));
  for (const kind of ['directed', 'random']) {
    for (const file of readdirSync(join(CONFORMANCE, kind)).filter((name) => name.endsWith('.script'))) {
      if (/ (raw)?fds=/.test(readFileSync(join(CONFORMANCE, kind, file), 'utf8'))) continue;
      for (const name of [file, file.replace('.script', '.expected')]) {
        cpSync(join(CONFORMANCE, kind, name), join(scripts, name));
      }
    }
  }
  const daemon = await Daemon.start();
  const outcome = await run(join(CONFORMANCE, 'run'), [daemon.device, INCLUDE_DIR, scripts], 300_000);
  rmSync(scripts, { recursive: true });
  expect(await daemon.stop()).toBe(0);
  expect(outcome, outcome.stdout).toMatchObject({ status: 0, stdout: expect.stringMatching(/ 0 diverged\n$/) });
});
