import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { Gap, MemoryRange, Patch, Piece } from '../device.js';
import { processVmReadv, processVmWritev } from '../linux/memory.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';
import { Syscall } from '../linux/system-call-thread.js';
import type { Hand } from './hands.js';

/** UIO_MAXIOV, the most ranges one call takes on either side. */
const IOV_MAX = 1024;
/** The kernel's MAX_RW_COUNT, the most bytes one call copies. */
const MAX_COPY = 0x7fff_f000;
const MAX_RANGES = 4;
/** The most places that are written to at once; not fewer than MAX_RANGES. */
const MAX_PATCHES = 8;
const OWN_PID = process.pid;
/** What a piece of memory has room for at least. */
const PIECE_SIZE = 4096;
const PAGE_SIZE = 4096;
/** Payloads up to this size come along with the arrays that name them, by way of memory of ours; larger ones go straight to pools. */
const STAGED = 64 * 1024;

/** A piece of a client's memory that was fetched, or is being fetched. */
interface Fetch {
  bytes: NativeBuffer;
  address: number;
  wanted: number;
  length: number;
  isDone: boolean;
}

/** What of a payload comes without a gap in it: from where on, how far behind that it goes, and how much it is. */
interface Part {
  readonly start: number;
  readonly shift: number;
  readonly size: number;
}

