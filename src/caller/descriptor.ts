import { readdirSync, readFileSync } from 'node:fs';
import { Errno } from '../base/errno.js';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  close,
  F_GETFL,
  fcntl,
  O_CLOEXEC,
  O_PATH,
  open,
  STATX_INO,
  STATX_MODE,
  STATX_SIZE,
  Statx,
  statx,
} from '../linux/file.js';
import { NativeBuffer } from '../linux/native-buffer.js';

/** What a descriptor refers to. */
export interface DescriptorTarget {
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly inode: number;
  /** `st_mode`. */
  readonly mode: number;
}

const S_IRWXU = 0o700;
const stat = new NativeBuffer(Statx.sizeof);

/** Whether a negative errno says that this process, or the system, can have no more descriptors. */
export const isExhausted = (error: number): boolean => error === -Errno.EMFILE || error === -Errno.ENFILE;

/** Looks at a descriptor of this process, without asking the file system, which may be ours. EBADF if it cannot be done. */
export function inspect(fd: number): DescriptorTarget | Errno {
  const failed = statx(fd, '', AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO | STATX_MODE, stat.address) < 0;
  if (failed) return Errno.EBADF;
  return {
    deviceMajor: stat.u32(Statx.devMajor),
    deviceMinor: stat.u32(Statx.devMinor),
    inode: stat.u64(Statx.ino),
    mode: stat.u16(Statx.mode),
  };
}

/** Whether a descriptor of this process was opened with O_PATH. */
export const isPath = (fd: number): boolean => (fcntl(fd, F_GETFL, 0) & O_PATH) !== 0;

/**
 * Looks at descriptor `fd` of thread `tid` without opening what it refers to. EBADF if it is not open, or open with O_PATH;
 * ENFILE if this process has no descriptor left to do that.
 */
export function inspectDescriptor(tid: number, fd: number): DescriptorTarget | Errno {
  const path = `/proc/${tid}/fd/${fd}`;
  const target = open(path, O_PATH | O_CLOEXEC, 0);
  if (target < 0) return isExhausted(target) ? Errno.ENFILE : Errno.EBADF;
  const found = inspect(target);
  close(target);
  return isPathDescriptor(tid, fd, path) ? Errno.EBADF : found;
}

/** The mode of the /proc link tells how the descriptor was opened (proc(5)): no access at all for O_PATH, and rarely else. */
function isPathDescriptor(tid: number, fd: number, path: string): boolean {
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MODE, stat.address) !== 0) return false;
  if ((stat.u16(Statx.mode) & S_IRWXU) !== 0) return false;
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/${tid}/fdinfo/${fd}`, 'latin1'))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & O_PATH) !== 0;
  } catch {
    return false;
  }
}

/** How many descriptors thread `tid` has open: the size of the directory in /proc, since Linux 6.2. */
export function openDescriptors(tid: number): number {
  const failed = statx(AT_FDCWD, `/proc/${tid}/fd`, 0, STATX_SIZE, stat.address) < 0;
  return failed ? 0 : stat.u64(Statx.size);
}

/** How many of them have a number below `limit`. */
export const descriptorsBelow = (tid: number, limit: number): number =>
  readdirSync(`/proc/${tid}/fd`).filter((name) => Number(name) < limit).length;

/** The bounds on their numbers; undefined if the thread is gone. */
export function descriptorLimits(tid: number): { readonly soft: number; readonly hard: number } | undefined {
  try {
    const line = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync(`/proc/${tid}/limits`, 'latin1'));
    return line === null ? undefined : { soft: Number(line[1]), hard: Number(line[2]) };
  } catch {
    return undefined;
  }
}
