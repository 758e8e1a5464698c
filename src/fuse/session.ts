import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { type Caller, CallRefused, type DirectoryNode, type OpenFile, type Pending, Suspension } from '../device.js';
import { IoctlThread } from '../linux/ioctl-thread.js';
import { Call, type CallContext, type CreateCaller } from './call.js';
import type { Connection } from './connection.js';
import { Exchange } from './exchange.js';
import {
  FUSE_HAS_RESEND_FLAGS2,
  FUSE_INIT_EXT,
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_PASSTHROUGH_FLAGS2,
  INIT_OUT_SIZE,
  InHeader,
  InitIn,
  InitOut,
  InterruptIn,
  IoctlIn,
  MAX_WRITE,
  Opcode,
  OutHeader,
} from './fuse-abi.js';
import { Ids } from './ids.js';
import { Inodes } from './inodes.js';
import { Names } from './names.js';
import { type DeviceNumber, OpenFiles } from './open-files.js';
import type { OpenLedger } from './open-ledger.js';
import { Outbox } from './outbox.js';
import { PendingCalls, type Waker } from './pending-calls.js';
import { Requests } from './requests.js';

/** Told when the handling of a request begins and ends. */
export interface Pulse {
  begin(tid: number): void;
  end(): void;
}

export interface SessionOptions {
  /** st_dev of the mount, by which a client's descriptor is recognised as one of ours. */
  readonly deviceNumber: DeviceNumber;
  readonly ledger: OpenLedger;
  readonly pulse: Pulse;
  readonly createCaller: CreateCaller;
  /** What ends the suspensions of calls. */
  readonly waker: Waker;
  /** Whether a caller looks a name up only to stat(2) it. */
  readonly isPathQuery: (caller: Caller) => boolean;
  readonly log: Logger;
}

/** Requests that would change a directory. */
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

const U16_MAX = 0xffff;

const INVISIBLE =
  'refused a caller that this pid namespace does not see; run bus1fs in the pid namespace of the host, or in one that ' +
  'contains those of all its clients';

/** Serves a tree of nodes: one request after the other, in the order the kernel has them. */
export class Session {
  private readonly connection: Connection;
  private readonly pulse: Pulse;
  private readonly log: Logger;
  private readonly exchange: Exchange;
  private readonly outbox: Outbox;
  private readonly pending: PendingCalls;
  private readonly requests: Requests;
  private readonly names: Names;
  private readonly files: OpenFiles;
  private readonly context: CallContext;
  private call: Call;
  private hasReportedInvisible = false;

  constructor(connection: Connection, root: DirectoryNode, options: SessionOptions) {
    const { log, createCaller } = options;
    const ids = new Ids(options.ledger);
    const inodes = new Inodes(root, ids);
    this.connection = connection;
    this.pulse = options.pulse;
    this.log = log;
    this.outbox = new Outbox(connection, log);
    this.exchange = new Exchange(connection, this.outbox);
    this.pending = new PendingCalls(connection, this.outbox, options.waker);
    this.requests = new Requests(connection, this.pending);
    this.names = new Names(this.exchange, inodes, ids, options.isPathQuery);
    this.files = new OpenFiles(this.exchange, connection, this.outbox, inodes, ids, options);
    this.context = {
      connection,
      files: this.files,
      outbox: this.outbox,
      createCaller,
      identify: (fd) => this.identify(fd),
    };
    this.call = new Call(this.exchange.request, this.context);
  }

  /** Goes on where another engine has ended: its calls come again, and its peers have hung up. */
  takeOver(): void {
    this.connection.resend();
    this.files.wakeInherited();
    this.outbox.flush();
  }

  /** Returns when the file system was unmounted. */
  run(): void {
    const { exchange, pulse } = this;
    const { request } = exchange;
    const isTraced = this.log.isLevelEnabled('trace');
    while (this.requests.next(request)) {
      exchange.isAnswered = false;
      pulse.begin(request.u32(InHeader.pid));
      const opcode = request.u32(InHeader.opcode);
      if (isTraced) this.log.trace(summary(request), 'request');
      try {
        this.handle(opcode);
      } catch (error) {
        this.log.error({ err: error, opcode }, 'internal error; the call was answered with EIO');
        this.answerFailed();
      }
      this.outbox.flush();
      pulse.end();
    }
  }

  private answerFailed(): void {
    const isAnswered = this.exchange.request.u32(InHeader.opcode) === Opcode.IOCTL ? this.call.isAnswered : false;
    if (!isAnswered && !this.exchange.isAnswered) this.exchange.fail(Errno.EIO);
  }

  private handle(opcode: number): void {
    switch (opcode) {
      case Opcode.IOCTL:
        return this.ioctl();
      case Opcode.POLL:
        return this.files.poll();
      case Opcode.FORGET:
        return this.names.forget();
      case Opcode.BATCH_FORGET:
        return this.names.forgetMany();
      case Opcode.INTERRUPT:
        return this.pending.interrupt(this.exchange.request.u64(InterruptIn.unique));
      case Opcode.LOOKUP:
        return this.names.lookUp(this.call.begin(this.exchange.request));
      case Opcode.OPEN:
        return this.open();
      case Opcode.RELEASE:
        return this.files.release();
      case Opcode.GETATTR:
        return this.names.getAttributes();
      case Opcode.SETATTR:
        return this.names.setAttributes();
      case Opcode.READ:
        return this.files.read();
      case Opcode.WRITE:
        return this.exchange.fail(Errno.EINVAL);
      case Opcode.OPENDIR:
        return this.names.openDirectory();
      case Opcode.READDIR:
        return this.names.readDirectory();
      case Opcode.RELEASEDIR:
        return this.names.releaseDirectory();
      case Opcode.DESTROY:
        return this.exchange.succeed();
      case Opcode.STATFS:
        return this.names.statFileSystem();
      case Opcode.INIT:
        return this.init();
      default:
        return this.exchange.fail(TREE_CHANGES.has(opcode) ? Errno.EPERM : Errno.ENOSYS);
    }
  }

