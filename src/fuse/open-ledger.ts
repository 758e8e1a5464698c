/** A device file that was opened while another engine served the mount. */
export interface InheritedFile {
  readonly handle: number;
  readonly nodeId: number;
  /** The kernel's poll handle, or 0 if nobody has waited for the file. */
  readonly pollHandle: number;
  /** 0 without one. */
  readonly backingId: number;
}

/** What an engine that takes over has to know of its predecessors, kept where it outlives them. */
export interface OpenLedger {
  /** The first number that none of them has given to a node or a file; at least 2. */
  readonly firstId: number;
  /** The numbers below `end` may be given from now on. */
  setAside(end: number): void;
  /** Files of theirs that are still open. */
  readonly inherited: readonly InheritedFile[];
  /** Enters a file that was opened. Returns where it stands; -1 if there is no room. */
  add(handle: number, nodeId: number, backingId: number): number;
  /** Notes the poll handle of the file that stands at `place`. */
  notePoll(place: number, low: number, high: number): void;
  /** The file was closed. */
  remove(place: number): void;
  removeInherited(file: InheritedFile): void;
}
