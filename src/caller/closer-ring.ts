/**
 * The ring in shared memory between closer.ts and its thread: how many were written and read, both of which wrap around,
 * then the slots.
 */
export const WRITE = 0;
export const READ = 1;
export const FIRST_SLOT = 2;
export const SLOTS = 65536;

/** The slot of the n-th entry, also once n has wrapped to negative numbers. */
export const slotOf = (n: number): number => FIRST_SLOT + (n & (SLOTS - 1));
