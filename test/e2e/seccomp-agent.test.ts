import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CLI, Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const recycledNotifier = compiler.compile('clients/recycled-notifier.c', 'recycled-notifier');

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
});

afterAll(async () => {
  expect(await daemon.stop()).toBe(0);
});

test('a call whose thread has died is not made for whoever has its id by then', async () => {
  const socket = join(temporaryDirectory('agent'), 'socket');
  const agent = [process.execPath, CLI, 'seccomp-agent', '--socket', socket, '--log-level', 'warn'];
  // whoever sets the next id sets it for all of the namespace
  const outcome = await run('unshare', [
    ...['--pid', '--fork', '--kill-child', '--'],
    ...[recycledNotifier, daemon.device, socket, ...agent],
  ]);
  expect(outcome).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
});
