/**
 * Numbers for node ids and file handles, none of which is given twice as long as a mount lasts: an engine that takes over
 * begins where its predecessor's end, so that each can tell its own from those the kernel still has of others.
 */
export class Ids {
  private readonly first: number;
  private last: number;

  /** `first` is beyond all that were given before. */
  constructor(first: number) {
    this.first = first;
    this.last = first - 1;
  }

  next(): number {
    return ++this.last;
  }

  /** Whether an id, which the kernel got from some engine, is another one's. */
  isForeign(id: number): boolean {
    return id < this.first;
  }
}
