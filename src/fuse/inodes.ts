import { IdTable } from '../base/id-table.js';
import type { DirectoryNode, Node, OpenFile } from '../device.js';
import { FUSE_ROOT_ID } from './fuse-abi.js';
import type { Ids } from './ids.js';

/** What the kernel knows by a node id. */
export interface Inode {
  readonly id: number;
  readonly node: Node;
  /** How often the kernel was told of it and has not forgotten it. */
  lookups: number;
  /** Whether it is the one of its node that stat(2) sees; of a device, each other one is made for one open(2). */
  readonly isForStat: boolean;
  /** The device files that are open on it: more than one only where a bind mount or /proc/PID/fd leads to it again. */
  readonly files: Set<OpenFile>;
  /** Of the memory that mappings of it show, while such a file is open; 0 without one. */
  backingId: number;
}

/**
 * All inodes the kernel knows. A node has one that stat(2) sees. Beside it, each open of a device looks its name up anew and
 * gets an inode, and so a page cache and a backing file, of its own.
 */
export class Inodes {
  private readonly ids: Ids;
  private readonly byId = new IdTable<Inode>();
  /** The ids of nodes that stat(2) saw once, so that they keep their number. */
  private readonly statIds = new WeakMap<Node, number>();

  constructor(root: DirectoryNode, ids: Ids) {
    this.ids = ids;
    this.statIds.set(root, FUSE_ROOT_ID);
    this.inodeOf(FUSE_ROOT_ID, root, true).lookups++; // never forgotten
  }

  get(id: number): Inode | undefined {
    return this.byId.get(id);
  }

  /** The number that stat(2) shows for a node. */
  statId(node: Node): number {
    let id = this.statIds.get(node);
    if (id === undefined) {
      id = this.ids.next();
      this.statIds.set(node, id);
    }
    return id;
  }

  /** The inode that tells the kernel of a node, for stat(2) or for an open(2). */
  lookUp(node: Node, isForStat: boolean): Inode {
    const inode = this.inodeOf(isForStat ? this.statId(node) : this.ids.next(), node, isForStat);
    inode.lookups++;
    return inode;
  }

  private inodeOf(id: number, node: Node, isForStat: boolean): Inode {
    let inode = this.byId.get(id);
    if (inode === undefined) {
      inode = { id, node, lookups: 0, isForStat, files: new Set(), backingId: 0 };
      this.byId.set(id, inode);
    }
    return inode;
  }

  /** The kernel drops so many of the times that it was told of an inode. */
  forget(id: number, count: number): void {
    const inode = this.byId.get(id);
    if (inode === undefined) return;
    inode.lookups -= count;
    if (inode.lookups <= 0) this.byId.delete(id);
  }
}
