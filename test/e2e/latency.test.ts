import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';

const client = compiler.compile('bench/client.c', 'traffic', '-O2');

const withLatency = (mode: string): Promise<Daemon> => Daemon.start(['--no-link', '--latency', mode]);

/** Whether the daemon asks the kernel to keep CPUs awake. */
function isHeld({ process: { pid } }: Daemon): boolean {
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return ''; // closed meanwhile
    }
  });
  return targets.includes('/dev/cpu_dma_latency');
}

/** Sends and receives until it is stopped. */
function startTraffic({ device }: Daemon): ChildProcess {
  const script = 'while "$0" cycle "$1" 1024 1; do :; done';
  return spawn('setpriv', ['--pdeathsig', 'TERM', '--', 'sh', '-c', script, client, device], { stdio: 'ignore' });
}

async function stopTraffic(traffic: ChildProcess): Promise<void> {
  traffic.kill('SIGTERM');
  await once(traffic, 'exit');
}

// When exactly it does is for the unit tests of Latency to say.
test('--latency auto keeps CPUs awake while there is traffic, again and again, and not when idle', async () => {
  const daemon = await withLatency('auto');
  const becomes = (held: boolean) => expect.poll(() => isHeld(daemon), { timeout: 20_000, interval: 5 }).toBe(held);
  await becomes(false);
  for (let i = 0; i < 2; i++) {
    const traffic = startTraffic(daemon);
    await becomes(true);
    await stopTraffic(traffic);
    await becomes(false);
  }
  expect(await daemon.stop()).toBe(0);
});

test('--latency on does so from the start, without traffic', async () => {
  const daemon = await withLatency('on');
  expect(isHeld(daemon)).toBe(true);
  expect(await daemon.stop()).toBe(0);
});

test('--latency off does not, with traffic', async () => {
  const daemon = await withLatency('off');
  expect(await run(client, ['cycle', daemon.device, '1024', '1'])).toMatchObject({ status: 0 });
  expect(isHeld(daemon)).toBe(false);
  expect(await daemon.stop()).toBe(0);
});
