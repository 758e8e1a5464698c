/** Offsets and sizes in a pool are multiples of this. */
const ALIGNMENT = 8;

/** The pool spans 2^29 - 1 bytes; its last multiple of 8 bounds both the pool and the largest slice. */
export const POOL_SIZE = 0x1fff_fff8;

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
}

/** A range of the pool: one message's slice, or free. Ranges form a list in order of their offset. */
export class Slice {
  offset: number;
  size: number;
  isFree = false;
  /** Held by a queued message or a seed. */
  isQueued = false;
  /** Received or peeked and not yet released by the user. */
  isExposed = false;
  /** While free: pages from `offset` up to here may still be in memory. */
  warmEnd = 0;
  previous: Slice | undefined;
  next: Slice | undefined;

  constructor(offset: number, size: number) {
    this.offset = offset;
    this.size = size;
  }

  get end(): number {
    return this.offset + this.size;
  }
}

const precedes = (a: Slice, size: number, offset: number): boolean =>
  a.size < size || (a.size === size && a.offset < offset);

/**
 * Best-fit allocation in the receiver's pool, or in one that several receivers share. It knows offsets only: what a client writes to its own mapping cannot
 * confuse it.
 */
export class Pool<Memory extends PoolMemory = PoolMemory> {
  readonly memory: Memory;
  /** Free ranges by size, then offset. */
  private readonly freeBySize: Slice[] = [];

  constructor(memory: Memory) {
    this.memory = memory;
    this.insert(new Slice(0, POOL_SIZE));
  }

  /** Takes the low end of the smallest free range that fits `size` (a multiple of 8), or undefined if none does. */
  allocate(size: number): Slice | undefined {
    const index = this.lowerBound(size, 0);
    const range = this.freeBySize[index];
    if (range === undefined) return undefined;
    if (range.size === size) {
      this.removeAt(index);
      range.isFree = false;
      return range;
    }
    const slice = new Slice(range.offset, size);
    slice.previous = range.previous;
    slice.next = range;
    if (range.previous !== undefined) range.previous.next = slice;
    range.previous = slice;
    range.offset += size;
    range.size -= size;
    range.warmEnd = Math.max(range.warmEnd, range.offset);
    this.sink(index);
    return slice;
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
      slice.isFree = true;
      this.insert(slice);
    }
    if (previous?.isFree) {
      if (range !== slice) this.removeAt(this.lowerBound(range.size, range.offset));
      this.absorb(previous, range, previous.offset);
      range = previous;
    }
    const keepEnd = range.offset + KEEP_WARM;
    if (warmEnd > keepEnd) this.memory.discard(keepEnd, warmEnd);
    range.warmEnd = Math.min(warmEnd, keepEnd);
  }

  /** Grows a free range by a neighbour, which leaves the list. */
  private absorb(range: Slice, neighbour: Slice, offset: number): void {
    const index = this.lowerBound(range.size, range.offset);
    range.offset = offset;
    range.size += neighbour.size;
    const { previous, next } = neighbour;
    if (previous !== undefined) previous.next = next;
    if (next !== undefined) next.previous = previous;
    this.rise(index);
  }

  private insert(slice: Slice): void {
    slice.isFree = true;
    this.freeBySize.push(slice);
    this.sink(this.freeBySize.length - 1);
  }

  private removeAt(index: number): void {
    const list = this.freeBySize;
    for (let i = index + 1; i < list.length; i++) list[i - 1] = list[i] as Slice;
    list.pop();
  }

  /** Moves the entry at `index`, which may be too small for its place, down to where it belongs. */
  private sink(index: number): void {
    const list = this.freeBySize;
    const slice = list[index] as Slice;
    let i = index;
    for (; i > 0 && !precedes(list[i - 1] as Slice, slice.size, slice.offset); i--) list[i] = list[i - 1] as Slice;
    list[i] = slice;
  }

  /** Moves the entry at `index`, which may be too large for its place, up to where it belongs. */
  private rise(index: number): void {
    const list = this.freeBySize;
    const slice = list[index] as Slice;
    let i = index;
    for (; i + 1 < list.length && precedes(list[i + 1] as Slice, slice.size, slice.offset); i++) {
      list[i] = list[i + 1] as Slice;
    }
    list[i] = slice;
  }

  private lowerBound(size: number, offset: number): number {
    let low = 0;
    let high = this.freeBySize.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (precedes(this.freeBySize[middle] as Slice, size, offset)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
