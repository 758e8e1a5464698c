import { readFileSync } from 'node:fs';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  close,
  O_CLOEXEC,
  O_PATH,
  open,
  STATX_INO,
  STATX_MODE,
  Statx,
  statx,
} from '../linux/file.js';
import { NativeBuffer } from '../linux/native-buffer.js';

/** What a descriptor of another process refers to. */
export interface DescriptorTarget {
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly inode: number;
  readonly isPath: boolean;
}

const S_IRWXU = 0o700;
const targetStat = new NativeBuffer(Statx.size);
const linkStat = new NativeBuffer(Statx.size);

/**
 * Looks at descriptor `fd` of thread `tid` without opening what it refers to and without asking its file system, which
 * may be ours. Undefined if it is not open.
 */
export function inspectDescriptor(tid: number, fd: number): DescriptorTarget | undefined {
  const path = `/proc/${tid}/fd/${fd}`;
  const target = open(path, O_PATH | O_CLOEXEC, 0);
  if (target < 0) return undefined;
  const found = statx(target, '', AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, targetStat.address) === 0;
  close(target);
  if (!found) return undefined;
  return {
    deviceMajor: targetStat.u32(Statx.devMajor),
    deviceMinor: targetStat.u32(Statx.devMinor),
    inode: targetStat.u64(Statx.ino),
    isPath: isPathDescriptor(tid, fd, path),
  };
}

/** The mode of the /proc link tells how the descriptor was opened (proc(5)): no access at all for O_PATH, and rarely else. */
function isPathDescriptor(tid: number, fd: number, path: string): boolean {
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MODE, linkStat.address) !== 0) return false;
  if ((linkStat.u16(Statx.mode) & S_IRWXU) !== 0) return false;
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/${tid}/fdinfo/${fd}`, 'latin1'))?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & O_PATH) !== 0;
  } catch {
    return false;
  }
}
