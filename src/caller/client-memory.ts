import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { MemoryRange } from '../device.js';
import { addressOf } from '../linux/libc.js';
import { processVmReadv, processVmWritev } from '../linux/memory.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';
import { Syscall } from '../linux/system-call-thread.js';
import type { Hand } from './hands.js';

/** UIO_MAXIOV, the most ranges one call takes on either side. */
const IOV_MAX = 1024;
/** The kernel's MAX_RW_COUNT, the most bytes one call copies. */
const MAX_COPY = 0x7fff_f000;
const MAX_RANGES = 4;
const OWN_PID = process.pid;
/** Payloads up to this size come along with the arrays that name them, by way of memory of ours; larger ones go straight to pools. */
const STAGED = 64 * 1024;

/**
 * Copies between this process and the memory of one blocked thread after the other: by a hand, or, without one, itself.
 *
 * With a hand, each operation may be suspended. Then the command runs again from its start, and what was copied by then is
 * still there: operations that are done once are not done again.
 */
export class ClientMemory {
  readonly hand: Hand | undefined;
  private scratchBuffer = new NativeBuffer(STAGED);
  private outgoing = new NativeBuffer(4096);
  private staging: NativeBuffer;
  private readonly local = new NativeBuffer(2 * IOVEC_SIZE);
  private readonly remote = new NativeBuffer(IOVEC_SIZE * MAX_RANGES);
  private targets = new NativeBuffer(IOVEC_SIZE * 64);
  private readonly sources = new NativeBuffer(IOVEC_SIZE * IOV_MAX);
  /** What the last call's operations gave, for when it runs again. */
  private readBytes: number | undefined;
  private staged: number | undefined;
  private mayGoStraight = true;

  constructor(hand: Hand | undefined) {
    this.hand = hand;
    this.staging = new NativeBuffer(hand === undefined ? 0 : STAGED);
  }

  /** Another call begins. */
  reset(): void {
    this.readBytes = undefined;
    this.staged = undefined;
    this.mayGoStraight = true;
    this.hand?.forget();
  }

  scratch(size: number): Bytes {
    if (size > this.scratchBuffer.size) this.scratchBuffer = new NativeBuffer(2 ** Math.ceil(Math.log2(size)));
    return this.scratchBuffer;
  }

  /** See Caller.read(); at most four ranges. */
  read(tid: number, offset: number, ranges: readonly MemoryRange[], nVecs: number): number {
    if (this.readBytes !== undefined && ranges.length > 1) return this.readBytes;
    let size = 0;
    let count = 0;
    for (const { address, length } of ranges) {
      this.remote.setIovec(count++ * IOVEC_SIZE, address, length);
      size += length;
    }
    if (size === 0) return 0;
    const { hand, local, remote, scratchBuffer } = this;
    local.setIovec(0, scratchBuffer.address + offset, size);
    if (hand === undefined) return Math.max(0, processVmReadv(tid, local.address, 1, remote.address, count, 0));
    const comesAlong = nVecs > 0;
    const step = offset * (MAX_RANGES + 1) + count;
    if (!hand.hasDone(step)) {
      hand.thread.prepare(0, Syscall.PROCESS_VM_READV, tid, local.address, 1, remote.address, count);
      if (comesAlong) {
        const staging = local.address + IOVEC_SIZE;
        local.setIovec(IOVEC_SIZE, this.staging.address, STAGED);
        hand.thread.prepare(1, Syscall.PROCESS_VM_READV, tid, staging, 1, scratchBuffer.address, nVecs);
      }
      hand.run(comesAlong ? 2 : 1, step);
    }
    const bytes = Math.max(0, hand.thread.result(0));
    if (comesAlong) {
      this.readBytes = bytes;
      this.staged = Math.max(0, hand.thread.result(1));
    }
    return bytes;
  }

  /** See Caller.write(). */
  write(tid: number, address: number, source: Bytes, length: number): Errno {
    if (length > this.outgoing.size) this.outgoing = new NativeBuffer(length);
    const bytes = source.u8.subarray(0, length);
    const isSame = Buffer.compare(this.outgoing.u8.subarray(0, length), bytes) === 0;
    if (!isSame) this.hand?.forget(); // what was being written is not what is to be written by now
    this.outgoing.u8.set(bytes);
    return this.writeFrom(tid, this.outgoing.address, address, length);
  }

  /** Copies `length` bytes at `source`, in this process, to `address` in the thread's memory. EFAULT, with part of it perhaps written. */
  writeFrom(tid: number, source: number, address: number, length: number): Errno {
    if (length === 0) return Errno.OK;
    this.local.setIovec(0, source, length);
    this.remote.setIovec(0, address, length);
    const written = this.copy('write', tid, this.local.address, 1, this.remote.address, 1);
    return written === length ? Errno.OK : Errno.EFAULT;
  }