  private ioctl(): void {
    const { request } = this.exchange;
    const { call } = this;
    const handle = request.u64(IoctlIn.fh);
    const file = this.files.device(handle);
    call.beginIoctl(request);
    if (file === undefined) return call.fail(this.files.isLost(handle) ? Errno.ESHUTDOWN : Errno.ENOTTY);
    if (call.caller.tid === 0) return call.fail(this.refuseInvisible());
    this.carryOut(call, file, request.u32(IoctlIn.cmd));
    if (call === this.call && call.isDetached) this.call = new Call(this.exchange.request, this.context);
  }

  /** Runs an ioctl, for the first time or after it was suspended, and answers it unless it has to wait. */
  private carryOut(call: Call, file: OpenFile, command: number): void {
    const result = this.attempt(call, file, command);
    if (result instanceof Suspension) {
      call.detach();
      this.pending.suspend(result, () => this.runAgain(call, file, command));
    } else if (typeof result === 'object') {
      call.detach();
      this.pending.add(call, result);
    } else {
      if (!call.isAnswered) {
        if (result === Errno.OK) call.answer();
        else call.fail(result);
      }
      if (call.isDetached) call.caller.end();
    }
  }

  private attempt(call: Call, file: OpenFile, command: number): Errno | Pending | Suspension {
    try {
      return file.ioctl(command, call.argument, call.caller);
    } catch (thrown) {
      if (thrown instanceof Suspension) return thrown;
      if (thrown instanceof CallRefused) return thrown.error;
      throw thrown;
    }
  }

  private runAgain(call: Call, file: OpenFile, command: number): void {
    this.pulse.begin(call.caller.tid);
    try {
      this.carryOut(call, file, command);
    } catch (error) {
      this.log.error({ err: error, command }, 'internal error; the call was answered with EIO');
      if (!call.isAnswered) call.fail(Errno.EIO);
      call.caller.end();
    }
    this.outbox.flush();
    this.pulse.end();
  }

  private open(): void {
    const caller = this.call.begin(this.exchange.request);
    if (caller.tid === 0) return this.exchange.fail(this.refuseInvisible());
    this.files.open(caller);
  }

  private refuseInvisible(): Errno {
    if (!this.hasReportedInvisible) this.log.warn(INVISIBLE);
    this.hasReportedInvisible = true;
    return Errno.EPERM;
  }

  /**
   * Which open file a descriptor of this process is: another thread makes an ioctl on it, and the file handle that
   * arrives with it tells.
   */
  private identify(fd: number): OpenFile | undefined {
    const thread = IoctlThread.start(fd);
    if (thread === undefined) return undefined;
    const request = this.requests.find(isIoctlOfOurs);
    let file: OpenFile | undefined;
    if (request !== undefined) {
      file = this.files.device(request.u64(IoctlIn.fh));
      this.exchange.reply.setI32(OutHeader.error, -Errno.ENOTTY);
      this.exchange.sendReply(OutHeader.sizeof, request);
    }
    thread.join();
    return file;
  }

  private init(): void {
    const { request, reply } = this.exchange;
    if (request.u32(InitIn.major) !== FUSE_KERNEL_VERSION) return this.exchange.fail(Errno.EIO);
    reply.zero(OutHeader.sizeof, INIT_OUT_SIZE);
    reply.setU32(InitOut.major, FUSE_KERNEL_VERSION);
    reply.setU32(InitOut.minor, Math.min(FUSE_KERNEL_MINOR_VERSION, request.u32(InitIn.minor)));
    reply.setU32(InitOut.flags, FUSE_INIT_EXT);
    reply.setU32(InitOut.flags2, FUSE_PASSTHROUGH_FLAGS2 | FUSE_HAS_RESEND_FLAGS2);
    reply.setU32(InitOut.max_stack_depth, 1);
    // RELEASE is a background request: one that the kernel holds back for a limit would be overtaken by later calls.
    reply.setU16(InitOut.max_background, U16_MAX);
    reply.setU16(InitOut.congestion_threshold, U16_MAX);
    reply.setU32(InitOut.max_write, MAX_WRITE);
    reply.setU32(InitOut.time_gran, 1);
    this.exchange.succeed(INIT_OUT_SIZE);
  }
}

/** A request in the log. */
function summary(request: Bytes): object {
  const opcode = request.u32(InHeader.opcode);
  const [name] = Object.entries(Opcode).find(([, number]) => number === opcode) ?? [opcode];
  const command = opcode === Opcode.IOCTL ? `0x${request.u32(IoctlIn.cmd).toString(16)}` : undefined;
  return { request: name, command, tid: request.u32(InHeader.pid), uid: request.u32(InHeader.uid) };
}

const isIoctlOfOurs = (request: Bytes): boolean =>
  request.u32(InHeader.opcode) === Opcode.IOCTL && existsSync(`/proc/self/task/${request.u32(InHeader.pid)}`);
