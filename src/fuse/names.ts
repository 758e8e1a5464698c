import { Errno } from '../base/errno.js';
import { IdTable } from '../base/id-table.js';
import type { Caller, Node } from '../device.js';
import { writeAttributes } from './attributes.js';
import { type Exchange, REPLY_BUFFER } from './exchange.js';
import {
  Attr,
  AttrOut,
  BatchForgetIn,
  Dirent,
  EntryOut,
  FATTR_GID,
  FATTR_MODE,
  FATTR_SIZE,
  FATTR_TIMES,
  FATTR_UID,
  ForgetIn,
  ForgetOne,
  InHeader,
  OpenOut,
  OutHeader,
  ReadIn,
  ReleaseIn,
  SetattrIn,
  STATFS_OUT_SIZE,
  StatfsOut,
} from './fuse-abi.js';
import type { Ids } from './ids.js';
import type { Inode, Inodes } from './inodes.js';

/** Seconds that the kernel may keep attributes which never change. */
const FOREVER = 1_000_000;
const BLOCK_SIZE = 4096;
const NAME_MAX = 255;

const DIRENT_TYPES: Readonly<Record<Node['kind'], number>> = { device: 2, directory: 4, text: 8 };

/** Names and attributes: LOOKUP, FORGET, GETATTR, SETATTR, STATFS and the reading of directories. */
export class Names {
  private readonly exchange: Exchange;
  private readonly inodes: Inodes;
  private readonly ids: Ids;
  private readonly isPathQuery: (caller: Caller) => boolean;
  /** What an open directory held when its reading began, by handle. */
  private readonly listings = new IdTable<readonly (readonly [string, Node])[]>();

  /** `isPathQuery` tells whether a caller looks a name up only to stat(2) it. */
  constructor(exchange: Exchange, inodes: Inodes, ids: Ids, isPathQuery: (caller: Caller) => boolean) {
    this.exchange = exchange;
    this.inodes = inodes;
    this.ids = ids;
    this.isPathQuery = isPathQuery;
  }

  lookUp(caller: Caller): void {
    const { request, reply } = this.exchange;
    const parent = this.inodes.get(request.u64(InHeader.nodeid))?.node;
    const name = request.text(InHeader.sizeof, request.u32(InHeader.len) - 1);
    const node = parent?.kind === 'directory' ? parent.child(name) : undefined;
    if (node === undefined) return this.exchange.fail(Errno.ENOENT);
    const inode = this.inodes.lookUp(node, node.kind !== 'device' || this.isPathQuery(caller));
    reply.zero(OutHeader.sizeof, EntryOut.sizeof);
    reply.setU64(EntryOut.nodeid, inode.id);
    reply.setU64(EntryOut.attr_valid, node.isVolatile ? 0 : FOREVER);
    writeAttributes(reply, EntryOut.sizeof, inode);
    this.exchange.succeed(EntryOut.sizeof + Attr.sizeof);
  }

  forget(): void {
    const { request } = this.exchange;
    this.inodes.forget(request.u64(InHeader.nodeid), request.u64(ForgetIn.nlookup));
  }

  forgetMany(): void {
    const { request } = this.exchange;
    const count = request.u32(BatchForgetIn.count);
    for (let at = BatchForgetIn.sizeof, i = 0; i < count; i++, at += ForgetOne.sizeof) {
      this.inodes.forget(request.u64(at + ForgetOne.nodeid), request.u64(at + ForgetOne.nlookup));
    }
  }

  /** The inode a request is about; ESTALE is answered where another engine made it, and there is nothing behind it. */
  private inode(): Inode | undefined {
    const inode = this.inodes.get(this.exchange.request.u64(InHeader.nodeid));
    if (inode === undefined) this.exchange.fail(Errno.ESTALE);
    return inode;
  }

  getAttributes(): void {
    const inode = this.inode();
    if (inode !== undefined) this.answerAttributes(inode);
  }

