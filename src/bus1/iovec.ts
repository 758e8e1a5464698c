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

/** Whether the length of a vector, as a `ssize_t`, is negative. */
export const isNegative = (vecs: Bytes, index: number): boolean => vecs.high32(index * IOVEC_SIZE + 8) >= SIGN_BIT;

/** Turns the `struct iovec`s of a 32-bit program, from byte `start` on, into 64-bit ones from byte 0 on. */
export function widenVecs(memory: Bytes, start: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const base = memory.u32(start + i * COMPAT_IOVEC_SIZE);
    const length = memory.u32(start + i * COMPAT_IOVEC_SIZE + 4);
    memory.setU64(i * IOVEC_SIZE, base);
    memory.setU64(i * IOVEC_SIZE + 8, length);
  }
}
