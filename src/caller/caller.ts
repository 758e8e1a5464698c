import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { OpenFile } from '../device.js';
import { close } from '../linux/file.js';
import { processVmReadv, processVmWritev } from '../linux/memory.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';
import { copyDescriptor } from '../linux/pidfd.js';
import { closeElsewhere } from './closer.js';
import { inspect, inspectDescriptor, isPath } from './descriptor.js';
import { Identity, Viewpoint } from './identity.js';
import { install } from './install.js';
import { type TakenFiles, takeFiles } from './taken-files.js';
import { commandOf, namespaceOf, OUR_PID_NAMESPACE, securityContextOf, systemCallOf, threadOf } from './thread.js';

/** The end of user space on x86-64 and arm64 with 47- and 48-bit addresses: no range a client names may reach past it. */
export const USER_SPACE_END = 0x7fff_ffff_f000;

/** What a caller's call needs of whoever receives and answers it. */
export interface CallChannel {
  /** The files open on an inode of our own mount; undefined if it is of another or not open. */
  filesOf(deviceMajor: number, deviceMinor: number, inode: number): ReadonlySet<OpenFile> | undefined;
  /** Which open file of ours a descriptor of this process is; undefined if that takes more memory than there is. */
  identify(fd: number): OpenFile | undefined;
  /** Answers the call with success and its argument as it is. */
  answer(): void;
  /** Copies the argument to the caller once more. */
  writeBack(): void;
}

const MAX_RANGES = 4;
/** UIO_MAXIOV, the most ranges one call takes on either side. */
const IOV_MAX = 1024;

/**
 * The thread that waits in the kernel for the call being handled: its memory, its descriptors, who it is.
 *
 * This is the only way from a device to a client. The thread cannot go away or be replaced by another one of the
 * same id before the call is answered.
 */
export class Caller {
  /** File system uid and gid, and thread id, as the daemon's namespaces see them. A tid of 0 is not visible here. */
  uid = 0;
  gid = 0;
  tid = 0;
  /** Whether it made the call through the 32-bit ABI. */
  is32Bit = false;
  private readonly channel: CallChannel;
  private scratch = new NativeBuffer(64 * 1024);
  private readonly local = new NativeBuffer(IOVEC_SIZE);
  private readonly remote = new NativeBuffer(IOVEC_SIZE * MAX_RANGES);
  private targets = new NativeBuffer(IOVEC_SIZE * 64);
  private nTargets = 0;
  private readonly sources = new NativeBuffer(IOVEC_SIZE * IOV_MAX);
  private nRanges = 0;
  private rangesSize = 0;

  constructor(channel: CallChannel) {
    this.channel = channel;
  }

  /** The process of the thread (its thread group id). */
  get pid(): number {
    return threadOf(this.tid).tgids[0] ?? 0;
  }

  /** Who it is, to be told to others later. */
  identity(): Identity {
    return new Identity(this.uid, this.gid, threadOf(this.tid));
  }

  /** The namespaces it sees others from. */
  viewpoint(): Viewpoint {
    return new Viewpoint(this.tid);
  }

  /** Its security context, or undefined where no LSM gives one. */
  securityContext(): Uint8Array | undefined {
    return securityContextOf(this.tid);
  }

  /** The name of its command, at most 15 bytes. */
  get command(): string {
    return commandOf(this.tid);
  }

  /** The number of the system call it is in, or NaN if that cannot be told. */
  systemCall(): number {
    return systemCallOf(this.tid);
  }

  /** Whether it sees the same processes as this one. */
  isInOurPidNamespace(): boolean {
    return namespaceOf(this.tid, 'pid') === OUR_PID_NAMESPACE;
  }

  /** Makes room for `size` bytes in the scratch memory that read() fills and write() empties. It holds until the next call. */
  reserve(size: number): Bytes {
    if (size > this.scratch.size) this.scratch = new NativeBuffer(2 ** Math.ceil(Math.log2(size)));
    return this.scratch;
  }

  /** Copies `length` bytes at `address` to the scratch memory from byte `offset` on. Returns how many were readable. */
  read(offset: number, address: number, length: number): number {
    this.addRange(address, length);
    return this.readRanges(offset);
  }

  /** Names one of up to four ranges for readRanges(). */
  addRange(address: number, length: number): void {
    this.remote.setIovec(this.nRanges++ * IOVEC_SIZE, address, length);
    this.rangesSize += length;
  }

