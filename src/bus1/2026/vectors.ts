import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import type { Caller, MemoryRange } from '../../device.js';
import { COMPAT_IOVEC_SIZE, IOVEC_SIZE, isNegative, MAX_PAYLOAD, USER_SPACE_END, widenVecs } from '../iovec.js';
import { MESSAGE_END } from './user-message.js';

/** The most vectors of one call, as readv(2) has it. */
export const IOV_MAX = 1024;
const COMPAT_SSIZE_MAX = 0x7fff_ffff;

/** Vectors of a caller and their places in its scratch memory. */
export interface Vectors {
  readonly count: number;
  /** Where they are, all of them 64-bit, once they are checked. */
  readonly start: number;
  /** Where they have to be read to, up to where, and from where in the caller's memory. */
  readonly readStart: number;
  readonly end: number;
  readonly range: MemoryRange;
}

/** Those of a 32-bit program are read to behind where they are widened to, and stay as they are for a call that is suspended. */
export function placeVectors({ is32Bit }: Caller, address: number, count: number): Vectors {
  const start = MESSAGE_END;
  const length = count * (is32Bit ? COMPAT_IOVEC_SIZE : IOVEC_SIZE);
  const readStart = is32Bit ? start + count * IOVEC_SIZE : start;
  return { count, start, readStart, end: readStart + length, range: { address, length } };
}

/** The checks of readv(2) and writev(2), and one more: EMSGSIZE if they have not at least `size` bytes together. */
export function checkVectors(
  memory: Bytes,
  { start, readStart, count }: Vectors,
  is32Bit: boolean,
  size: number,
): Errno {
  if (is32Bit) widenVecs(memory, readStart, start, count);
  let total = 0;
  let isInUserSpace = true;
  for (let vec = start; vec < start + count * IOVEC_SIZE; vec += IOVEC_SIZE) {
    const length = memory.u64(vec + 8);
    if (isNegative(memory, vec) || (is32Bit && length > COMPAT_SSIZE_MAX)) return Errno.EINVAL;
    isInUserSpace &&= memory.u64(vec) + length <= USER_SPACE_END;
    total += length;
  }
  if (!isInUserSpace) return Errno.EFAULT;
  return Math.min(total, MAX_PAYLOAD) < size ? Errno.EMSGSIZE : Errno.OK;
}

/** Fetches vectors to where they have to be, and checks them. */
export function readVectors(caller: Caller, vectors: Vectors, size: number): Errno {
  if (vectors.count > IOV_MAX) return Errno.EINVAL;
  const memory = caller.scratch(vectors.end);
  if (caller.read(vectors.readStart, [vectors.range]) !== vectors.range.length) return Errno.EFAULT;
  return checkVectors(memory, vectors, caller.is32Bit, size);
}
