import type { Bytes } from '../base/bytes.js';
import { Attr, Dirent } from './fuse-abi.js';
import { entryOf, isStatNode, statNodeId } from './node-id.js';
import { isDevice, type Tree, type TreeEntry } from './tree.js';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;
const DT_REG = 8;
const DT_CHR = 2;

/** The one directory of the mount: names and attributes of the entries of a tree. */
export class Directory {
  private readonly entries: readonly (readonly [string, TreeEntry])[];
  private readonly startSeconds = Math.floor(Date.now() / 1000);

  constructor(tree: Tree) {
    this.entries = [...tree];
  }

  /** The index of a name, or -1. */
  indexOf(name: string): number {
    return this.entries.findIndex(([entryName]) => entryName === name);
  }

  entryAt(index: number): TreeEntry | undefined {
    return this.entries[index]?.[1];
  }

  /** Stores a `struct fuse_attr` at byte `at`. A device looks like one to stat(2), and is a regular file to open(2). */
  writeAttributes(out: Bytes, at: number, nodeId: number): void {
    const entry = this.entryAt(entryOf(nodeId));
    out.zero(at, at + Attr.sizeof);
    out.setU64(at + Attr.ino, nodeId);
    out.setU64(at + Attr.atime, this.startSeconds);
    out.setU64(at + Attr.mtime, this.startSeconds);
    out.setU64(at + Attr.ctime, this.startSeconds);
    out.setU32(at + Attr.nlink, 1);
    if (entry === undefined) {
      out.setU32(at + Attr.mode, S_IFDIR | 0o755);
    } else if (!isDevice(entry)) {
      out.setU32(at + Attr.mode, S_IFREG | 0o400);
    } else if (isStatNode(nodeId)) {
      out.setU32(at + Attr.mode, S_IFCHR | 0o666);
      out.setU32(at + Attr.rdev, encodeDevice(entry.rdev));
    } else {
      out.setU32(at + Attr.mode, S_IFREG | 0o666);
    }
  }

  /** Stores all entries as `struct fuse_dirent`s from byte `at` on. Returns where they end. */
  list(out: Bytes, at: number): number {
    let end = at;
    for (const [index, [name, entry]] of this.entries.entries()) {
      const start = end;
      const nameBytes = Buffer.from(name);
      end = start + Math.ceil((Dirent.sizeof + nameBytes.length) / 8) * 8;
      out.zero(start, end);
      out.setU64(start + Dirent.ino, statNodeId(index));
      out.setU64(start + Dirent.off, index + 1);
      out.setU32(start + Dirent.namelen, nameBytes.length);
      out.setU32(start + Dirent.type, isDevice(entry) ? DT_CHR : DT_REG);
      out.u8.set(nameBytes, start + Dirent.sizeof);
    }
    return end;
  }
}

/** A device number as the kernel's new_encode_dev() packs it. */
const encodeDevice = ({ major, minor }: { readonly major: number; readonly minor: number }): number =>
  (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
