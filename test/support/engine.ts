import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonStatus } from '../../src/engine/daemon-status.js';
import type { Daemon } from './bus1fs.js';

const ANSWER_MS = 5000;

/** What a daemon says of itself; undefined if it does not answer. */
export async function statusOf({ directory }: Daemon): Promise<DaemonStatus | undefined> {
  const text = readFile(join(directory, 'status'), 'utf8').catch(() => undefined);
  const answer = await Promise.race([text, sleep(ANSWER_MS, undefined, { ref: false })]);
  return answer === undefined ? undefined : (JSON.parse(answer) as DaemonStatus);
}

/** Whether nothing of a client is left, and nothing counts as in use but descriptors, whose closing is noted when the next are closed. */
export async function isUnused(daemon: Daemon): Promise<boolean> {
  const bus = (await statusOf(daemon))?.bus1;
  if (bus === undefined || bus.peers.length > 0 || bus.users.length > 0) return false;
  return Object.entries(bus.totals).every(([name, { used }]) => name === 'descriptors' || used === 0);
}

/** What an engine holds for its clients. */
export interface Held {
  readonly descriptors: number;
  readonly pools: number;
  /** All of its mappings, and its resident memory in MiB. */
  readonly mappings: number;
  readonly memory: number;
}

export function heldBy(pid: number): Held {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  const rss = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    pools: maps.split('bus1-pool').length - 1,
    mappings: maps.split('\n').length - 1,
    memory: Number(rss) / 1024,
  };
}
