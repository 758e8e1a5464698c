import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Daemon } from '../support/bus1fs.js';
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

test('--latency auto keeps CPUs awake while there is traffic, again and again, and never when idle', async () => {
  const daemon = await withLatency('auto');
  expect(isHeld(daemon)).toBe(false);
  for (let i = 0; i < 2; i++) {
    const traffic = startTraffic(daemon);
    await expect.poll(() => isHeld(daemon), { timeout: 10_000, interval: 10 }).toBe(true);
    await stopTraffic(traffic);
    await expect.poll(() => isHeld(daemon), { timeout: 10_000 }).toBe(false);
  }
  expect(await daemon.stop()).toBe(0);
});

test('--latency on does always, off never', async () => {
  const [on, off] = await Promise.all([withLatency('on'), withLatency('off')]);
  const traffic = startTraffic(off);
  for (let i = 0; i < 20; i++) {
    expect([isHeld(on), isHeld(off)]).toEqual([true, false]);
    await sleep(20);
  }
  await stopTraffic(traffic);
  for (const daemon of [on, off]) expect(await daemon.stop()).toBe(0);
});
