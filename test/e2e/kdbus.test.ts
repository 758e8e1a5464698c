import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';

const program = compiler.compile('clients/kdbus.c', 'kdbus');
const cases = execFileSync(program, ['--list'], { encoding: 'utf8' }).trim().split('\n');

describe('a kdbus file system', () => {
  let daemon: Daemon;

  beforeAll(async () => {
    daemon = await Daemon.start(['--type', 'kdbusfs']);
  });

  afterAll(async () => {
    expect(await daemon.stop()).toBe(0);
  });

  test.each(cases)('%s', async (name) => {
    const outcome = await run(program, [daemon.directory, name]);
    const internalErrors = daemon.log.match(/.*internal error.*/g);
    expect({ ...outcome, internalErrors }, daemon.log).toEqual({
      status: 0,
      signal: null,
      stdout: '',
      stderr: '',
      internalErrors: null,
    });
  });

  test('all of it leaves no bus behind', async () => {
    await expect.poll(async () => (await daemon.status()).kdbus?.buses).toEqual([]);
  });
});
