import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';

/** The test clients, and the options of the mount each runs against. */
const CLIENTS: Readonly<Record<string, readonly string[]>> = {
  peers: [],
  handles: [],
  messages: [],
  processes: [],
  descriptors: [],
  'descriptors-static': [],
  large: ['--max-inflight-bytes', String(128 * 1024 * 1024)],
};

const warmUp = compiler.compile('clients/descriptors.c', 'warm-up');

// All cases of a client share one daemon, so that what one leaves behind hurts the next.
for (const [client, options] of Object.entries(CLIENTS)) {
  const program = compiler.compile(
    `clients/${client.replace('-static', '')}.c`,
    client,
    ...(client.endsWith('-static') ? ['-static'] : []),
  );
  const cases = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  describe(client, () => {
    let daemon: Daemon;
    let descriptors: number;

    beforeAll(async () => {
      daemon = await Daemon.start(['--no-link', ...options]);
      await run(warmUp, [daemon.device, 'errors_of_send']); // starts the thread that closes
      descriptors = await daemon.descriptors();
    });

    afterAll(async () => {
      expect(await daemon.stop()).toBe(0);
    });

    test.each(cases)('%s', async (name) => {
      const outcome = await run(program, [daemon.device, name]);
      const { log } = daemon;
      expect({ ...outcome, internalErrors: log.match(/.*internal error.*/g) }, log).toEqual({
        status: 0,
        signal: null,
        stdout: '',
        stderr: '',
        internalErrors: null,
      });
    });

    test('all of it leaves nothing behind in the daemon', async () => {
      await expect.poll(() => daemon.descriptors(), { timeout: 5000 }).toBe(descriptors);
      expect((await daemon.status()).bus1.peers).toEqual([]);
    });
  });
}
