import type { Logger } from 'pino';
import { Errno, errnoName } from '../base/errno.js';
import { IdTable } from '../base/id-table.js';
import { type Caller, type DeviceNode, type OpenFile, Poll, type TextNode } from '../device.js';
import type { Connection, PollHandle } from './connection.js';
import { type Exchange, REPLY_BUFFER } from './exchange.js';
import {
  FOPEN_DIRECT_IO,
  FOPEN_NOFLUSH,
  FOPEN_PASSTHROUGH,
  FUSE_POLL_SCHEDULE_NOTIFY,
  InHeader,
  OpenOut,
  OutHeader,
  PollIn,
  PollOut,
  ReadIn,
  ReleaseIn,
} from './fuse-abi.js';
import type { Ids } from './ids.js';
import type { Inode, Inodes } from './inodes.js';
import type { InheritedFile, OpenLedger } from './open-ledger.js';
import type { Outbox } from './outbox.js';

/** An open device file, and who waits for a change of its poll mask. */
interface OpenDevice {
  readonly file: OpenFile;
  readonly waiter: PollHandle;
  /** Where it stands in the ledger. */
  readonly place: number;
  isAwaited: boolean;
}

/** What poll(2) says of a file that is always ready. */
const READY = Poll.IN | Poll.OUT | Poll.RDNORM | Poll.WRNORM;

/** st_dev of a mount. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

export interface OpenFilesOptions {
  readonly deviceNumber: DeviceNumber;
  readonly ledger: OpenLedger;
  readonly log: Logger;
}

const TWO_32 = 2 ** 32;

/** Open files by their handle: OPEN, READ, POLL and RELEASE. */
export class OpenFiles {
  private readonly exchange: Exchange;
  private readonly connection: Connection;
  private readonly outbox: Outbox;
  private readonly inodes: Inodes;
  private readonly ids: Ids;
  private readonly deviceNumber: DeviceNumber;
  private readonly log: Logger;
  private readonly devices = new IdTable<OpenDevice>();
  private readonly texts = new IdTable<Buffer>();
  private readonly ledger: OpenLedger;
  /** Files that other engines have opened, by handle. */
  private readonly inherited = new Map<number, InheritedFile>();

  constructor(
    exchange: Exchange,
    connection: Connection,
    outbox: Outbox,
    inodes: Inodes,
    ids: Ids,
    { deviceNumber, ledger, log }: OpenFilesOptions,
  ) {
    this.exchange = exchange;
    this.connection = connection;
    this.outbox = outbox;
    this.inodes = inodes;
    this.ids = ids;
    this.deviceNumber = deviceNumber;
    this.ledger = ledger;
    this.log = log;
    for (const file of ledger.inherited) this.inherited.set(file.handle, file);
  }

  /** Makes those who wait for files of other engines look again: they have hung up. */
  wakeInherited(): void {
    for (const { pollHandle } of this.inherited.values()) {
      if (pollHandle !== 0) this.outbox.wake({ low: pollHandle % TWO_32, high: Math.floor(pollHandle / TWO_32) });
    }
  }

  /** The device file with this handle. */
  device(handle: number): OpenFile | undefined {
    return this.devices.get(handle)?.file;
  }

  /** Whether it was opened while another engine served the mount: nothing is known of it any more. */
  isLost(handle: number): boolean {
    return this.ids.isForeign(handle);
  }

  /** The files that are open on an inode; undefined if it is not one of this mount, or not open. */
  filesOf(deviceMajor: number, deviceMinor: number, inode: number): ReadonlySet<OpenFile> | undefined {
    const { major, minor } = this.deviceNumber;
    if (deviceMajor !== major || deviceMinor !== minor) return undefined;
    const files = this.inodes.get(inode)?.files;
    return files !== undefined && files.size > 0 ? files : undefined;
  }

  open(caller: Caller): void {
    const inode = this.inodes.get(this.exchange.request.u64(InHeader.nodeid));
    switch (inode?.node.kind) {
      case 'device':
        return this.openDevice(inode, inode.node, caller);
      case 'text':
        return this.openText(inode.node, caller);
      default:
        return this.exchange.fail(inode === undefined ? Errno.ESTALE : Errno.EISDIR);
    }
  }

