import { readFileSync } from 'node:fs';
import { systemCall } from './libc.js';

/** mount(2). Returns 0 or a negative errno. */
export const mount = systemCall<[source: string, target: string, type: string, flags: number, data: string]>(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
);
/** umount2(2). Returns 0 or a negative errno. */
export const unmount = systemCall<[target: string, flags: number]>('int umount2(const char *target, int flags)');

export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MNT_FORCE = 1;
export const MNT_DETACH = 2;

export interface MountEntry {
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** What of the file system is mounted; / unless it is a bind mount of a part. */
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  /** Of the file system ("super options"). */
  readonly options: readonly string[];
}

const decodeOctal = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The mounts this process sees, oldest first, from /proc/self/mountinfo (proc(5)). */
export function mounts(): MountEntry[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [head = '', tail = ''] = line.split(' - ', 2);
    const [, , device = '0:0', root = '', mountPoint = ''] = head.split(' ');
    const [type = '', source = '', options = ''] = tail.split(' ');
    const [major, minor] = device.split(':').map(Number);
    return {
      deviceMajor: major ?? 0,
      deviceMinor: minor ?? 0,
      root: decodeOctal(root),
      mountPoint: decodeOctal(mountPoint),
      type,
      source: decodeOctal(source),
      options: options.split(','),
    };
  });
}

/** The topmost mount at exactly this absolute path, if any. */
export const mountAt = (path: string): MountEntry | undefined =>
  mounts().findLast((entry) => entry.mountPoint === path);