  /** See Caller.scatter(). */
  scatter(tid: number, source: Uint8Array, count: number): Errno {
    if (source.length === 0) return Errno.OK;
    this.local.setIovec(0, addressOf(source), source.length);
    const written = processVmWritev(tid, this.local.address, 1, this.scratchBuffer.address, count, 0);
    return written === source.length ? Errno.OK : Errno.EFAULT;
  }

  /** See Caller.gather(). */
  gather(tid: number, total: number, count: number, addresses: readonly number[]): Errno {
    const nTargets = addresses.length;
    if (total === 0 || nTargets === 0) return Errno.OK;
    while (this.targets.size < nTargets * IOVEC_SIZE) this.targets = this.targets.grown();
    const { targets } = this;
    for (let i = 0; i < nTargets; i++) targets.setIovec(i * IOVEC_SIZE, addresses[i] as number, total);
    if (this.hand !== undefined && (total <= STAGED || !this.mayGoStraight)) {
      const error = this.stage(tid, total, count);
      return error === Errno.OK ? this.unstage(total, nTargets) : error;
    }
    // A run after one that was suspended here has other slices to fill, and might be suspended again and again.
    this.mayGoStraight = false;
    this.hand?.forget();
    return this.copyStraight(tid, total, count, nTargets);
  }

  /** Has the payload in memory of ours. */
  private stage(tid: number, total: number, count: number): Errno {
    if (this.staged === undefined || (this.staged < total && this.staged === STAGED)) {
      if (total > this.staging.size) this.staging = new NativeBuffer(total);
      this.local.setIovec(0, this.staging.address, total);
      const { local, scratchBuffer } = this;
      this.staged = Math.max(0, this.copy('stage', tid, local.address, 1, scratchBuffer.address, count));
    }
    return this.staged >= total ? Errno.OK : Errno.EFAULT;
  }

  /** By a system call, since a plain store would end the process with SIGBUS where the system has no page to give. */
  private unstage(total: number, nTargets: number): Errno {
    const { sources, targets, staging } = this;
    for (let first = 0; first < nTargets; first += IOV_MAX) {
      const n = Math.min(IOV_MAX, nTargets - first);
      for (let i = 0; i < n; i++) sources.setIovec(i * IOVEC_SIZE, staging.address, total);
      const remote = targets.address + first * IOVEC_SIZE;
      for (let at = 0; at < n; ) {
        const most = Math.max(1, Math.min(n - at, Math.floor(MAX_COPY / total)));
        const copied = processVmWritev(OWN_PID, sources.address, most, remote + at * IOVEC_SIZE, most, 0);
        if (copied !== most * total) return Errno.ENOMEM;
        at += most;
      }
    }
    return Errno.OK;
  }

  private copyStraight(tid: number, total: number, count: number, nTargets: number): Errno {
    const { targets, scratchBuffer, sources } = this;
    // One call serves as many targets as it takes ranges and bytes: the client's ranges are named again for each.
    const perCall = Math.max(1, Math.min(nTargets, Math.floor(IOV_MAX / count), Math.floor(MAX_COPY / total)));
    let source = scratchBuffer.address;
    if (perCall > 1) {
      const ranges = scratchBuffer.u8.subarray(0, count * IOVEC_SIZE);
      for (let i = 0; i < perCall; i++) sources.u8.set(ranges, i * ranges.length);
      source = sources.address;
    }
    for (let first = 0; first < nTargets; first += perCall) {
      const n = Math.min(perCall, nTargets - first);
      const local = targets.address + first * IOVEC_SIZE;
      if (this.copy('straight', tid, local, n, source, n * count) !== n * total) return Errno.EFAULT;
    }
    return Errno.OK;
  }

  private copy(
    step: 'write' | 'stage' | 'straight',
    tid: number,
    local: number,
    nLocal: number,
    remote: number,
    nRemote: number,
  ): number {
    const { hand } = this;
    if (hand === undefined) {
      return (step === 'write' ? processVmWritev : processVmReadv)(tid, local, nLocal, remote, nRemote, 0);
    }
    if (!hand.hasDone(step)) {
      const number = step === 'write' ? Syscall.PROCESS_VM_WRITEV : Syscall.PROCESS_VM_READV;
      hand.thread.prepare(0, number, tid, local, nLocal, remote, nRemote);
      hand.run(1, step);
    }
    return hand.thread.result(0);
  }
}