  /**
   * Copies the ranges named since the last time, one after the other, to the scratch memory from byte `offset` on.
   * Returns how many bytes there were before the first unreadable one.
   */
  readRanges(offset: number): number {
    const count = this.nRanges;
    const size = this.rangesSize;
    this.nRanges = 0;
    this.rangesSize = 0;
    if (size === 0) return 0;
    this.local.setIovec(0, this.scratch.address + offset, size);
    return Math.max(0, processVmReadv(this.tid, this.local.address, 1, this.remote.address, count, 0));
  }

  /** Copies the first `length` bytes of the scratch memory to its memory. False is EFAULT, with part of it perhaps written. */
  write(address: number, length: number): boolean {
    return this.writeFrom(this.scratch.address, address, length);
  }

  /** Copies `length` bytes at `source`, in this process, to `address` in its memory. False is EFAULT. */
  writeFrom(source: number, address: number, length: number): boolean {
    if (length === 0) return true;
    this.local.setIovec(0, source, length);
    this.remote.setIovec(0, address, length);
    return processVmWritev(this.tid, this.local.address, 1, this.remote.address, 1, 0) === length;
  }

  /** Names an address in this process for gather(), with room for as many bytes as that will copy. */
  addTarget(address: number, size: number): void {
    const offset = this.nTargets++ * IOVEC_SIZE;
    if (offset === this.targets.size) this.targets = this.targets.grown();
    this.targets.setIovec(offset, address, size);
  }

  /**
   * Copies `total` bytes to each of the targets named since the last time, gathering them from ranges of its memory: the
   * `count` entries of the `struct iovec` array in the scratch memory. False is EFAULT.
   */
  gather(total: number, count: number): boolean {
    const { targets, nTargets } = this;
    this.nTargets = 0;
    if (total === 0 || nTargets === 0) return true;
    if (nTargets === 1) return processVmReadv(this.tid, targets.address, 1, this.scratch.address, count, 0) === total;
    // One call serves as many targets as it takes ranges: those of the caller's memory are named again for each.
    const perCall = Math.min(nTargets, Math.floor(IOV_MAX / count));
    const source = this.scratch.u8.subarray(0, count * IOVEC_SIZE);
    for (let i = 0; i < perCall; i++) this.sources.u8.set(source, i * source.length);
    for (let first = 0; first < nTargets; first += perCall) {
      const n = Math.min(perCall, nTargets - first);
      const local = targets.address + first * IOVEC_SIZE;
      if (processVmReadv(this.tid, local, n, this.sources.address, n * count, 0) !== n * total) return false;
    }
    return true;
  }

  /**
   * The open file of ours behind one of its descriptors: EBADF if that is not open, or open with O_PATH; EOPNOTSUPP if
   * it is something else.
   */
  openFile(fd: number): OpenFile | Errno {
    const found = inspectDescriptor(this.tid, fd);
    if (found === undefined) return Errno.EBADF;
    const files = this.channel.filesOf(found.deviceMajor, found.deviceMinor, found.inode);
    if (files === undefined) return Errno.EOPNOTSUPP;
    const [file] = files;
    return file !== undefined && files.size === 1 ? file : this.identify(fd);
  }

  /** Nothing tells from outside which of several opens of one inode a descriptor is; a copy of it can be asked. */
  private identify(fd: number): OpenFile | Errno {
    const copy = copyDescriptor(this.tid, fd);
    if (copy < 0) return Errno.EBADF;
    // another thread may have put something else there meanwhile
    const { deviceMajor, deviceMinor, inode } = inspect(copy);
    const isOurs = !isPath(copy) && this.channel.filesOf(deviceMajor, deviceMinor, inode) !== undefined;
    const file = isOurs ? this.channel.identify(copy) : undefined;
    // ours is closed at once, so that a close by the client right after the call is the last one
    if (isOurs) close(copy);
    else closeElsewhere(copy);
    return isOurs ? (file ?? Errno.ENOMEM) : Errno.EBADF;
  }

  /** Copies of descriptors of its, by number. EBADF, EOPNOTSUPP or EDQUOT as takeFiles() says. */
  takeFiles(numbers: readonly number[]): TakenFiles | Errno {
    return takeFiles(this.tid, numbers, (...inode) => this.channel.filesOf(...inode) !== undefined);
  }

  /**
   * Installs descriptors into its process and answers its call. `complete` gets their numbers when nothing can fail any
   * more, and fills in the argument; if it is not called, nothing was installed and the errno says why.
   */
  installFiles(files: TakenFiles, complete: (numbers: readonly number[]) => void): Errno {
    if (this.is32Bit) return Errno.EOPNOTSUPP;
    const { channel } = this;
    return install(
      this.tid,
      files.descriptors,
      () => channel.answer(),
      (numbers) => {
        complete(numbers);
        channel.writeBack();
      },
    );
  }
}
