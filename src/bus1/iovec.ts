import type { Bytes } from '../base/bytes.js';

/** `struct iovec` of 64-bit programs: where a piece of memory starts, and at byte 8 how long it is. */
export const IOVEC_SIZE = 16;
/** That of 32-bit programs, with the length at byte 4. */
export const COMPAT_IOVEC_SIZE = 8;
/** The kernel's MAX_RW_COUNT: INT_MAX rounded down to a page. */
export const MAX_PAYLOAD = 0x7fff_f000;
/** The end of user space on x86-64 and arm64 with 47- and 48-bit addresses: no range a client names may reach past it. */
export const USER_SPACE_END = 0x7fff_ffff_f000;

/** Of the upper half of a 64-bit integer. */
const SIGN_BIT = 0x8000_0000;

/** Whether the length of a 64-bit vector, as a `ssize_t`, is negative. */
export const isNegative = (memory: Bytes, vec: number): boolean => memory.high32(vec + 8) >= SIGN_BIT;

/** Makes 64-bit vectors, from byte `to` on, of those of a 32-bit program from byte `from` on. */
export function widenVecs(memory: Bytes, from: number, to: number, count: number): void {
  for (let i = 0; i < count; i++) {
    memory.setU64(to + i * IOVEC_SIZE, memory.u32(from + i * COMPAT_IOVEC_SIZE));
    memory.setU64(to + i * IOVEC_SIZE + 8, memory.u32(from + i * COMPAT_IOVEC_SIZE + 4));
  }
}