  private answerAttributes(inode: Inode): void {
    const { reply } = this.exchange;
    reply.zero(OutHeader.sizeof, AttrOut.sizeof);
    reply.setU64(AttrOut.attr_valid, inode.node.isVolatile ? 0 : FOREVER);
    writeAttributes(reply, AttrOut.sizeof, inode);
    this.exchange.succeed(AttrOut.sizeof + Attr.sizeof);
  }

  /**
   * What leaves everything as it is succeeds: open with O_TRUNC, as a shell's redirection does; touch; and a mode and an owner
   * that are the present ones.
   */
  setAttributes(): void {
    const { request } = this.exchange;
    const inode = this.inode();
    if (inode === undefined) return;
    const valid = request.u32(SetattrIn.valid);
    const { mode, uid, gid } = inode.node.attributes();
    const isChange =
      (valid & ~(FATTR_SIZE | FATTR_TIMES | FATTR_MODE | FATTR_UID | FATTR_GID)) !== 0 ||
      ((valid & FATTR_MODE) !== 0 && (request.u32(SetattrIn.mode) & 0o7777) !== mode) ||
      ((valid & FATTR_UID) !== 0 && request.u32(SetattrIn.uid) !== uid) ||
      ((valid & FATTR_GID) !== 0 && request.u32(SetattrIn.gid) !== gid);
    if (isChange) return this.exchange.fail(Errno.EPERM);
    if ((valid & FATTR_SIZE) !== 0 && request.u64(SetattrIn.size) !== 0) return this.exchange.fail(Errno.EINVAL);
    this.answerAttributes(inode);
  }

  statFileSystem(): void {
    const { reply } = this.exchange;
    reply.zero(OutHeader.sizeof, STATFS_OUT_SIZE);
    reply.setU32(StatfsOut.bsize, BLOCK_SIZE);
    reply.setU32(StatfsOut.frsize, BLOCK_SIZE);
    reply.setU32(StatfsOut.namelen, NAME_MAX);
    this.exchange.succeed(STATFS_OUT_SIZE);
  }

  // ---- directories

  openDirectory(): void {
    const { reply } = this.exchange;
    const node = this.inode()?.node;
    if (node === undefined) return;
    if (node.kind !== 'directory') return this.exchange.fail(Errno.ENOTDIR);
    const handle = this.ids.next();
    this.listings.set(handle, [...node.children()]);
    reply.zero(OutHeader.sizeof, OpenOut.sizeof);
    reply.setU64(OpenOut.fh, handle);
    this.exchange.succeed(OpenOut.sizeof);
  }

  /** As many entries as fit, from the one at the offset on. */
  readDirectory(): void {
    const { request, reply } = this.exchange;
    const listing = this.listings.get(request.u64(ReadIn.fh)) ?? [];
    const limit = Math.min(OutHeader.sizeof + request.u32(ReadIn.size), REPLY_BUFFER);
    let end: number = OutHeader.sizeof;
    for (let index = request.u64(ReadIn.offset); index < listing.length; index++) {
      const [name, node] = listing[index] as readonly [string, Node];
      const bytes = Buffer.from(name);
      const start = end;
      const next = start + Math.ceil((Dirent.sizeof + bytes.length) / 8) * 8;
      if (next > limit) break;
      end = next;
      reply.zero(start, end);
      reply.setU64(start + Dirent.ino, this.inodes.statId(node));
      reply.setU64(start + Dirent.off, index + 1);
      reply.setU32(start + Dirent.namelen, bytes.length);
      reply.setU32(start + Dirent.type, DIRENT_TYPES[node.kind]);
      reply.u8.set(bytes, start + Dirent.sizeof);
    }
    this.exchange.succeed(end);
  }

  releaseDirectory(): void {
    this.listings.delete(this.exchange.request.u64(ReleaseIn.fh));
    this.exchange.succeed();
  }
}
