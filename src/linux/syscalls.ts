/**
 * System calls that only ask what a path is: stat, lstat, newfstatat, statx, and those of 32-bit programs. Numbers from the
 * kernel's syscall tables; another architecture is another row. The table of i386 (oldstat, oldlstat, stat, lstat, stat64,
 * lstat64, fstatat64, statx) can be in the same row, since none of its numbers opens a file on x86-64, nor the other way round.
 * access(2) and its kin are not among them: for a character device they ask the device cgroup, which in a container says no.
 */
const PATH_QUERIES: Readonly<Record<string, readonly number[]>> = {
  x64: [4, 6, 262, 332, 18, 84, 106, 107, 195, 196, 300, 383],
  arm64: [79, 291],
};

export const pathQueries: ReadonlySet<number> = new Set(PATH_QUERIES[process.arch] ?? []);
