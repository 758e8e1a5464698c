import { Errno } from '../../base/errno.js';
import type { Caller } from '../../device.js';
import { COMPAT_IOVEC_SIZE, IOVEC_SIZE, isNegative, MAX_PAYLOAD, USER_SPACE_END, widenVecs } from '../iovec.js';

const IOV_MAX = 1024;
const COMPAT_SSIZE_MAX = 0x7fff_ffff;

/**
 * Puts `count` vectors of the caller's to the start of the scratch memory, with the checks of readv(2) and writev(2), and one
 * more: EMSGSIZE if they have not at least `size` bytes together.
 */
export function readVectors(caller: Caller, address: number, count: number, size: number): Errno {
  if (count > IOV_MAX) return Errno.EINVAL;
  const length = count * (caller.is32Bit ? COMPAT_IOVEC_SIZE : IOVEC_SIZE);
  // The vectors of a 32-bit program are read to the end of where they will be, and widened from there.
  const start = count * IOVEC_SIZE - length;
  const memory = caller.scratch(count * IOVEC_SIZE);
  if (caller.read(start, [{ address, length }]) !== length) return Errno.EFAULT;
  if (caller.is32Bit) widenVecs(memory, start, count);
  let total = 0;
  let isInUserSpace = true;
  for (let i = 0; i < count; i++) {
    const vecLength = memory.u64(i * IOVEC_SIZE + 8);
    if (isNegative(memory, i) || (caller.is32Bit && vecLength > COMPAT_SSIZE_MAX)) return Errno.EINVAL;
    isInUserSpace &&= memory.u64(i * IOVEC_SIZE) + vecLength <= USER_SPACE_END;
    total += vecLength;
  }
  if (!isInUserSpace) return Errno.EFAULT;
  return Math.min(total, MAX_PAYLOAD) < size ? Errno.EMSGSIZE : Errno.OK;
}
