import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { mounts } from './mount-table.js';

/** Where a control group, and those above it, say how much memory they may have: in version 1 and 2 (cgroups(7)). */
const HIERARCHIES = [
  { type: 'cgroup', option: 'memory', file: 'memory.limit_in_bytes' },
  { type: 'cgroup2', option: undefined, file: 'memory.max' },
] as const;

/** The smallest memory limit of the control groups that this process is in, in bytes; Infinity if there is none, or none to be seen. */
export function memoryLimit(): number {
  const groups = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  const limits = HIERARCHIES.flatMap(({ type, option, file }) => {
    const mount = mounts().find(
      (entry) => entry.type === type && (option === undefined || entry.options.includes(option)),
    );
    const path = groups.map((line) => groupPath(line, option)).find((found) => found !== undefined);
    return mount === undefined || path === undefined ? [] : limitsOf(mount, path, file);
  });
  return Math.min(...limits);
}

/** The path of a group in the hierarchy that has `option`, or in that of version 2, if a line of /proc/self/cgroup is about it. */
function groupPath(line: string, option: string | undefined): string | undefined {
  const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
  const isMeant = option === undefined ? id === '0' && controllers === '' : controllers?.split(',').includes(option);
  return isMeant ? path : undefined;
}

/** The limits of a group and of those above it, as far as they are mounted. */
function limitsOf({ root, mountPoint }: { root: string; mountPoint: string }, path: string, file: string): number[] {
  const below = relative(root, path);
  // a mount made in another cgroup namespace: the group is not to be seen, but it is at or below what is
  let directory = below.startsWith('..') ? mountPoint : join(mountPoint, below);
  const limits: number[] = [];
  for (; ; directory = dirname(directory)) {
    limits.push(limitIn(join(directory, file)));
    if (directory === mountPoint || directory === '/') return limits;
  }
}

/** The group at the root of a hierarchy has no such file, and `max` is no limit. */
function limitIn(file: string): number {
  try {
    const limit = Number.parseInt(readFileSync(file, 'latin1'), 10);
    return Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
