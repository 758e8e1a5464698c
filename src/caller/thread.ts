import { readFileSync, readlinkSync } from 'node:fs';
import { tgkill } from '../linux/process.js';

const CACHE_LIMIT = 16384;
/**
 * How long an answer holds unasked. The kernel hands out ids in turn, so a thread's id comes to another process only
 * after as many forks as there are ids, at least 32768, which takes many times longer.
 */
const TRUST_MS = 100;

interface Membership {
  readonly tgid: number;
  confirmedAt: number;
}

const cache = new Map<number, Membership>();

/**
 * The process a thread belongs to, or 0 if the thread is gone. A remembered answer is confirmed by a signal 0, which
 * costs a tenth of reading /proc and is exact: it succeeds only if that thread is in that process now.
 */
export function processOf(tid: number): number {
  const now = performance.now();
  const known = cache.get(tid);
  if (known !== undefined) {
    if (now - known.confirmedAt < TRUST_MS) return known.tgid;
    if (tgkill(known.tgid, tid, 0) === 0) {
      known.confirmedAt = now;
      return known.tgid;
    }
  }
  const tgid = readThreadGroup(tid);
  if (cache.size >= CACHE_LIMIT) cache.clear();
  cache.set(tid, { tgid, confirmedAt: now });
  return tgid;
}

const readThreadGroup = (tid: number): number => Number(/^Tgid:\s*(\d+)$/m.exec(readProc(tid, 'status'))?.[1] ?? 0);

/** Reads of /proc/TID/syscall until a thread that was seen on its way into the kernel has arrived there. */
const MAX_RETRIES = 1000;

/** The number of the system call a thread is blocked in, or -1 if that cannot be told. */
export function systemCallOf(tid: number): number {
  for (let attempt = 0; attempt < MAX_RETRIES; attempt++) {
    const text = readProc(tid, 'syscall');
    if (text !== 'running\n') return Number.parseInt(text, 10);
  }
  return -1;
}

/** The name of a thread's command; empty if the thread is gone. */
export const commandOf = (tid: number): string => readProc(tid, 'comm').trimEnd();

/** Identifies a thread's pid namespace; undefined if the thread is gone. */
export function pidNamespaceOf(tid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${tid}/ns/pid`);
  } catch {
    return undefined;
  }
}

function readProc(tid: number, name: string): string {
  try {
    return readFileSync(`/proc/${tid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
