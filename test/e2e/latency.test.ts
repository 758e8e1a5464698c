import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';

const client = compiler.compile('bench/client.c', 'traffic', '-O2');

const withLatency = (mode: string): Promise<Daemon> => Daemon.start(['--no-link', '--latency', mode]);

/** Whether the daemon asks the kernel to keep CPUs awake. */
async function isHeld(daemon: Daemon): Promise<boolean> {
  const fds = `/proc/${(await daemon.status()).pid}/fd`;
  const targets = readdirSync(fds).map((fd) => {
    try {
      return readlinkSync(`${fds}/${fd}`);
    } catch {
      return ''; // it was that of the directory itself
    }
  });
  return targets.includes('/dev/cpu_dma_latency');
}

test('--latency auto keeps CPUs awake while there is traffic, again and again, and never when idle', async () => {
  const daemon = await withLatency('auto');
  expect(await isHeld(daemon)).toBe(false);
  for (let i = 0; i < 2; i++) {
    const traffic = run('timeout', ['3', client, 'cycle', daemon.device, '1024', '1']);
    await expect.poll(() => isHeld(daemon), { timeout: 2500, interval: 20 }).toBe(true);
    await traffic;
    await expect.poll(() => isHeld(daemon), { timeout: 5000 }).toBe(false);
  }
  expect(await daemon.stop()).toBe(0);
});

test('--latency on does always, off never', async () => {
  const [on, off] = await Promise.all([withLatency('on'), withLatency('off')]);
  const traffic = run('timeout', ['1', client, 'cycle', off.device, '1024', '1']);
  await sleep(300);
  expect([await isHeld(on), await isHeld(off)]).toEqual([true, false]);
  await traffic;
  for (const daemon of [on, off]) expect(await daemon.stop()).toBe(0);
});
