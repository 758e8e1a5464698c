import type { Bytes } from '../base/bytes.js';
import { Attr } from './fuse-abi.js';
import type { Inode } from './inodes.js';

export const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;
const PERMISSIONS = 0o7777;

const startSeconds = Math.floor(Date.now() / 1000);

/**
 * Stores a `struct fuse_attr` at byte `at`. A device looks like one to stat(2), and is a regular file to open(2): the kernel
 * would not ask us to open a character device.
 */
export function writeAttributes(out: Bytes, at: number, { id, node, isForStat }: Inode): void {
  const { mode, uid, gid } = node.attributes();
  out.zero(at, at + Attr.sizeof);
  out.setU64(at + Attr.ino, id);
  for (const time of [Attr.atime, Attr.mtime, Attr.ctime]) out.setU64(at + time, startSeconds);
  out.setU32(at + Attr.nlink, 1);
  out.setU32(at + Attr.uid, uid);
  out.setU32(at + Attr.gid, gid);
  out.setU32(at + Attr.blksize, 4096);
  if (node.kind !== 'device') {
    out.setU32(at + Attr.mode, (node.kind === 'directory' ? S_IFDIR : S_IFREG) | (mode & PERMISSIONS));
  } else if (isForStat) {
    out.setU32(at + Attr.mode, S_IFCHR | (mode & PERMISSIONS));
    out.setU32(at + Attr.rdev, encodeDevice(node.rdev));
  } else {
    out.setU32(at + Attr.mode, S_IFREG | (mode & PERMISSIONS));
    // Programs clamp a mapping of a regular file to its size.
    out.setU64(at + Attr.size, node.memorySize);
  }
}

/** A device number as the kernel's new_encode_dev() packs it. */
const encodeDevice = ({ major, minor }: { readonly major: number; readonly minor: number }): number =>
  (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
