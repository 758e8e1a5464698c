export const RLIMIT_NOFILE = 7;

/** `struct rlimit` on 64-bit Linux. */
export const Rlimit = { soft: 0, hard: 8, size: 16 } as const;
