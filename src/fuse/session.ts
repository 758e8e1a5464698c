import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { Caller } from '../caller/caller.js';
import type { OpenFile } from '../device.js';
import type { Heartbeat } from '../engine/heartbeat.js';
import { IoctlThread } from '../linux/ioctl-thread.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import { pathQueries } from '../linux/syscalls.js';
import type { Connection, PollHandle } from './connection.js';
import { Directory } from './directory.js';
import {
  Attr,
  AttrOut,
  EntryOut,
  FATTR_SIZE,
  FATTR_TIMES,
  FOPEN_DIRECT_IO,
  FOPEN_NOFLUSH,
  FOPEN_PASSTHROUGH,
  FUSE_INIT_EXT,
  FUSE_IOCTL_COMPAT,
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_PASSTHROUGH_FLAGS2,
  FUSE_POLL_SCHEDULE_NOTIFY,
  FUSE_ROOT_ID,
  INIT_OUT_SIZE,
  InHeader,
  InitIn,
  InitOut,
  IoctlIn,
  IoctlOut,
  MAX_WRITE,
  Opcode,
  OpenOut,
  OutHeader,
  PollIn,
  PollOut,
  READ_BUFFER,
  ReadIn,
  ReleaseIn,
  SetattrIn,
  STATFS_OUT_SIZE,
} from './fuse-abi.js';
import { entryOf, freshNodeId, statNodeId } from './node-id.js';
import { isDevice, mayReadText, type TextFile, type Tree } from './tree.js';

/** Seconds; attributes never change. */
const FOREVER = 1_000_000;
const REPLY_BUFFER = 128 * 1024;

export interface SessionOptions {
  /** st_dev of the mount, by which a client's descriptor is recognised as one of ours. */
  readonly deviceNumber: { readonly major: number; readonly minor: number };
  /** Beats while a request is handled. */
  readonly heartbeat: Heartbeat;
  readonly log: Logger;
}

/** An inode that is open. There is more than one file only where a bind mount or /proc/PID/fd leads to the same inode. */
interface OpenInode {
  readonly backingId: number;
  readonly files: Set<OpenFile>;
}

/** An open device file, and who waits for a change of its poll mask. */
interface OpenDevice {
  readonly file: OpenFile;
  readonly waiter: PollHandle;
  isAwaited: boolean;
}

/** Requests that would change the directory. */
const TREE_CHANGES: ReadonlySet<number> = new Set([
  Opcode.SYMLINK,
  Opcode.MKNOD,
  Opcode.MKDIR,
  Opcode.UNLINK,
  Opcode.RMDIR,
  Opcode.RENAME,
  Opcode.LINK,
  Opcode.CREATE,
  Opcode.RENAME2,
  Opcode.TMPFILE,
]);

/**
 * Where the argument of an ioctl lies in its request. The reply is built around it, in place: its headers, 32 bytes,
 * go right in front of the argument, over the 32 bytes of `struct fuse_ioctl_in`, which has been read by then.
 */
const IOCTL_ARGUMENT = IoctlIn.sizeof;
const IOCTL_REPLY = IOCTL_ARGUMENT - IoctlOut.sizeof;

/**
 * Serves a tree of devices: takes one request, handles it, replies, and only then takes the next.
 *
 * One descriptor and this order are part of correctness: the kernel sends RELEASE without waiting for a reply, but
 * always before the closing thread's next system call, so what is handled in the order of arrival is in the order that
 * clients can observe.
 */
