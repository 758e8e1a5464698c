import { Errno } from '../base/errno.js';
import { IdTable } from '../base/id-table.js';
import { type Pool, pagesBefore, wholePages } from './pool.js';
import type { Quota } from './quota.js';
import type { Slice } from './slice.js';

/** What slices are charged to. */
export interface SliceQuotas {
  /** One for each. */
  readonly slices: Quota;
  /** The pages they are in, each slice for itself. */
  readonly heldBytes: Quota;
}

/** One receiver's slices of its pool: each is held by a message, by the user to whom it was exposed, or by both. */
export class Slices {
  readonly pool: Pool;
  /** How many bytes are in slices. */
  bytes = 0;
  private readonly quotas: SliceQuotas;
  /** Those the user has received or peeked and not yet released, by offset. */
  private readonly exposed = new IdTable<Slice>();

  /** Each slice is charged to `quotas` until nobody holds it. */
  constructor(pool: Pool, quotas: SliceQuotas) {
    this.pool = pool;
    this.quotas = quotas;
  }

  exposedSlices(): Iterable<Slice> {
    return this.exposed.values();
  }

  /** Reserves a slice for a message of user `sender`, or undefined when no free block is large enough. The quotas were looked at before. */
  reserve(size: number, sender: number): Slice | undefined {
    const slice = this.pool.allocate(size);
    if (slice === undefined) return undefined;
    slice.isQueued = true;
    slice.sender = sender;
    this.bytes += size;
    this.quotas.slices.chargeFrom(sender, 1);
    this.quotas.heldBytes.charge(footprint(slice));
    return slice;
  }

  /** The message that holds the slice is gone. */
  dequeue(slice: Slice): void {
    slice.isQueued = false;
    this.freeIfUnused(slice);
  }

  /**
   * Keeps a slice, and the memory it is in, whatever becomes of the receiver, until the function that is returned is called: then
   * the message that held it is gone.
   */
  dequeueLater(slice: Slice): () => void {
    const { memory } = this.pool;
    memory.retain();
    return () => {
      this.dequeue(slice);
      memory.release();
    };
  }

  /** Gives the user a hold on the slice, which it may have already. */
  expose(slice: Slice): void {
    slice.isExposed = true;
    this.exposed.set(slice.offset, slice);
  }

  /** The user lets go the slice at `offset`; ENXIO if it holds none there. */
  release(offset: number): Errno {
    const slice = this.exposed.get(offset);
    if (slice === undefined) return Errno.ENXIO;
    this.exposed.delete(offset);
    slice.isExposed = false;
    this.freeIfUnused(slice);
    return Errno.OK;
  }

  /** The user lets go all it holds. */
  releaseAll(): void {
    for (const { offset } of [...this.exposed.values()]) this.release(offset);
  }

  private freeIfUnused(slice: Slice): void {
    if (slice.isQueued || slice.isExposed) return;
    this.bytes -= slice.size;
    this.quotas.slices.chargeFrom(slice.sender, -1);
    this.quotas.heldBytes.charge(-footprint(slice));
    this.pool.release(slice);
  }
}

/** What a slice keeps in memory if there is nothing beside it: a page more at most than its size would need. */
const footprint = ({ offset, end }: Slice): number => wholePages(end) - pagesBefore(offset);
