import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { Budget } from '../base/budget.js';
import type { Budgets } from '../bus/quota.js';
import { descriptorLimits } from '../caller/descriptor.js';
import { memoryLimit } from '../linux/cgroup.js';

/*
 * What this process has, and how much of that clients may take: three quarters. The rest is what it needs itself, so that
 * it goes on whatever they do. All of it is looked at once, at the start.
 */

const OF_CLIENTS = 3 / 4;
const MIB = 1 << 20;
/** What it keeps at least; where there is less than twice that, clients have half. */
const LEAST_RESERVE = 128 * MIB;
/** What it takes when there are no clients. */
const FRESH = 48 * MIB;
/** What pages kept for what comes next may take in addition, beside those in use. */
const WARM = 1 / 16;

/** The most that one of each takes of its own memory, in bytes. */
const PEER_SIZE = 4096;
const SLICE_SIZE = 1024;
const HANDLE_SIZE = 1024;

/** What there is for all users together; `heldBytes` if it was said. */
export function budgets(heldBytes: number | undefined): Budgets {
  const memory = Math.min(memoryLimit(), totalmem());
  const reserve = Math.max((1 - OF_CLIENTS) * memory, Math.min(memory / 2, LEAST_RESERVE));
  const held = heldBytes ?? memory - reserve;
  const own = OF_CLIENTS * Math.min(getHeapStatistics().heap_size_limit, Math.max(reserve - FRESH, reserve / 4));
  return {
    peers: new Budget(Math.min(OF_CLIENTS * maxMappings(), own / 6 / PEER_SIZE)),
    slices: new Budget(own / 6 / SLICE_SIZE),
    handles: new Budget(((2 / 3) * own) / HANDLE_SIZE),
    heldBytes: new Budget(held),
    warmBytes: new Budget(WARM * held),
  };
}

/** How many descriptors may be held for all users together. */
export const descriptorBudget = (): Budget => new Budget(OF_CLIENTS * (descriptorLimits(process.pid)?.soft ?? 0));

/** Each peer takes one. */
const maxMappings = (): number => Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1'));