function partsBetween(gaps: readonly Gap[], total: number): readonly Part[] {
  const parts: Part[] = [];
  let start = 0;
  let shift = 0;
  for (const gap of gaps) {
    if (gap.at > start) parts.push({ start, shift, size: gap.at - start });
    start = gap.at;
    shift += gap.size;
  }
  if (total > start) parts.push({ start, shift, size: total - start });
  return parts;
}

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
  private readonly remote = new NativeBuffer(IOVEC_SIZE * MAX_PATCHES);
  private targets = new NativeBuffer(IOVEC_SIZE * 64);
  private readonly sources = new NativeBuffer(IOVEC_SIZE * IOV_MAX);
  /** What the last call's operations gave, for when it runs again. */
  private readBytes: number | undefined;
  private staged: number | undefined;
  private mayGoStraight = true;
  /** Of this call, the first `nFetches`; the others have buffers for later ones. */
  private readonly fetches: Fetch[] = [];
  private nFetches = 0;

  constructor(hand: Hand | undefined) {
    this.hand = hand;
    this.staging = new NativeBuffer(hand === undefined ? 0 : STAGED);
  }

  /** Another call begins. */
  reset(): void {
    this.readBytes = undefined;
    this.staged = undefined;
    this.mayGoStraight = true;
    this.nFetches = 0;
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

  /** See Caller.fetch(). */
  fetch(tid: number, address: number, length: number): Piece {
    const fetch = this.fetchFor(address, length);
    if (fetch.isDone) return fetch;
    const { hand, local, remote } = this;
    // in two parts, since a part is readable as a whole or not at all
    const head = Math.min(length, PAGE_SIZE - (address % PAGE_SIZE));
    const count = length > head ? 2 : 1;
    local.setIovec(0, fetch.bytes.address, length);
    remote.setIovec(0, address, head);
    remote.setIovec(IOVEC_SIZE, address + head, length - head);
    const step = `fetch ${address} ${length}`;
    if (hand !== undefined && !hand.hasDone(step)) {
      hand.thread.prepare(0, Syscall.PROCESS_VM_READV, tid, local.address, 1, remote.address, count);
      hand.run(1, step);
    }
    const read =
      hand === undefined ? processVmReadv(tid, local.address, 1, remote.address, count, 0) : hand.thread.result(0);
    fetch.length = Math.max(0, read);
    fetch.isDone = true;
    return fetch;
  }

  private fetchFor(address: number, wanted: number): Fetch {
    for (let i = 0; i < this.nFetches; i++) {
      const fetch = this.fetches[i] as Fetch;
      if (fetch.address === address && fetch.wanted === wanted) return fetch;
    }
    const at = this.nFetches++;
    const bytes = this.fetches[at]?.bytes;
    const fetch: Fetch = {
      bytes: bytes !== undefined && bytes.size >= wanted ? bytes : new NativeBuffer(Math.max(PIECE_SIZE, wanted)),
      address,
      wanted,
      length: 0,
      isDone: false,
    };
    this.fetches[at] = fetch;
    return fetch;
  }

  /** See Caller.store(). */
  store(tid: number, patches: readonly Patch[]): Errno {
    let length = 0;
    for (const { bytes } of patches) length += bytes.length;
    if (length > this.outgoing.size) this.outgoing = new NativeBuffer(length);
    let step = 'store';
    let at = 0;
    for (const [i, { address, bytes }] of patches.entries()) {
      this.outgoing.u8.set(bytes, at);
      this.remote.setIovec(i * IOVEC_SIZE, address, bytes.length);
      at += bytes.length;
      step += ` ${address} ${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')}`;
    }
    this.local.setIovec(0, this.outgoing.address, length);
    const stored = this.copy(step, tid, this.local.address, 1, this.remote.address, patches.length);
    return stored === length ? Errno.OK : Errno.EFAULT;
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

  /** See Caller.gather(). */
  gather(tid: number, total: number, count: number, addresses: readonly number[], gaps: readonly Gap[] = []): Errno {
    if (total === 0 || addresses.length === 0) return Errno.OK;
    const parts = partsBetween(gaps, total);
    const nTargets = addresses.length * parts.length;
    while (this.targets.size < nTargets * IOVEC_SIZE) this.targets = this.targets.grown();
    const { targets } = this;
    let at = 0;
    for (const address of addresses) {
      for (const { start, shift, size } of parts) targets.setIovec(IOVEC_SIZE * at++, address + start + shift, size);
    }
    if (this.hand !== undefined && (total <= STAGED || !this.mayGoStraight)) {
      const error = this.stage(tid, total, count);
      return error === Errno.OK ? this.unstage(total, addresses.length, parts) : error;
    }
    // A run after one that was suspended here has other slices to fill, and might be suspended again and again.
    this.mayGoStraight = false;
    this.hand?.forget();
    return this.copyStraight(tid, total, count, addresses.length, parts.length);
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
  private unstage(total: number, nTargets: number, parts: readonly Part[]): Errno {
    const { sources, targets, staging } = this;
    const perCall = Math.max(1, Math.min(nTargets, Math.floor(IOV_MAX / parts.length), Math.floor(MAX_COPY / total)));
    for (let i = 0; i < perCall; i++) {
      for (const [k, { start, size }] of parts.entries()) {
        sources.setIovec((i * parts.length + k) * IOVEC_SIZE, staging.address + start, size);
      }
    }
    for (let first = 0; first < nTargets; first += perCall) {
      const n = Math.min(perCall, nTargets - first);
      const remote = targets.address + first * parts.length * IOVEC_SIZE;
      const nParts = n * parts.length;
      if (processVmWritev(OWN_PID, sources.address, nParts, remote, nParts, 0) !== n * total) return Errno.ENOMEM;
    }
    return Errno.OK;
  }

  private copyStraight(tid: number, total: number, count: number, nTargets: number, nParts: number): Errno {
    const { targets, scratchBuffer, sources } = this;
    // One call serves as many targets as it takes ranges and bytes: the client's ranges are named again for each.
    const most = Math.floor(IOV_MAX / Math.max(count, nParts));
    const perCall = Math.max(1, Math.min(nTargets, most, Math.floor(MAX_COPY / total)));
    let source = scratchBuffer.address;
    if (perCall > 1) {
      const ranges = scratchBuffer.u8.subarray(0, count * IOVEC_SIZE);
      for (let i = 0; i < perCall; i++) sources.u8.set(ranges, i * ranges.length);
      source = sources.address;
    }
    for (let first = 0; first < nTargets; first += perCall) {
      const n = Math.min(perCall, nTargets - first);
      const local = targets.address + first * nParts * IOVEC_SIZE;
      if (this.copy('straight', tid, local, n * nParts, source, n * count) !== n * total) return Errno.EFAULT;
    }
    return Errno.OK;
  }

  private copy(step: string, tid: number, local: number, nLocal: number, remote: number, nRemote: number): number {
    const { hand } = this;
    if (hand === undefined) {
      return (isWrite(step) ? processVmWritev : processVmReadv)(tid, local, nLocal, remote, nRemote, 0);
    }
    if (!hand.hasDone(step)) {
      const number = isWrite(step) ? Syscall.PROCESS_VM_WRITEV : Syscall.PROCESS_VM_READV;
      hand.thread.prepare(0, number, tid, local, nLocal, remote, nRemote);
      hand.run(1, step);
    }
    return hand.thread.result(0);
  }
}

const isWrite = (step: string): boolean => step === 'write' || step.startsWith('store');
