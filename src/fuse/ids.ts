import type { OpenLedger } from './open-ledger.js';

/** How many numbers are set aside at once. */
const BLOCK = 65_536;

/**
 * Numbers for node ids and file handles, none of which is given twice as long as a mount lasts: an engine that takes over
 * begins where its predecessor's end, so that each can tell its own from those the kernel still has of others.
 */
export class Ids {
  private readonly ledger: Pick<OpenLedger, 'firstId' | 'setAside'>;
  private last: number;
  private end: number;

  constructor(ledger: Pick<OpenLedger, 'firstId' | 'setAside'>) {
    this.ledger = ledger;
    this.last = ledger.firstId - 1;
    this.end = ledger.firstId;
  }

  next(): number {
    if (++this.last === this.end) {
      this.end += BLOCK;
      this.ledger.setAside(this.end);
    }
    return this.last;
  }

  /** Whether an id, which the kernel got from some engine, is another one's. */
  isForeign(id: number): boolean {
    return id < this.ledger.firstId;
  }
}