export class Session {
  private readonly connection: Connection;
  private readonly request: Connection['request'];
  private readonly reply = new NativeBuffer(REPLY_BUFFER);
  private readonly argument: Bytes;
  private readonly caller: Caller;
  private readonly directory: Directory;
  private readonly deviceNumber: { readonly major: number; readonly minor: number };
  private readonly heartbeat: Heartbeat;
  private readonly log: Logger;
  private readonly inodes = new Map<number, OpenInode>();
  /** By file handle, as are the texts. */
  private readonly devices = new Map<number, OpenDevice>();
  private readonly texts = new Map<number, Buffer>();
  private lastHandle = 0;
  /** What identify() reads into; and the requests that arrived while it waited for its own. */
  private aside: NativeBuffer | undefined;
  private readonly deferred: Uint8Array[] = [];
  private isAnswered = false;
  /** Where the argument of the ioctl being handled is in its caller, and how large it is. */
  private argumentTarget = 0;
  private argumentSize = 0;
  private hasReportedInvisible = false;

  constructor(connection: Connection, tree: Tree, { deviceNumber, heartbeat, log }: SessionOptions) {
    this.connection = connection;
    this.request = connection.request;
    this.argument = new Bytes(this.request.u8.buffer as ArrayBuffer, IOCTL_ARGUMENT);
    this.caller = new Caller({
      filesOf: (major, minor, inode) => this.filesOf(major, minor, inode),
      identify: (fd) => this.identify(fd),
      answer: () => this.answerIoctl(),
      writeBack: () => this.writeBackArgument(),
    });
    this.directory = new Directory(tree);
    this.deviceNumber = deviceNumber;
    this.heartbeat = heartbeat;
    this.log = log;
  }

  /** Returns when the file system was unmounted. */
  run(): void {
    while (this.next()) {
      this.isAnswered = false;
      this.heartbeat.begin(this.request.u32(InHeader.pid));
      const opcode = this.request.u32(InHeader.opcode);
      try {
        this.handle(opcode);
      } catch (error) {
        this.log.error({ err: error, opcode }, 'internal error; the call was answered with EIO');
        if (!this.isAnswered) this.replyError(Errno.EIO);
      }
      this.heartbeat.end();
    }
  }

  private next(): boolean {
    if (this.deferred.length === 0) return this.connection.receive();
    this.request.u8.set(this.deferred.shift() as Uint8Array);
    return true;
  }

  private handle(opcode: number): void {
    switch (opcode) {
      case Opcode.IOCTL:
        return this.ioctl();
      case Opcode.POLL:
        return this.poll();
      case Opcode.FORGET:
      case Opcode.BATCH_FORGET:
      case Opcode.INTERRUPT: // everything is answered at once, so there is never anything to interrupt
        return;
      case Opcode.LOOKUP:
        return this.lookup();
      case Opcode.OPEN:
        return this.open();
      case Opcode.RELEASE:
        return this.release();
      case Opcode.GETATTR:
        return this.replyAttributes(this.request.u64(InHeader.nodeid));
      case Opcode.SETATTR:
        return this.setAttributes();
      case Opcode.READ:
        return this.read();
      case Opcode.WRITE:
        return this.replyError(Errno.EINVAL);
      case Opcode.READDIR:
        return this.readDirectory();
      case Opcode.OPENDIR:
        this.reply.zero(OutHeader.sizeof, OpenOut.sizeof);
        return this.replyBody(OpenOut.sizeof);
      case Opcode.RELEASEDIR:
      case Opcode.DESTROY:
        return this.replyBody(OutHeader.sizeof);
      case Opcode.STATFS:
        this.reply.zero(OutHeader.sizeof, STATFS_OUT_SIZE);
        return this.replyBody(STATFS_OUT_SIZE);
      case Opcode.INIT:
        return this.init();
      default:
        return this.replyError(TREE_CHANGES.has(opcode) ? Errno.EPERM : Errno.ENOSYS);
    }
  }

  // ---- replies

  private replyError(error: Errno): void {
    this.reply.setI32(OutHeader.error, -error);
    this.finishReply(OutHeader.sizeof);
  }

  /** Sends the body that is in the reply buffer; `length` includes the header. */
  private replyBody(length: number): void {
    this.reply.setI32(OutHeader.error, 0);
    this.finishReply(length);
  }

