/** A range of the pool: one message's slice, or free. Ranges form a list in order of their offset. */
export class Slice {
  offset: number;
  size: number;
  isFree = false;
  /** Held by a queued message or a seed. */
  isQueued = false;
  /** Received or peeked and not yet released by the user. */
  isExposed = false;
  /** Who sent the message, by uid. */
  sender = 0;
  /** While free: the whole pages up to here may still be in memory, those after it are not. */
  warmEnd = 0;
  /** Its neighbours in the pool; and while it is free, others of the same size. */
  previous: Slice | undefined;
  next: Slice | undefined;
  previousFree: Slice | undefined;
  nextFree: Slice | undefined;

  constructor(offset: number, size: number) {
    this.offset = offset;
    this.size = size;
  }

  get end(): number {
    return this.offset + this.size;
  }
}
