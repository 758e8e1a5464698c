import { describe, expect, test } from 'vitest';
import { memoryLimit, smallestLimit } from '../../../src/linux/cgroup.js';
import type { MountEntry } from '../../../src/linux/mount-table.js';

const NONE = Number.POSITIVE_INFINITY;

const mount = (type: string, mountPoint: string, root = '/', ...options: string[]): MountEntry => ({
  deviceMajor: 0,
  deviceMinor: 1,
  root,
  mountPoint,
  type,
  source: type,
  options: ['rw', ...options],
});
const V1 = [
  mount('cgroup', '/sys/fs/cgroup/cpu,cpuacct', '/', 'cpu', 'cpuacct'),
  mount('cgroup', '/sys/fs/cgroup/memory', '/', 'memory'),
  mount('cgroup2', '/sys/fs/cgroup/unified'),
];
const V2 = [mount('cgroup2', '/sys/fs/cgroup')];

const limitOf = (groups: string, mounts: readonly MountEntry[], files: Readonly<Record<string, string>>): number =>
  smallestLimit(groups, mounts, (file) => {
    const text = files[file];
    if (text === undefined) throw new Error('ENOENT');
    return `${text}\n`;
  });

describe('the memory limit of version 2', () => {
  test('is that of the group', () => {
    expect(limitOf('0::/a/b\n', V2, { '/sys/fs/cgroup/a/b/memory.max': '4096' })).toBe(4096);
  });

  test('or the smallest of those above it', () => {
    const files = { '/sys/fs/cgroup/a/memory.max': '100', '/sys/fs/cgroup/a/b/memory.max': 'max' };
    expect(limitOf('0::/a/b\n', V2, files)).toBe(100);
    expect(limitOf('0::/a/b\n', V2, { ...files, '/sys/fs/cgroup/a/b/memory.max': '99' })).toBe(99);
  });

  test('in a namespace of its own, where the group is the root', () => {
    expect(limitOf('0::/\n', V2, { '/sys/fs/cgroup/memory.max': '77' })).toBe(77);
  });

  test('is none where none is set, and at the root of the machine', () => {
    expect(limitOf('0::/a\n', V2, { '/sys/fs/cgroup/a/memory.max': 'max' })).toBe(NONE);
    expect(limitOf('0::/\n', V2, {})).toBe(NONE);
    expect(limitOf('0::/a\n', [], {})).toBe(NONE);
  });
});

describe('the memory limit of version 1', () => {
  const GROUPS = '9:cpu,cpuacct:/x\n4:memory:/docker/1/2\n1:name=systemd:/memory\n0::/\n';

  test('is the smallest of the group and those above it', () => {
    const files = {
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
      '/sys/fs/cgroup/memory/docker/memory.limit_in_bytes': '500',
      '/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes': '400',
      '/sys/fs/cgroup/memory/docker/1/2/memory.limit_in_bytes': '600',
      '/sys/fs/cgroup/memory/x/memory.limit_in_bytes': '1',
    };
    expect(limitOf(GROUPS, V1, files)).toBe(400);
  });

  test('in a container, which has its own group only mounted', () => {
    const mounts = [mount('cgroup', '/sys/fs/cgroup/memory', '/docker/1', 'memory')];
    const files = {
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '40',
      '/sys/fs/cgroup/memory/2/memory.limit_in_bytes': '30',
    };
    expect(limitOf(GROUPS, mounts, files)).toBe(30);
    expect(limitOf('4:memory:/docker/1\n', mounts, files)).toBe(40);
    expect(limitOf('4:memory:/\n', mounts, files)).toBe(40);
  });
});

test('this process has one, or none', () => {
  expect(memoryLimit()).toBeGreaterThan(0);
});
