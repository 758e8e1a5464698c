/**
 * System calls that only ask what a path is: stat, lstat, newfstatat, statx. Numbers from the kernel's syscall tables;
 * another architecture is another row. access(2) and its kin are not among them: for a character device they ask the
 * device cgroup, which in a container says no.
 */
const PATH_QUERIES: Readonly<Record<string, readonly number[]>> = {
  x64: [4, 6, 262, 332],
  arm64: [79, 291],
};

export const pathQueries: ReadonlySet<number> = new Set(PATH_QUERIES[process.arch] ?? []);