  private finishReply(length: number): void {
    this.isAnswered = true;
    this.sendReply(length, this.request);
  }

  private sendReply(length: number, request: Bytes): void {
    this.reply.setU32(OutHeader.len, length);
    this.reply.setU32(OutHeader.unique, request.u32(InHeader.unique));
    this.reply.setU32(OutHeader.unique + 4, request.u32(InHeader.unique + 4));
    this.connection.send(this.reply.address, length);
  }

  // ---- the hot path

  private ioctl(): void {
    const { request } = this;
    const device = this.devices.get(request.u64(IoctlIn.fh));
    this.argumentSize = request.u32(IoctlIn.out_size);
    this.argumentTarget = request.u64(IoctlIn.arg);
    this.takeCaller();
    this.caller.is32Bit = (request.u32(IoctlIn.flags) & FUSE_IOCTL_COMPAT) !== 0;
    if (device === undefined) return this.replyError(Errno.ENOTTY);
    if (this.caller.tid === 0) return this.refuseInvisible();
    const error = device.file.ioctl(request.u32(IoctlIn.cmd), this.argument, this.caller);
    if (this.isAnswered) return;
    if (error !== Errno.OK) return this.replyError(error);
    this.answerIoctl();
  }

  private answerIoctl(): void {
    const { request } = this;
    this.isAnswered = true;
    const length = IoctlOut.sizeof + this.argumentSize;
    request.setU32(IOCTL_REPLY + OutHeader.len, length);
    request.setI32(IOCTL_REPLY + OutHeader.error, 0);
    request.setU32(IOCTL_REPLY + OutHeader.unique, request.u32(InHeader.unique));
    request.setU32(IOCTL_REPLY + OutHeader.unique + 4, request.u32(InHeader.unique + 4));
    request.setU64(IOCTL_REPLY + IoctlOut.result, 0); // and flags
    request.setU64(IOCTL_REPLY + IoctlOut.in_iovs, 0); // and out_iovs
    this.connection.send(request.address + IOCTL_REPLY, length);
  }

  private writeBackArgument(): void {
    this.caller.writeFrom(this.request.address + IOCTL_ARGUMENT, this.argumentTarget, this.argumentSize);
  }

  private poll(): void {
    const { request } = this;
    const device = this.devices.get(request.u64(PollIn.fh));
    if (device === undefined) return this.replyError(Errno.ENOSYS);
    if ((request.u32(PollIn.flags) & FUSE_POLL_SCHEDULE_NOTIFY) !== 0) {
      device.waiter.low = request.u32(PollIn.kh);
      device.waiter.high = request.u32(PollIn.kh + 4);
      device.isAwaited = true;
    }
    this.reply.setU32(PollOut.revents, device.file.poll());
    this.reply.setU32(PollOut.padding, 0);
    this.replyBody(PollOut.sizeof);
  }

  /**
   * Wakes those who wait for a change of a file. It is called while the call that caused the change is handled, so the
   * wake-up is sent before that call returns: epoll_wait() with no time to wait finds the event.
   */
  private wake(device: OpenDevice): void {
    if (!device.isAwaited) return;
    device.isAwaited = false;
    this.connection.notifyPoll(device.waiter);
  }

  private takeCaller(): void {
    this.caller.uid = this.request.u32(InHeader.uid);
    this.caller.gid = this.request.u32(InHeader.gid);
    this.caller.tid = this.request.u32(InHeader.pid);
  }

  private refuseInvisible(): void {
    if (!this.hasReportedInvisible) {
      this.hasReportedInvisible = true;
      this.log.warn(
        'refused a caller that this pid namespace does not see; run bus1fs in the pid namespace of the host, or in one that contains those of all its clients',
      );
    }
    this.replyError(Errno.EPERM);
  }

  // ---- open files

