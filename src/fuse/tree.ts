import type { Caller } from '../caller/caller.js';
import type { Device } from '../device.js';

/** A small file made when it is opened, readable by root in the daemon's own pid namespace only. */
export interface TextFile {
  content(): string;
}

export type TreeEntry = Device | TextFile;

/** What the mounted directory holds, by name. */
export type Tree = ReadonlyMap<string, TreeEntry>;

export const isDevice = (entry: TreeEntry): entry is Device => 'rdev' in entry;

export const mayReadText = (caller: Caller): boolean => caller.uid === 0 && caller.isInOurPidNamespace();
