/** The ring in shared memory between closer.ts and its thread: next to write, next to read, then the slots. */
export const WRITE = 0;
export const READ = 1;
export const FIRST_SLOT = 2;
export const SLOTS = 65536;
