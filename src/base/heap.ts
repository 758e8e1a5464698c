/** What is in a heap knows where, so that it can be taken out again. */
export interface HeapEntry {
  /** Set by the heap; -1 while it is in none. */
  heapIndex: number;
}

/** Entries of which the least is at hand, by an order that is given once (a binary heap). */
export class Heap<Entry extends HeapEntry> {
  private readonly entries: Entry[] = [];
  private readonly isBefore: (a: Entry, b: Entry) => boolean;

  constructor(isBefore: (a: Entry, b: Entry) => boolean) {
    this.isBefore = isBefore;
  }

  get least(): Entry | undefined {
    return this.entries[0];
  }

  add(entry: Entry): void {
    this.rise(entry, this.entries.length);
  }

  remove(entry: Entry): void {
    const at = entry.heapIndex;
    if (at < 0) return;
    entry.heapIndex = -1;
    const last = this.entries.pop() as Entry;
    if (last === entry) return;
    this.sink(last, at);
    this.rise(last, last.heapIndex);
  }

  /** Puts an entry at an index, or as far above it as it belongs. */
  private rise(entry: Entry, index: number): void {
    let at = index;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.entries[parent] as Entry;
      if (!this.isBefore(entry, above)) break;
      this.put(above, at);
      at = parent;
    }
    this.put(entry, at);
  }

  /** Puts an entry at an index, or as far below it as it belongs. */
  private sink(entry: Entry, index: number): void {
    const { entries } = this;
    let at = index;
    for (let child = 2 * at + 1; child < entries.length; child = 2 * at + 1) {
      if (child + 1 < entries.length && this.isBefore(entries[child + 1] as Entry, entries[child] as Entry)) child++;
      const below = entries[child] as Entry;
      if (!this.isBefore(below, entry)) break;
      this.put(below, at);
      at = child;
    }
    this.put(entry, at);
  }

  private put(entry: Entry, at: number): void {
    this.entries[at] = entry;
    entry.heapIndex = at;
  }
}
