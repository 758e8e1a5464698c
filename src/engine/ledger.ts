import type { InheritedFile, OpenLedger } from '../fuse/open-ledger.js';
import { SharedMemory } from '../linux/memory.js';

/** FUSE_ROOT_ID, which every mount begins with, is 1. */
const FIRST_ID = 2;
const MAX_FILES = 131_072;
/** Numbers of an entry; an entry without a handle is free. The first entry has the end of the ids that were set aside. */
const Field = { HANDLE: 0, NODE_ID: 1, POLL_HANDLE: 2, BACKING_ID: 3 } as const;
const FIELDS = 4;
const END = 0;
const SIZE = (MAX_FILES + 1) * FIELDS * 8;
const TWO_32 = 2 ** 32;

/** The ledger of a mount, in memory of the supervisor's, sparse: as many pages as files were ever open at once. */
export class Ledger implements OpenLedger {
  readonly firstId: number;
  readonly inherited: readonly InheritedFile[];
  private readonly numbers: Float64Array;
  private readonly free: number[] = [];
  private used = 1;

  private constructor(numbers: Float64Array) {
    this.numbers = numbers;
    this.firstId = Math.max(FIRST_ID, numbers[END] as number);
    this.inherited = this.entries();
  }

  /** Makes one. Returns its descriptor, or a negative errno. */
  static create(): number {
    const memory = SharedMemory.create('bus1fs-ledger', SIZE);
    if (typeof memory === 'number') return memory;
    memory.release();
    return memory.fd;
  }

  /** That of this mount, by an inherited descriptor. */
  static open(fd: number): Ledger {
    const memory = SharedMemory.map(fd, SIZE);
    if (typeof memory === 'number') throw new Error(`the ledger cannot be mapped: errno ${-memory}`);
    return new Ledger(memory.numbers(SIZE / 8));
  }

  private entries(): InheritedFile[] {
    const found: InheritedFile[] = [];
    // Entries are used from the start on, so that the first that never was ends the search.
    for (let place = 1; place <= MAX_FILES && this.at(place, Field.NODE_ID) !== 0; place++) {
      this.used = place + 1;
      const handle = this.at(place, Field.HANDLE);
      if (handle === 0) {
        this.free.push(place);
        continue;
      }
      found.push({
        handle,
        nodeId: this.at(place, Field.NODE_ID),
        pollHandle: this.at(place, Field.POLL_HANDLE),
        backingId: this.at(place, Field.BACKING_ID),
      });
    }
    return found;
  }

  private at(place: number, field: number): number {
    return this.numbers[place * FIELDS + field] as number;
  }

  setAside(end: number): void {
    this.numbers[END] = end;
  }

  add(handle: number, nodeId: number, backingId: number): number {
    const place = this.free.pop() ?? (this.used <= MAX_FILES ? this.used++ : -1);
    if (place < 0) return -1;
    this.numbers.set([handle, nodeId, 0, backingId], place * FIELDS);
    return place;
  }

  notePoll(place: number, low: number, high: number): void {
    if (place >= 0) this.numbers[place * FIELDS + Field.POLL_HANDLE] = high * TWO_32 + low;
  }

  remove(place: number): void {
    if (place < 0) return;
    this.numbers[place * FIELDS + Field.HANDLE] = 0;
    this.free.push(place);
  }

  removeInherited({ handle }: InheritedFile): void {
    for (let place = 1; place < this.used; place++) {
      if (this.at(place, Field.HANDLE) === handle) return this.remove(place);
    }
  }
}
