import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { MemoryPart, MemoryRange } from '../device.js';
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
const NOTHING = new Uint8Array(0);
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
  private staged: number | undefined;
  private mayGoStraight = true;
  private fetched: Uint8Array | undefined;
  /** What was written last: with parts, which are in `outgoing`, of so many bytes. */
  private scattered: Uint8Array | undefined;
  private partsSize = 0;
  private partAddresses: readonly number[] = [];

  constructor(hand: Hand | undefined) {
    this.hand = hand;
    this.staging = new NativeBuffer(hand === undefined ? 0 : STAGED);
  }

  /** The call is over. Buffers that it made larger than usual are given back. */
  reset(): void {
    if (this.scratchBuffer.size > STAGED) this.scratchBuffer = new NativeBuffer(STAGED);
    if (this.staging.size > STAGED) this.staging = new NativeBuffer(STAGED);
    this.staged = undefined;
    this.mayGoStraight = true;
    this.fetched = undefined;
    this.scattered = undefined;
    this.hand?.forgetAll();
  }

  scratch(size: number): Bytes {
    while (size > this.scratchBuffer.size) this.scratchBuffer = this.scratchBuffer.grown();
    return this.scratchBuffer;
  }

  /** See Caller.read(); at most four ranges. */
  read(tid: number, offset: number, ranges: readonly MemoryRange[], nVecs: number): number {
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
        hand.thread.prepare(1, Syscall.PROCESS_VM_READV, tid, staging, 1, scratchBuffer.address + offset, nVecs);
      }
      hand.run(comesAlong ? 2 : 1, step);
    }
    if (comesAlong) this.staged ??= Math.max(0, hand.result(step, 1));
    return Math.max(0, hand.result(step, 0));
  }

  /** See Caller.write(). */
  write(tid: number, address: number, source: Bytes, length: number): Errno {
    return this.scatter(tid, NOTHING, 0, 0, [{ address, bytes: source.u8.subarray(0, length) }]);
  }

  /** See Caller.scatter(). */
  scatter(tid: number, payload: Uint8Array, count: number, vecs: number, parts: readonly MemoryPart[]): Errno {
    this.pack(payload, parts);
    const { hand, local, remote, partsSize } = this;
    const calls: (readonly [local: number, remote: number, nRemote: number, size: number])[] = [];
    if (payload.length > 0) {
      local.setIovec(0, addressOf(payload), payload.length);
      calls.push([local.address, this.scratchBuffer.address + vecs, count, payload.length]);
    }
    if (partsSize > 0) {
      local.setIovec(IOVEC_SIZE, this.outgoing.address, partsSize);
      calls.push([local.address + IOVEC_SIZE, remote.address, parts.length, partsSize]);
    }
    if (hand !== undefined && calls.length > 0 && !hand.hasDone('scatter')) {
      for (const [i, [from, to, nTo]] of calls.entries()) {
        hand.thread.prepare(i, Syscall.PROCESS_VM_WRITEV, tid, from, 1, to, nTo);
      }
      hand.run(calls.length, 'scatter');
    }
    for (const [i, [from, to, nTo, size]] of calls.entries()) {
      const written = hand?.result('scatter', i as 0 | 1) ?? processVmWritev(tid, from, 1, to, nTo, 0);
      if (written !== size) return Errno.EFAULT;
    }
    return Errno.OK;
  }

  /** Puts parts one after the other. What was written when the call was suspended counts only if it is to be written still. */
  private pack(payload: Uint8Array, parts: readonly MemoryPart[]): void {
    const { hand, remote } = this;
    let size = 0;
    for (const { bytes } of parts) size += bytes.length;
    const addresses = parts.map(({ address }) => address);
    let isSame =
      hand?.hasDone('scatter') === true &&
      payload === this.scattered &&
      size === this.partsSize &&
      addresses.every((address, i) => address === this.partAddresses[i]);
    if (size > this.outgoing.size) this.outgoing = new NativeBuffer(size);
    let end = 0;
    for (const [i, { address, bytes }] of parts.entries()) {
      isSame &&= Buffer.compare(this.outgoing.u8.subarray(end, end + bytes.length), bytes) === 0;
      this.outgoing.u8.set(bytes, end);
      remote.setIovec(i * IOVEC_SIZE, address, bytes.length);
      end += bytes.length;
    }
    if (!isSame) hand?.forget('scatter');
    this.scattered = payload;
    this.partsSize = size;
    this.partAddresses = addresses;
  }

  /** See Caller.fetch(). */
  fetch(tid: number, total: number, count: number, vecs: number): Uint8Array | Errno {
    if (total === 0) return NOTHING;
    if (this.staged !== undefined && total <= STAGED) {
      return this.staged >= total ? this.staging.u8.slice(0, total) : Errno.EFAULT;
    }
    if (this.fetched?.length !== total) {
      if (this.hand?.borrow(total) === false) return Errno.EDQUOT;
      this.fetched = allocate(total);
      this.hand?.forget('fetch');
    }
    if (this.fetched === undefined) return Errno.ENOMEM;
    const { local, scratchBuffer, fetched } = this;
    local.setIovec(0, addressOf(fetched), total);
    const copied = this.copy('fetch', tid, local.address, 1, scratchBuffer.address + vecs, count);
    return copied === total ? fetched : Errno.EFAULT;
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
    return this.copyStraight(tid, total, count, nTargets);
  }

  /** Has the payload in memory of ours. */
  private stage(tid: number, total: number, count: number): Errno {
    if (this.staged === undefined || (this.staged < total && this.staged === STAGED)) {
      if (total > this.staging.size) {
        if (this.hand?.borrow(total) === false) return Errno.EDQUOT;
        this.staging = new NativeBuffer(total);
      }
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
    step: 'stage' | 'straight' | 'fetch',
    tid: number,
    local: number,
    nLocal: number,
    remote: number,
    nRemote: number,
  ): number {
    const { hand } = this;
    if (hand === undefined) return processVmReadv(tid, local, nLocal, remote, nRemote, 0);
    // what goes straight goes somewhere else each time
    if (step === 'straight' || !hand.hasDone(step)) {
      hand.thread.prepare(0, Syscall.PROCESS_VM_READV, tid, local, nLocal, remote, nRemote);
      hand.run(1, step);
    }
    return hand.result(step, 0);
  }
}

function allocate(size: number): Uint8Array | undefined {
  try {
    return new Uint8Array(size);
  } catch {
    return undefined; // a RangeError: the system has no memory
  }
}
