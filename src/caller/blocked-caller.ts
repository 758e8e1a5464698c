import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { CallChannel, CallerSlot, HeldFiles, MemoryPart, MemoryRange, OpenFile } from '../device.js';
import { close } from '../linux/file.js';
import { copyDescriptor } from '../linux/pidfd.js';
import type { ClientMemory } from './client-memory.js';
import type { Closer } from './closer.js';
import { inspect, inspectDescriptor, isExhausted, isPath } from './descriptor.js';
import type { Hands } from './hands.js';
import { Identity, Viewpoint } from './identity.js';
import { install } from './install.js';
import { TakenFiles, takeFiles } from './taken-files.js';
import { commandOf, namespaceOf, OUR_PID_NAMESPACE, securityContextOf, systemCallOf, threadOf } from './thread.js';

/**
 * The thread that waits in the kernel for a call of its to be answered. Until then it cannot go away or be replaced by another
 * one of the same id.
 */
export class BlockedCaller implements CallerSlot {
  uid = 0;
  gid = 0;
  tid = 0;
  is32Bit = false;
  private readonly channel: CallChannel;
  private readonly hands: Hands;
  private readonly closer: Closer;
  private acquired: ClientMemory | undefined;

  constructor(channel: CallChannel, hands: Hands, closer: Closer) {
    this.channel = channel;
    this.hands = hands;
    this.closer = closer;
  }

  begin(uid: number, gid: number, tid: number, is32Bit: boolean): void {
    this.end();
    this.uid = uid;
    this.gid = gid;
    this.tid = tid;
    this.is32Bit = is32Bit;
  }

  end(): void {
    if (this.acquired === undefined) return;
    this.acquired.reset();
    this.hands.release(this.acquired);
    this.acquired = undefined;
  }

  // ---- who it is

  identity(): Identity | Errno {
    const thread = threadOf(this.tid);
    return typeof thread === 'number' ? thread : new Identity(this.uid, this.gid, thread);
  }

  viewpoint(): Viewpoint | Errno {
    return Viewpoint.of(this.tid, this.uid, this.closer);
  }

  securityContext(): Uint8Array | undefined | Errno {
    return securityContextOf(this.tid);
  }

  command(): string {
    return commandOf(this.tid);
  }

  /** The number of the system call it is in, or NaN if that cannot be told. */
  systemCall(): number {
    return systemCallOf(this.tid);
  }

  isInOurPidNamespace(): boolean {
    return namespaceOf(this.tid, 'pid') === OUR_PID_NAMESPACE;
  }

  // ---- its memory

  private get memory(): ClientMemory {
    this.acquired ??= this.hands.acquire(this.uid);
    return this.acquired;
  }

  scratch(size: number): Bytes {
    return this.memory.scratch(size);
  }

  read(offset: number, ranges: readonly MemoryRange[], nVecs = 0): number {
    return this.memory.read(this.tid, offset, ranges, nVecs);
  }

  write(address: number, source: Bytes, length: number): Errno {
    return this.memory.write(this.tid, address, source, length);
  }

  gather(total: number, count: number, targets: readonly number[]): Errno {
    return this.memory.gather(this.tid, total, count, targets);
  }

  fetch(total: number, count: number, vecs: number): Uint8Array | Errno {
    return this.memory.fetch(this.tid, total, count, vecs);
  }

  scatter(payload: Uint8Array, count: number, vecs: number, parts: readonly MemoryPart[]): Errno {
    return this.memory.scatter(this.tid, payload, count, vecs, parts);
  }

  // ---- its descriptors

  openFile(fd: number): OpenFile | Errno {
    const found = inspectDescriptor(this.tid, fd);
    if (typeof found === 'number') return found;
    const files = this.channel.filesOf(found.deviceMajor, found.deviceMinor, found.inode);
    if (files === undefined) return Errno.EOPNOTSUPP;
    const [file] = files;
    return file !== undefined && files.size === 1 ? file : this.identify(fd);
  }

  /** Nothing tells from outside which of several opens of one inode a descriptor is; a copy of it can be asked. */
  private identify(fd: number): OpenFile | Errno {
    const copy = copyDescriptor(this.tid, fd);
    if (copy < 0) return isExhausted(copy) ? Errno.ENFILE : Errno.EBADF;
    // another thread may have put something else there meanwhile
    const isOurs = this.isOurs(copy) && !isPath(copy);
    const file = isOurs ? this.channel.identify(copy) : undefined;
    // ours is closed at once, so that a close by the client right after the call is the last one
    if (isOurs) close(copy);
    else this.closer.close(this.uid, [copy]);
    return isOurs ? (file ?? Errno.ENOMEM) : Errno.EBADF;
  }

  private isOurs(fd: number): boolean {
    const found = inspect(fd);
    return (
      typeof found !== 'number' && this.channel.filesOf(found.deviceMajor, found.deviceMinor, found.inode) !== undefined
    );
  }

  takeFiles(numbers: readonly number[]): TakenFiles | Errno {
    return takeFiles(this, numbers, this.closer, (...inode) => this.channel.filesOf(...inode) !== undefined);
  }

  installFiles(files: HeldFiles, complete: (numbers: readonly number[]) => Errno): Errno {
    if (this.is32Bit || !(files instanceof TakenFiles)) return Errno.EOPNOTSUPP;
    const { channel } = this;
    return install(
      this.tid,
      files.descriptors,
      (fd) => this.closer.close(this.uid, [fd]),
      () => channel.answer(),
      (numbers, memory) => {
        const error = complete(numbers);
        channel.flush();
        if (error !== Errno.OK) return error;
        const { argumentAddress, argumentTarget, argumentSize } = channel;
        return memory.writeFrom(argumentAddress, argumentTarget, argumentSize) ? Errno.OK : Errno.EFAULT;
      },
    );
  }
}
