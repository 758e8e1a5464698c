import type { InheritedFile, OpenLedger } from '../../src/fuse/open-ledger.js';

/** A ledger that nobody inherits. */
export class FakeLedger implements OpenLedger {
  readonly firstId: number;
  readonly inherited: readonly InheritedFile[];

  constructor(firstId: number, inherited: readonly InheritedFile[] = []) {
    this.firstId = firstId;
    this.inherited = inherited;
  }

  setAside(): void {}

  add(): number {
    return 0;
  }

  notePoll(): void {}

  remove(): void {}

  removeInherited(): void {}
}
