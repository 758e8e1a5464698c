import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type MountEntry, mounts } from './mount-table.js';

/** Where a control group, and those above it, say how much memory they may have: in version 1 and 2 (cgroups(7)). */
const HIERARCHIES = [
  { type: 'cgroup', option: 'memory', file: 'memory.limit_in_bytes' },
  { type: 'cgroup2', option: undefined, file: 'memory.max' },
] as const;

/** The smallest memory limit of the control groups that this process is in, in bytes; Infinity if there is none, or none to be seen. */
export const memoryLimit = (): number =>
  smallestLimit(readFileSync('/proc/self/cgroup', 'utf8'), mounts(), (file) => readFileSync(file, 'latin1'));

/** The same of a process whose /proc/self/cgroup is `groups`. `read` throws where there is no such file. */
export function smallestLimit(groups: string, entries: readonly MountEntry[], read: (file: string) => string): number {
  const limits = HIERARCHIES.flatMap(({ type, option, file }) => {
    const mount = entries.find(
      (entry) => entry.type === type && (option === undefined || entry.options.includes(option)),
    );
    const path = groups
      .split('\n')
      .map((line) => groupPath(line, option))
      .find((found) => found !== undefined);
    if (mount === undefined || path === undefined) return [];
    return directoriesOf(mount, path).map((directory) => limitIn(join(directory, file), read));
  });
  return Math.min(...limits);
}

/** The path of a group in the hierarchy that has `option`, or in that of version 2, if a line of /proc/self/cgroup is about it. */
function groupPath(line: string, option: string | undefined): string | undefined {
  const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
  const isMeant = option === undefined ? id === '0' && controllers === '' : controllers?.split(',').includes(option);
  return isMeant ? path : undefined;
}

/** A group and those above it, as far as they are mounted. */
function directoriesOf({ root, mountPoint }: MountEntry, path: string): string[] {
  const below = relative(root, path);
  // a mount made in another cgroup namespace: the group is not to be seen, but it is at or below what is
  const steps = below === '' || below.startsWith('..') ? [] : below.split('/');
  return [...steps.keys(), steps.length].map((n) => join(mountPoint, ...steps.slice(0, n)));
}

/** The group at the root of a hierarchy has no such file, and `max` is no limit. */
function limitIn(file: string, read: (file: string) => string): number {
  try {
    const limit = Number.parseInt(read(file), 10);
    return Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
