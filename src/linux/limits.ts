import { bind } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const prlimit = bind('int prlimit(int pid, int resource, uintptr_t value, uintptr_t old)');

const RLIMIT_NOFILE = 7;
const limits = new NativeBuffer(16); // struct rlimit: soft, hard

/** Lifts the bound on descriptors of another process by `more`. Returns what it was, or undefined if that is not allowed. */
export function liftDescriptorLimit(
  pid: number,
  more: number,
): { readonly soft: number; readonly hard: number } | undefined {
  if (prlimit(pid, RLIMIT_NOFILE, 0, limits.address) !== 0) return undefined;
  const old = { soft: limits.u64(0), hard: limits.u64(8) };
  setDescriptorLimit(pid, old.soft + more, Math.max(old.hard, old.soft + more));
  return old;
}

/** Sets the soft and the hard bound on descriptors of another process. */
export function setDescriptorLimit(pid: number, soft: number, hard: number): void {
  limits.setU64(0, soft);
  limits.setU64(8, hard);
  prlimit(pid, RLIMIT_NOFILE, limits.address, 0);
}
