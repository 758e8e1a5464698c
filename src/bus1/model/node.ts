import { IdTable } from '../../base/id-table.js';
import type { HandleId } from './handle-id.js';
import type { Message } from './message.js';
import type { Peer } from './peer.js';

/**
 * An object that messages are sent to, owned by one peer for ever.
 *
 * It counts its strong references: every user reference of every handle and every handle carried by a queued
 * message or a seed, except the one reference that a live node pins on its owner's handle.
 */
export class Node {
  readonly owner: Peer;
  /** Sequence number of the transaction that destroyed it; 0 while it lives. */
  destroyedAt = 0;
  strong = 0;
  /** Its NODE_RELEASE while that waits in the owner's queue. */
  releaseNotification: Message | undefined;
  /** Stamp of the last call that saw this node in its arguments, to find duplicates. */
  seenBy = 0;
  private ownerHandle: Handle | undefined;
  /** By the serial number of their peer. */
  private others: IdTable<Handle> | undefined;

  constructor(owner: Peer) {
    this.owner = owner;
  }

  get isLive(): boolean {
    return this.destroyedAt === 0;
  }

  isDestroyedBefore(sequence: number): boolean {
    return this.destroyedAt !== 0 && this.destroyedAt < sequence;
  }

  /** The peer's handle, which exists while the peer has user references or messages in its queue or seed carry it. */
  handleOf(peer: Peer): Handle | undefined {
    return peer === this.owner ? this.ownerHandle : this.others?.get(peer.serial);
  }

  /** The peer's handle, made if there is none. */
  handleFor(peer: Peer): Handle {
    const existing = this.handleOf(peer);
    if (existing !== undefined) return existing;
    const handle = new Handle(peer, this);
    if (peer === this.owner) {
      this.ownerHandle = handle;
    } else {
      this.others ??= new IdTable();
      this.others.set(peer.serial, handle);
    }
    return handle;
  }

  /** All handles, the owner's first. */
  *handles(): Iterable<Handle> {
    if (this.ownerHandle !== undefined) yield this.ownerHandle;
    if (this.others !== undefined) yield* this.others.values();
  }

  forget(handle: Handle): void {
    if (handle === this.ownerHandle) this.ownerHandle = undefined;
    else this.others?.delete(handle.peer.serial);
  }

  /** One more strong reference; a waiting NODE_RELEASE is no longer true. */
  addStrong(): void {
    this.strong++;
    this.withdrawRelease();
  }

  /** So many strong references less; the owner is told when none is left. */
  dropStrong(count: number): void {
    this.strong -= count;
    if (this.strong === 0 && this.isLive) this.owner.queueRelease(this);
  }

  withdrawRelease(): void {
    if (this.releaseNotification === undefined) return;
    this.owner.inbox.withdraw(this.releaseNotification);
    this.releaseNotification = undefined;
  }
}

/** One peer's reference to a node. */
export class Handle {
  readonly peer: Peer;
  readonly node: Node;
  /** Meaningful while the handle is visible. */
  id: HandleId = 0;
  userReferences = 0;
  /** How often messages in the peer's queue, and its seed, carry it. */
  carried = 0;
  /** Messages in the peer's queue that are delivered only while this handle is visible. */
  pending = 0;
  /** Its NODE_DESTROY while that waits in the queue. */
  destroyNotification: Message | undefined;
  /** How many of the user references came in messages of other users, by their uid. */
  private foreign: Map<number, number> | undefined;

  constructor(peer: Peer, node: Node) {
    this.peer = peer;
    this.node = node;
  }

  /** Whether the peer knows it by an id. */
  get isVisible(): boolean {
    return this.userReferences > 0;
  }

  get isOwner(): boolean {
    return this.node.owner === this.peer;
  }

  /**
   * Adds a user reference, which must be charged already, from user `sender` if it came in a message; the first one makes the
   * handle visible under a new id.
   */
  addUserReference(sender = this.peer.user.uid): void {
    if (sender !== this.peer.user.uid) {
      this.foreign ??= new Map();
      this.foreign.set(sender, (this.foreign.get(sender) ?? 0) + 1);
    }
    this.node.addStrong();
    if (this.userReferences++ === 0) this.peer.show(this);
  }

  /** Drops `count` user references at once and returns their charge, those that other users sent first. */
  dropUserReferences(count: number): void {
    this.userReferences -= count;
    const own = this.foreign === undefined ? count : count - this.returnForeign(this.foreign, count);
    if (own > 0) this.peer.quotas.handles.charge(-own);
    if (this.userReferences === 0) {
      this.peer.hide(this);
      this.forgetIfUnused();
    }
    this.node.dropStrong(count);
  }

  /** Returns the charge of at most `most` of the references that other users sent, and how many those are. */
  private returnForeign(foreign: Map<number, number>, most: number): number {
    let returned = 0;
    for (const [sender, count] of foreign) {
      const dropped = Math.min(count, most - returned);
      if (dropped === 0) break;
      if (dropped === count) foreign.delete(sender);
      else foreign.set(sender, count - dropped);
      this.peer.quotas.handles.chargeFrom(sender, -dropped);
      returned += dropped;
    }
    if (foreign.size === 0) this.foreign = undefined;
    return returned;
  }

  addCarried(): void {
    this.node.addStrong();
    this.carried++;
  }

  dropCarried(): void {
    this.carried--;
    this.forgetIfUnused();
    this.node.dropStrong(1);
  }

  private forgetIfUnused(): void {
    if (this.userReferences > 0 || this.carried > 0) return;
    this.node.forget(this);
    // Nothing can bring this handle back, so its notification can never be delivered.
    if (this.destroyNotification !== undefined) {
      this.peer.inbox.withdraw(this.destroyNotification);
      this.destroyNotification = undefined;
    }
  }
}