  private open(): void {
    const nodeId = this.request.u64(InHeader.nodeid);
    const entry = this.directory.entryAt(entryOf(nodeId));
    if (entry === undefined) return this.replyError(Errno.ENOENT);
    this.takeCaller();
    if (this.caller.tid === 0) return this.refuseInvisible();
    if (!isDevice(entry)) return this.openText(entry);
    const siblings = this.inodes.get(nodeId);
    const [sibling] = siblings?.files ?? [];
    const file = entry.open(this.caller, sibling);
    if (typeof file === 'number') return this.replyError(file);
    const inode = siblings ?? this.openInode(nodeId, file);
    if (typeof inode === 'number') {
      file.release();
      this.log.error({ errno: inode }, 'the kernel refused a backing file');
      return this.replyError(inode);
    }
    inode.files.add(file);
    const device: OpenDevice = { file, waiter: { low: 0, high: 0 }, isAwaited: false };
    file.onPollChange = () => this.wake(device);
    const handle = ++this.lastHandle;
    this.devices.set(handle, device);
    this.replyOpen(handle, FOPEN_DIRECT_IO | FOPEN_PASSTHROUGH | FOPEN_NOFLUSH, inode.backingId);
  }

  /** The kernel takes one backing file for all opens of an inode. */
  private openInode(nodeId: number, { memory }: OpenFile): OpenInode | Errno {
    const backingId = this.connection.openBacking(memory.fd);
    memory.closeFd();
    if (backingId < 0) return -backingId as Errno;
    const inode: OpenInode = { backingId, files: new Set() };
    this.inodes.set(nodeId, inode);
    return inode;
  }

  private openText(entry: TextFile): void {
    if (!mayReadText(this.caller)) return this.replyError(Errno.EACCES);
    const handle = ++this.lastHandle;
    this.texts.set(handle, Buffer.from(entry.content()));
    this.replyOpen(handle, FOPEN_DIRECT_IO | FOPEN_NOFLUSH, 0);
  }

  private replyOpen(handle: number, flags: number, backingId: number): void {
    this.reply.setU64(OpenOut.fh, handle);
    this.reply.setU32(OpenOut.open_flags, flags);
    this.reply.setI32(OpenOut.backing_id, backingId);
    this.replyBody(OpenOut.sizeof);
  }

  private release(): void {
    const handle = this.request.u64(ReleaseIn.fh);
    const device = this.devices.get(handle);
    if (device === undefined) {
      this.texts.delete(handle);
    } else {
      this.devices.delete(handle);
      device.isAwaited = false;
      device.file.release();
      this.closeInode(this.request.u64(InHeader.nodeid), device.file);
    }
    this.replyBody(OutHeader.sizeof);
  }

  private closeInode(nodeId: number, file: OpenFile): void {
    const inode = this.inodes.get(nodeId);
    inode?.files.delete(file);
    if (inode === undefined || inode.files.size > 0) return;
    this.inodes.delete(nodeId);
    this.connection.closeBacking(inode.backingId);
  }

  private filesOf(major: number, minor: number, inode: number): ReadonlySet<OpenFile> | undefined {
    if (major !== this.deviceNumber.major || minor !== this.deviceNumber.minor) return undefined;
    return this.inodes.get(inode)?.files;
  }

  /**
   * Which open file a descriptor of this process is: another thread makes an ioctl on it, and the file handle that
   * arrives with it tells. Requests before it wait, and keep their order.
   */
  private identify(fd: number): OpenFile | undefined {
    const thread = IoctlThread.start(fd);
    if (thread === undefined) return undefined;
    const file = this.answerOwnIoctl();
    thread.join();
    return file;
  }

  private answerOwnIoctl(): OpenFile | undefined {
    this.aside ??= new NativeBuffer(READ_BUFFER);
    const { aside, connection } = this;
    while (connection.receive(aside)) {
      if (aside.u32(InHeader.opcode) === Opcode.IOCTL && isThreadOfOurs(aside.u32(InHeader.pid))) {
        this.reply.setI32(OutHeader.error, -Errno.ENOTTY);
        this.sendReply(OutHeader.sizeof, aside);
        return this.devices.get(aside.u64(IoctlIn.fh))?.file;
      }
      this.deferred.push(aside.u8.slice(0, aside.u32(InHeader.len)));
    }
    return undefined;
  }

