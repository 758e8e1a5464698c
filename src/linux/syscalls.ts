/**
 * System calls that look at a path without opening it: stat, lstat, access, newfstatat, faccessat, statx, faccessat2.
 * Numbers from the kernel's syscall tables; another architecture is another row.
 */
const PATH_QUERIES: Readonly<Record<string, readonly number[]>> = {
  x64: [4, 6, 21, 262, 269, 332, 439],
  arm64: [48, 79, 291, 439],
};

export const pathQueries: ReadonlySet<number> = new Set(PATH_QUERIES[process.arch] ?? []);
