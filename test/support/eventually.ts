import { setTimeout as sleep } from 'node:timers/promises';

const TRIES = 1000;
const PAUSE_MS = 10;

/** Waits until something is so that no event tells of. */
export async function eventually(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < TRIES; i++) {
    if (await condition()) return;
    await sleep(PAUSE_MS);
  }
  throw new Error(`${what}: not within ${(TRIES * PAUSE_MS) / 1000} s`);
}