  private openDevice(inode: Inode, node: DeviceNode, caller: Caller): void {
    const file = node.open(caller, inode.files);
    if (typeof file === 'number') return this.exchange.fail(file);
    const error = inode.files.size === 0 ? this.openBacking(inode, file) : Errno.OK;
    if (error !== Errno.OK) {
      file.release();
      return this.exchange.fail(error);
    }
    inode.files.add(file);
    const handle = this.ids.next();
    const place = this.ledger.add(handle, inode.id, inode.backingId);
    const device: OpenDevice = { file, waiter: { low: 0, high: 0 }, place, isAwaited: false };
    file.onPollChange = () => this.wake(device);
    this.devices.set(handle, device);
    const flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH;
    this.answerOpen(handle, inode.backingId === 0 ? flags : flags | FOPEN_PASSTHROUGH, inode.backingId);
  }

  /** The kernel takes one backing file for all opens of an inode. */
  private openBacking(inode: Inode, { memory }: OpenFile): Errno {
    if (memory === undefined) return Errno.OK;
    const backingId = this.connection.openBacking(memory.fd);
    memory.closeFd();
    if (backingId < 0) {
      this.log.error({ error: errnoName(backingId) }, 'the kernel refused a backing file');
      return -backingId as Errno;
    }
    inode.backingId = backingId;
    return Errno.OK;
  }

  private openText(node: TextNode, caller: Caller): void {
    const text = node.content(caller);
    if (typeof text === 'number') return this.exchange.fail(text);
    const handle = this.ids.next();
    this.texts.set(handle, Buffer.from(text));
    this.answerOpen(handle, FOPEN_DIRECT_IO | FOPEN_NOFLUSH, 0);
  }

  private answerOpen(handle: number, flags: number, backingId: number): void {
    const { reply } = this.exchange;
    reply.setU64(OpenOut.fh, handle);
    reply.setU32(OpenOut.open_flags, flags);
    reply.setI32(OpenOut.backing_id, backingId);
    this.exchange.succeed(OpenOut.sizeof);
  }

  release(): void {
    const { request } = this.exchange;
    const handle = request.u64(ReleaseIn.fh);
    const device = this.devices.get(handle);
    if (device === undefined) {
      this.texts.delete(handle);
      this.releaseInherited(handle);
    } else {
      this.devices.delete(handle);
      this.ledger.remove(device.place);
      device.isAwaited = false;
      device.file.onPollChange = undefined;
      device.file.release();
      this.closeInode(request.u64(InHeader.nodeid), device.file);
    }
    this.exchange.succeed();
  }

  private releaseInherited(handle: number): void {
    const file = this.inherited.get(handle);
    if (file === undefined) return;
    this.inherited.delete(handle);
    this.ledger.removeInherited(file);
    const isLast = [...this.inherited.values()].every(({ nodeId }) => nodeId !== file.nodeId);
    if (isLast && file.backingId !== 0) this.connection.closeBacking(file.backingId);
  }

  private closeInode(id: number, file: OpenFile): void {
    const inode = this.inodes.get(id);
    inode?.files.delete(file);
    if (inode === undefined || inode.files.size > 0 || inode.backingId === 0) return;
    this.connection.closeBacking(inode.backingId);
    inode.backingId = 0;
  }

  /** Answers always: after one ENOSYS the kernel would never ask again, for any file. */
  poll(): void {
    const { request, reply } = this.exchange;
    const handle = request.u64(PollIn.fh);
    const device = this.devices.get(handle);
    if (device !== undefined && (request.u32(PollIn.flags) & FUSE_POLL_SCHEDULE_NOTIFY) !== 0) {
      device.waiter.low = request.u32(PollIn.kh);
      device.waiter.high = request.u32(PollIn.kh + 4);
      device.isAwaited = true;
      this.ledger.notePoll(device.place, device.waiter.low, device.waiter.high);
    }
    const other = this.isLost(handle) ? Poll.HUP : READY;
    reply.setU32(PollOut.revents, device?.file.poll() ?? other);
    reply.setU32(PollOut.padding, 0);
    this.exchange.succeed(PollOut.sizeof);
  }

  private wake(device: OpenDevice): void {
    if (!device.isAwaited) return;
    device.isAwaited = false;
    this.outbox.wake(device.waiter);
  }

  read(): void {
    const { request, reply } = this.exchange;
    const text = this.texts.get(request.u64(ReadIn.fh));
    if (text === undefined) return this.exchange.fail(Errno.EINVAL);
    const start = request.u64(ReadIn.offset);
    const length = Math.min(request.u32(ReadIn.size), REPLY_BUFFER - OutHeader.sizeof);
    const part = text.subarray(start, start + length);
    reply.u8.set(part, OutHeader.sizeof);
    this.exchange.succeed(OutHeader.sizeof + part.length);
  }
}
