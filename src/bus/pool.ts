import type { MappableMemory } from '../device.js';
import { FreeRanges } from './free-ranges.js';
import type { Quota } from './quota.js';
import { Slice } from './slice.js';

/** Offsets and sizes in a pool are multiples of this. */
const ALIGNMENT = 8;

/** The pool spans 2^29 - 1 bytes; its last multiple of 8 bounds both the pool and the largest slice. */
export const POOL_SIZE = 0x1fff_fff8;

export const align8 = (n: number): number => Math.ceil(n / ALIGNMENT) * ALIGNMENT;

const PAGE_SIZE = 4096;

/** What `size` bytes take of memory. */
export const wholePages = (size: number): number => Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;

/** The pages that lie as a whole before `end`. */
export const pagesBefore = (end: number): number => Math.floor(end / PAGE_SIZE) * PAGE_SIZE;

/**
 * How much of what is free in a pool may keep its pages for the next message: enough for a message of 1 MiB with its
 * handles, since touching new pages costs more than copying into them.
 */
const KEEP_WARM = 2 * 1024 * 1024;

/** The memory behind a pool, shared with the client that maps it: written, but never read back. */
export interface PoolMemory {
  /** Where it starts, for whoever copies messages into it; the model itself never touches it. */
  readonly address: number;
  /** Copies bytes to `offset`. False when the system has no memory. */
  write(offset: number, bytes: Uint8Array): boolean;
  /** Gives the whole pages in [start, end) back to the system. */
  discard(start: number, end: number): void;
  /** It stays until the last holder releases it; who made it is the first. */
  retain(): void;
  release(): void;
}

/** The same where a client maps it. */
export type MappedMemory = PoolMemory & MappableMemory;

/**
 * Best-fit allocation in the receiver's pool, or in one that several receivers share. It knows offsets only: what a client
 * writes to its own mapping cannot confuse it.
 */
export class Pool<Memory extends PoolMemory = PoolMemory> {
  readonly memory: Memory;
  /** What pages that stay in memory though they are free are charged to. */
  warmth: Quota | undefined;
  private warmBytes = 0;
  private isClosed = false;
  private readonly free = new FreeRanges();
  /**
   * The free range at the end of the pool, which nearly every allocation that fits nowhere else shrinks: kept apart, so
   * that this needs no search.
   */
  private tail: Slice | undefined;

  constructor(memory: Memory) {
    this.memory = memory;
    this.add(new Slice(0, POOL_SIZE));
  }

  /** Takes the low end of a smallest free range that fits `size` (a multiple of 8), or undefined if none does. */
  allocate(size: number): Slice | undefined {
    const range = this.bestFit(size);
    if (range === undefined) return undefined;
    if (range.size === size) {
      this.countWarm(-warmOf(range));
      this.remove(range);
      return range;
    }
    const slice = new Slice(range.offset, size);
    slice.previous = range.previous;
    slice.next = range;
    if (range.previous !== undefined) range.previous.next = slice;
    range.previous = slice;
    const warm = warmOf(range);
    this.resize(range, range.offset + size, range.size - size);
    this.countWarm(warmOf(range) - warm);
    return slice;
  }

  private bestFit(size: number): Slice | undefined {
    const range = this.free.bestFit(size);
    const { tail } = this;
    if (tail === undefined || tail.size < size) return range;
    return range !== undefined && range.size <= tail.size ? range : tail;
  }

  /** Frees a slice and merges it with free neighbours. */
  release(slice: Slice): void {
    const { previous, next } = slice;
    let range = slice;
    let warmEnd = slice.end;
    let warm = 0;
    if (next?.isFree) {
      warm = warmOf(next);
      if (warm > 0) warmEnd = next.warmEnd;
      this.absorb(next, slice, slice.offset);
      range = next;
    } else if (!previous?.isFree) {
      this.add(slice);
    }
    if (previous?.isFree) {
      warm += warmOf(previous);
      if (range === slice) {
        this.absorb(previous, slice, previous.offset);
      } else {
        this.remove(range);
        this.absorb(previous, range, previous.offset);
      }
      range = previous;
    }
    this.cool(range, warmEnd, warm);
  }

  /** Gives back what a free range, in whose pages up to `warmEnd` there was something, may not keep. It has kept `warm` bytes so far. */
  private cool(range: Slice, warmEnd: number, warm: number): void {
    const start = wholePages(range.offset);
    const last = range === this.tail ? wholePages(range.end) : pagesBefore(range.end);
    const end = Math.min(wholePages(warmEnd), last);
    const most = Math.min(KEEP_WARM - this.warmBytes, this.warmth?.left ?? KEEP_WARM) + warm;
    const keepEnd = this.isClosed ? start : start + Math.min(Math.max(0, end - start), pagesBefore(most));
    if (keepEnd < end) this.memory.discard(keepEnd, end);
    range.warmEnd = keepEnd;
    if (!this.isClosed) this.countWarm(keepEnd - start - warm);
  }

  private countWarm(bytes: number): void {
    if (bytes === 0) return;
    this.warmBytes += bytes;
    this.warmth?.charge(bytes);
  }

  /** Nobody receives in it any more: it gives its memory back, also what a client keeps mapped. */
  close(): void {
    this.isClosed = true;
    if (this.warmBytes > 0) this.memory.discard(0, wholePages(POOL_SIZE));
    this.countWarm(-this.warmBytes);
  }

  /** Grows a free range by a neighbour, which leaves the list. */
  private absorb(range: Slice, neighbour: Slice, offset: number): void {
    const { previous, next } = neighbour;
    if (previous !== undefined) previous.next = next;
    if (next !== undefined) next.previous = previous;
    this.resize(range, offset, range.size + neighbour.size);
  }

  private resize(range: Slice, offset: number, size: number): void {
    if (range === this.tail) {
      range.offset = offset;
      range.size = size;
      return;
    }
    this.remove(range);
    range.offset = offset;
    range.size = size;
    this.add(range);
  }

  private add(range: Slice): void {
    range.isFree = true;
    if (range.end === POOL_SIZE) this.tail = range;
    else this.free.add(range);
  }

  private remove(range: Slice): void {
    range.isFree = false;
    if (range === this.tail) this.tail = undefined;
    else this.free.remove(range);
  }
}

/** How much of a free range may be in memory: in whole pages, since others are shared with what is in use. */
const warmOf = ({ offset, warmEnd }: Slice): number => Math.max(0, warmEnd - wholePages(offset));
