import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Daemon, isMounted, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';

const holder = compiler.compile('clients/holder.c', 'holder-for-takeover');
const messages = compiler.compile('clients/messages.c', 'messages-for-takeover');
const descriptors = compiler.compile('clients/descriptors.c', 'descriptors-for-takeover');
const OK = { status: 0, stderr: '' };

let daemon: Daemon;

beforeEach(async () => {
  daemon = await Daemon.start();
});

afterEach(async () => {
  if (isMounted(daemon.directory)) expect(await daemon.stop()).toBe(0);
});

/** Kills the process that serves the mount, and waits until another one does. */
async function killEngine(): Promise<void> {
  const { devicePid } = await daemon.status();
  process.kill(devicePid, 'SIGKILL');
  await expect.poll(async () => (await daemon.status()).devicePid, { timeout: 20_000 }).not.toBe(devicePid);
}

/** A client that keeps a peer; resolves once it does. */
async function hold(how: 'poll' | 'pause' | 'stay') {
  const client = spawn(holder, [daemon.device, how], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(client, 'exit');
  await once(client.stdout, 'data');
  return { client, exited };
}

test('a client that waits for its peer is told, and new ones work', async () => {
  const { exited } = await hold('poll');
  await killEngine();
  expect(await exited).toEqual([0, null]);
  expect(await run(holder, [daemon.device, 'query'])).toMatchObject(OK);
  expect(await run(messages, [daemon.device, 'unicast_and_multicast'])).toMatchObject(OK);
  expect(await run(descriptors, [daemon.device, 'installed_at_the_lowest_free_numbers'])).toMatchObject(OK);
  expect((await daemon.status()).bus1.peers).toEqual([]);
  expect(daemon.log).toContain('served again');
});

test('a peer from before is disconnected, and what it has received stays readable', async () => {
  const { client, exited } = await hold('stay');
  await killEngine();
  client.stdin.end();
  const [text] = await once(client.stdout, 'data');
  expect(`${text}`).toBe('waiting ESHUTDOWN ESHUTDOWN\n');
  expect(await exited).toEqual([0, null]);
});

test('peers of several engines come and go', async () => {
  const clients = [];
  for (let i = 0; i < 3; i++) {
    clients.push(await hold('pause'));
    await killEngine();
  }
  for (const { client, exited } of clients) {
    client.kill();
    await exited;
  }
  expect(await run(holder, [daemon.device, 'query'])).toMatchObject(OK);
  expect((await daemon.status()).bus1.peers).toEqual([]);
});

test('one that dies again and again is not started for ever', async () => {
  for (let i = 0; i < 5; i++) await killEngine();
  process.kill((await daemon.status()).devicePid, 'SIGKILL');
  expect(await Promise.race([daemon.exit(), sleep(20_000, 'late', { ref: false })])).toBe(1);
  expect(isMounted(daemon.directory)).toBe(false);
  expect(daemon.log).toContain('too often');
});
