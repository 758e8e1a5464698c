import type { MappableMemory } from '../device.js';
import { FreeRanges } from './free-ranges.js';
import { Slice } from './slice.js';

/** Offsets and sizes in a pool are multiples of this. */
const ALIGNMENT = 8;

export const align8 = (n: number): number => Math.ceil(n / ALIGNMENT) * ALIGNMENT;

/**
 * How much of a free range may keep its pages for the next message: enough for a message of 1 MiB with its handles,
 * since touching new pages costs more than copying into them.
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
  /** In bytes, a multiple of 8; also the size of the largest slice. */
  readonly size: number;
  private readonly free = new FreeRanges();
  /**
   * The free range at the end of the pool, which nearly every allocation that fits nowhere else shrinks: kept apart, so
   * that this needs no search.
   */
  private tail: Slice | undefined;

  constructor(memory: Memory, size: number) {
    this.memory = memory;
    this.size = size;
    this.add(new Slice(0, size));
  }

  /** Takes the low end of a smallest free range that fits `size` (a multiple of 8), or undefined if none does. */
  allocate(size: number): Slice | undefined {
    const range = this.bestFit(size);
    if (range === undefined) return undefined;
    if (range.size === size) {
      this.remove(range);
      return range;
    }
    const slice = new Slice(range.offset, size);
    slice.previous = range.previous;
    slice.next = range;
    if (range.previous !== undefined) range.previous.next = slice;
    range.previous = slice;
    this.resize(range, range.offset + size, range.size - size);
    range.warmEnd = Math.max(range.warmEnd, range.offset);
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
    if (next?.isFree) {
      if (next.warmEnd > next.offset) warmEnd = next.warmEnd;
      this.absorb(next, slice, slice.offset);
      range = next;
    } else if (!previous?.isFree) {
      this.add(slice);
    }
    if (previous?.isFree) {
      if (range === slice) {
        this.absorb(previous, slice, previous.offset);
      } else {
        this.remove(range);
        this.absorb(previous, range, previous.offset);
      }
      range = previous;
    }
    const keepEnd = range.offset + KEEP_WARM;
    if (warmEnd > keepEnd) this.memory.discard(keepEnd, warmEnd);
    range.warmEnd = Math.min(warmEnd, keepEnd);
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
    if (range.end === this.size) this.tail = range;
    else this.free.add(range);
  }

  private remove(range: Slice): void {
    range.isFree = false;
    if (range === this.tail) this.tail = undefined;
    else this.free.remove(range);
  }
}
