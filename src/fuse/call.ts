import { Bytes } from '../base/bytes.js';
import type { Errno } from '../base/errno.js';
import type { CallChannel, CallerSlot, OpenFile } from '../device.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import type { Connection } from './connection.js';
import { FUSE_IOCTL_COMPAT, InHeader, IoctlIn, IoctlOut, OutHeader } from './fuse-abi.js';
import type { OpenFiles } from './open-files.js';
import type { Outbox } from './outbox.js';

export type CreateCaller = (call: CallChannel) => CallerSlot;

/** Where the argument of an ioctl is in its request. Its reply is built around it, in the bytes right before. */
const ARGUMENT = IoctlIn.sizeof;

/** What all calls share. */
export interface CallContext {
  readonly connection: Connection;
  readonly files: OpenFiles;
  readonly outbox: Outbox;
  readonly createCaller: CreateCaller;
  identify(fd: number): OpenFile | undefined;
}

/** One call of a client, an ioctl or an open, and the client: used again for the next one unless it has to wait. */
export class Call implements CallChannel {
  readonly caller: CallerSlot;
  argument: Bytes;
  argumentAddress: number;
  argumentTarget = 0;
  argumentSize = 0;
  isAnswered = false;
  /** Whether its argument is elsewhere than in the request. */
  isDetached = false;
  private uniqueLow = 0;
  private uniqueHigh = 0;
  /** Where the reply is built: the argument is at byte IoctlOut.sizeof of it. */
  private reply: Bytes;
  private replyAddress: number;
  private readonly context: CallContext;

  /** Its argument is in `request`. */
  constructor(request: NativeBuffer, context: CallContext) {
    this.context = context;
    this.argument = new Bytes(request.u8.buffer as ArrayBuffer, ARGUMENT);
    this.argumentAddress = request.address + ARGUMENT;
    this.reply = new Bytes(request.u8.buffer as ArrayBuffer, ARGUMENT - IoctlOut.sizeof);
    this.replyAddress = this.argumentAddress - IoctlOut.sizeof;
    this.caller = context.createCaller(this);
  }

  /** Takes the caller from the header of a request. */
  begin(request: Bytes, is32Bit = false): CallerSlot {
    this.caller.begin(request.u32(InHeader.uid), request.u32(InHeader.gid), request.u32(InHeader.pid), is32Bit);
    return this.caller;
  }

  /** Takes over an ioctl. */
  beginIoctl(request: Bytes): void {
    this.isAnswered = false;
    this.uniqueLow = request.u32(InHeader.unique);
    this.uniqueHigh = request.u32(InHeader.unique + 4);
    this.argumentSize = request.u32(IoctlIn.out_size);
    this.argumentTarget = request.u64(IoctlIn.arg);
    this.begin(request, (request.u32(IoctlIn.flags) & FUSE_IOCTL_COMPAT) !== 0);
  }

  /** The number of the request, without the bit that says that it was sent again. */
  get unique(): number {
    return (this.uniqueHigh & 0x7fff_ffff) * 2 ** 32 + this.uniqueLow;
  }

  /** Moves the argument out of the request buffer, which goes on to the next request. */
  detach(): void {
    if (this.isDetached) return;
    this.isDetached = true;
    const buffer = new NativeBuffer(IoctlOut.sizeof + this.argumentSize);
    buffer.u8.set(this.argument.u8.subarray(0, this.argumentSize), IoctlOut.sizeof);
    this.reply = buffer;
    this.replyAddress = buffer.address;
    this.argument = new Bytes(buffer.u8.buffer as ArrayBuffer, IoctlOut.sizeof);
    this.argumentAddress = buffer.address + IoctlOut.sizeof;
  }

  answer(): void {
    this.finish(0, IoctlOut.sizeof + this.argumentSize);
  }

  fail(error: Errno): void {
    this.finish(-error, OutHeader.sizeof);
  }

  private finish(error: number, length: number): void {
    this.isAnswered = true;
    this.flush();
    const { reply } = this;
    // what a request's header holds there is not needed any more
    reply.setU32(OutHeader.len, length);
    reply.setI32(OutHeader.error, error);
    reply.setU32(OutHeader.unique, this.uniqueLow);
    reply.setU32(OutHeader.unique + 4, this.uniqueHigh);
    reply.setU64(IoctlOut.result, 0); // and flags
    reply.setU64(IoctlOut.in_iovs, 0); // and out_iovs
    this.context.connection.send(this.replyAddress, length);
  }

  flush(): void {
    this.context.outbox.flush();
  }

  filesOf(deviceMajor: number, deviceMinor: number, inode: number): ReadonlySet<OpenFile> | undefined {
    return this.context.files.filesOf(deviceMajor, deviceMinor, inode);
  }

  identify(fd: number): OpenFile | undefined {
    return this.context.identify(fd);
  }
}
