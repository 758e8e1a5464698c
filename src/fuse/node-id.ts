import { FUSE_ROOT_ID } from './fuse-abi.js';

/**
 * Node ids say all there is to know of an inode, so none is ever stored and FORGET needs no answer: the entry of the
 * tree in the low byte, and above it the number of the LOOKUP that made it. Each open of a device looks its name up
 * anew and so gets an inode, with a page cache and a backing file, of its own. Number 0 is the one inode that stat(2)
 * sees.
 */
const ENTRY_BITS = 256;
const FIRST_ENTRY = FUSE_ROOT_ID + 1;

let lastLookup = 0;

export const statNodeId = (entry: number): number => FIRST_ENTRY + entry;

export const freshNodeId = (entry: number): number => ++lastLookup * ENTRY_BITS + FIRST_ENTRY + entry;

/** The index of the entry a node id belongs to; negative for the root. */
export const entryOf = (nodeId: number): number => (nodeId % ENTRY_BITS) - FIRST_ENTRY;

export const isStatNode = (nodeId: number): boolean => nodeId < ENTRY_BITS;