  private read(): void {
    const text = this.texts.get(this.request.u64(ReadIn.fh));
    if (text === undefined) return this.replyError(Errno.EINVAL);
    const start = this.request.u64(ReadIn.offset);
    const length = Math.min(this.request.u32(ReadIn.size), REPLY_BUFFER - OutHeader.sizeof);
    const part = text.subarray(start, start + length);
    this.reply.u8.set(part, OutHeader.sizeof);
    this.replyBody(OutHeader.sizeof + part.length);
  }

  // ---- names and attributes

  private lookup(): void {
    const { request } = this;
    const name = request.text(InHeader.sizeof, request.u32(InHeader.len) - 1);
    const index = this.directory.indexOf(name);
    const entry = this.directory.entryAt(index);
    if (entry === undefined || request.u64(InHeader.nodeid) !== FUSE_ROOT_ID) return this.replyError(Errno.ENOENT);
    this.takeCaller();
    const isQuery = !isDevice(entry) || pathQueries.has(this.caller.systemCall());
    const nodeId = isQuery ? statNodeId(index) : freshNodeId(index);
    this.reply.zero(OutHeader.sizeof, EntryOut.sizeof);
    this.reply.setU64(EntryOut.nodeid, nodeId);
    this.reply.setU64(EntryOut.attr_valid, FOREVER);
    this.directory.writeAttributes(this.reply, EntryOut.sizeof, nodeId);
    this.replyBody(EntryOut.sizeof + Attr.sizeof);
  }

  private replyAttributes(nodeId: number): void {
    this.reply.zero(OutHeader.sizeof, AttrOut.sizeof);
    this.reply.setU64(AttrOut.attr_valid, FOREVER);
    this.directory.writeAttributes(this.reply, AttrOut.sizeof, nodeId);
    this.replyBody(AttrOut.sizeof + Attr.sizeof);
  }

  /** Open with O_TRUNC, as a shell's redirection does, and touch succeed and do nothing; owner and mode stay. */
  private setAttributes(): void {
    const valid = this.request.u32(SetattrIn.valid);
    if ((valid & ~(FATTR_SIZE | FATTR_TIMES)) !== 0) return this.replyError(Errno.EPERM);
    if ((valid & FATTR_SIZE) !== 0 && this.request.u64(SetattrIn.size) !== 0) return this.replyError(Errno.EINVAL);
    this.replyAttributes(this.request.u64(InHeader.nodeid));
  }

  private readDirectory(): void {
    const isStart = this.request.u64(ReadIn.offset) === 0;
    this.replyBody(isStart ? this.directory.list(this.reply, OutHeader.sizeof) : OutHeader.sizeof);
  }

  private init(): void {
    const { request, reply } = this;
    if (request.u32(InitIn.major) !== FUSE_KERNEL_VERSION) return this.replyError(Errno.EIO);
    reply.zero(OutHeader.sizeof, INIT_OUT_SIZE);
    reply.setU32(InitOut.major, FUSE_KERNEL_VERSION);
    reply.setU32(InitOut.minor, Math.min(FUSE_KERNEL_MINOR_VERSION, request.u32(InitIn.minor)));
    reply.setU32(InitOut.flags, FUSE_INIT_EXT);
    reply.setU32(InitOut.flags2, FUSE_PASSTHROUGH_FLAGS2);
    reply.setU32(InitOut.max_stack_depth, 1);
    reply.setU32(InitOut.max_write, MAX_WRITE);
    reply.setU32(InitOut.time_gran, 1);
    this.replyBody(INIT_OUT_SIZE);
  }
}

const isThreadOfOurs = (tid: number): boolean => existsSync(`/proc/self/task/${tid}`);
