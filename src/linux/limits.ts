import { systemCall } from './libc.js';
import type { NativeBuffer } from './native-buffer.js';

const prlimit = systemCall<[pid: number, resource: number, value: number, old: number]>(
  'int prlimit(int pid, int resource, uintptr_t value, uintptr_t old)',
);

export const RLIMIT_NOFILE = 7;

/** `struct rlimit` on 64-bit Linux. */
export const Rlimit = { soft: 0, hard: 8, size: 16 } as const;

/** Sets the bounds on descriptors of another process to the `struct rlimit` in a buffer. Returns 0 or a negative errno. */
export const setDescriptorLimit = (pid: number, limits: NativeBuffer): number =>
  prlimit(pid, RLIMIT_NOFILE, limits.address, 0);
