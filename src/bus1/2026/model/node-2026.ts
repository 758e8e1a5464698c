import { type Linked, LinkedList } from '../../../base/linked-list.js';
import type { Cargo, Message } from './message-2026.js';
import type { Peer } from './peer-2026.js';

/** The receiving end, owned by one peer for ever. */
export class Node {
  readonly owner: Peer;
  readonly id: number;
  /** Until its owner released it, or was told that nobody has a handle to it any more. */
  isLive = true;
  /** All handles to it, those in queued messages included. */
  readonly handles = new LinkedList<Handle>();
  /** What waits in the owner's queue for having been sent to it. */
  readonly queued = new LinkedList<Cargo>();
  /** Its HANDLE_RELEASE while that waits in the owner's queue. */
  notification: Message | undefined;

  constructor(owner: Peer, id: number) {
    this.owner = owner;
    this.id = id;
  }
}

/** The sending end: one peer's reference to a node, independent of all others to the same node. */
export class Handle implements Linked<Handle> {
  readonly holder: Peer;
  readonly node: Node;
  /** 0 while it is in a queued message. */
  id: number;
  /** Its NODE_RELEASE while that waits in the holder's queue. */
  notification: Message | undefined;
  /** Among the handles of the node. */
  previous: Handle | undefined;
  next: Handle | undefined;

  constructor(holder: Peer, node: Node, id: number) {
    this.holder = holder;
    this.node = node;
    this.id = id;
  }
}
