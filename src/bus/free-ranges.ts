import { IdTable } from '../base/id-table.js';
import type { Slice } from './slice.js';

/** Free ranges of one size, and the place of that size among all sizes: a node of a treap. */
class Bucket {
  readonly size: number;
  /** Random, so that the tree is balanced whatever a client does; parents have larger ones. */
  readonly priority = Math.random();
  first: Slice | undefined;
  smaller: Bucket | undefined;
  larger: Bucket | undefined;

  constructor(size: number) {
    this.size = size;
  }
}

/** Free ranges by size: adding, removing and finding the best fit take logarithmic time however many there are. */
export class FreeRanges {
  private readonly buckets = new IdTable<Bucket>();
  private root: Bucket | undefined;

  add(range: Slice): void {
    let bucket = this.buckets.get(range.size);
    if (bucket === undefined) {
      bucket = new Bucket(range.size);
      this.buckets.set(range.size, bucket);
      this.root = insert(this.root, bucket);
    }
    range.previousFree = undefined;
    range.nextFree = bucket.first;
    if (bucket.first !== undefined) bucket.first.previousFree = range;
    bucket.first = range;
  }

  remove(range: Slice): void {
    const { previousFree, nextFree } = range;
    if (nextFree !== undefined) nextFree.previousFree = previousFree;
    if (previousFree !== undefined) {
      previousFree.nextFree = nextFree;
      return;
    }
    const bucket = this.buckets.get(range.size);
    if (bucket === undefined) return;
    bucket.first = nextFree;
    if (nextFree !== undefined) return;
    this.buckets.delete(range.size);
    this.root = without(this.root, range.size);
  }

  /** A smallest range of at least `size`. */
  bestFit(size: number): Slice | undefined {
    const exact = this.buckets.get(size);
    if (exact !== undefined) return exact.first;
    let best: Bucket | undefined;
    for (let bucket = this.root; bucket !== undefined; ) {
      if (bucket.size >= size) best = bucket;
      bucket = bucket.size >= size ? bucket.smaller : bucket.larger;
    }
    return best?.first;
  }
}

function insert(tree: Bucket | undefined, bucket: Bucket): Bucket {
  if (tree === undefined) return bucket;
  if (bucket.priority > tree.priority) {
    split(tree, bucket.size, bucket);
    return bucket;
  }
  if (bucket.size < tree.size) tree.smaller = insert(tree.smaller, bucket);
  else tree.larger = insert(tree.larger, bucket);
  return tree;
}

/** Hangs the parts of a tree that are smaller and larger than `size` below `bucket`. */
function split(tree: Bucket | undefined, size: number, bucket: Bucket): void {
  if (tree === undefined) {
    bucket.smaller = undefined;
    bucket.larger = undefined;
  } else if (tree.size < size) {
    split(tree.larger, size, bucket);
    tree.larger = bucket.smaller;
    bucket.smaller = tree;
  } else {
    split(tree.smaller, size, bucket);
    tree.smaller = bucket.larger;
    bucket.larger = tree;
  }
}

function without(tree: Bucket | undefined, size: number): Bucket | undefined {
  if (tree === undefined) return undefined;
  if (tree.size === size) return merge(tree.smaller, tree.larger);
  if (size < tree.size) tree.smaller = without(tree.smaller, size);
  else tree.larger = without(tree.larger, size);
  return tree;
}

function merge(smaller: Bucket | undefined, larger: Bucket | undefined): Bucket | undefined {
  if (smaller === undefined) return larger;
  if (larger === undefined) return smaller;
  if (smaller.priority > larger.priority) {
    smaller.larger = merge(smaller.larger, larger);
    return smaller;
  }
  larger.smaller = merge(smaller, larger.smaller);
  return larger;
}
