import { Errno } from '../../base/errno.js';
import { IdTable } from '../../base/id-table.js';
import type { Pool } from '../../bus/pool.js';
import type { Limits, Obstacle, Quotas, Resource, User } from '../../bus/quota.js';
import { Slices } from '../../bus/slices.js';
import type { Bus } from './bus.js';
import { assignedId, type HandleId, isAssignedByBus } from './handle-id.js';
import { Inbox } from './inbox.js';
import { Message, MessageType } from './message.js';
import { type Handle, Node } from './node.js';

/** A connection to the bus: what one open() of the device makes. */
export class Peer {
  readonly bus: Bus;
  readonly serial: number;
  readonly user: User;
  readonly quotas: Quotas;
  readonly slices: Slices;
  readonly inbox: Inbox;
  isConnected = true;
  wantsSecctx = false;
  /** Visible handles by id. */
  private readonly handles = new IdTable<Handle>();
  private lastAssigned = 0;
  private readonly wake: () => void;

  /** Made by Bus.addPeer(). */
  constructor(bus: Bus, serial: number, user: User, pool: Pool, wake: () => void) {
    this.bus = bus;
    this.serial = serial;
    this.user = user;
    this.quotas = user.quotasOfPeer();
    this.slices = new Slices(pool, { slices: this.quotas.slices, heldBytes: user.heldBytes });
    this.inbox = new Inbox(this, wake);
    this.wake = wake;
  }

  visibleHandles(): Iterable<Handle> {
    return this.handles.values();
  }

  /** Tells that `amount` more of a resource of this peer was asked for than it may use. */
  refuse(resource: keyof Limits | 'heldBytes', amount: number, asker: Peer): Errno {
    const quota = resource === 'heldBytes' ? this.user.heldBytes : this.quotas[resource];
    return this.refuseBecause(quota.obstacle(amount), resource, amount, asker);
  }

  refuseBecause(obstacle: Obstacle, resource: Resource, amount: number, asker: Peer): Errno {
    this.bus.onRefusal?.({ holder: this, resource, amount, obstacle, asker });
    return Errno.EDQUOT;
  }

  // ---- handles

  handle(id: HandleId): Handle | undefined {
    return this.handles.get(id);
  }

  /**
   * The handle a call means by `id`. One that could only mean a node of the peer's own which does not exist yet makes
   * that node and appends its handle to `created`; uncreate() takes it back if the call fails. Undefined is ENXIO.
   */
  handleOrCreate(id: HandleId, created: Handle[]): Handle | undefined {
    const existing = this.handles.get(id);
    if (existing !== undefined) return existing;
    if (isAssignedByBus(id)) return undefined;
    const handle = new Node(this).handleFor(this);
    handle.id = id;
    handle.userReferences = 1;
    this.handles.set(id, handle);
    created.push(handle);
    return handle;
  }

  /** Takes back nodes that nothing else knows yet. */
  uncreate(created: readonly Handle[]): void {
    for (let i = created.length - 1; i >= 0; i--) this.handles.delete((created[i] as Handle).id);
  }

  /** A handle got its first user reference: it becomes known by an id the bus assigns. */
  show(handle: Handle): void {
    handle.id = assignedId(++this.lastAssigned, !handle.isOwner);
    this.handles.set(handle.id, handle);
    this.inbox.adjustDeliverable(handle, 1);
  }

  /** A handle lost its last user reference: its id is gone. */
  hide(handle: Handle): void {
    this.handles.delete(handle.id);
    this.inbox.adjustDeliverable(handle, -1);
  }

  /** HANDLE_RELEASE. */
  releaseHandle(id: HandleId): Errno {
    const handle = this.handles.get(id);
    if (handle === undefined) return isAssignedByBus(id) ? Errno.ENXIO : Errno.EBUSY;
    if (handle.isOwner && handle.node.isLive && handle.userReferences === 1) return Errno.EBUSY;
    handle.dropUserReferences(1);
    return Errno.OK;
  }

  /** HANDLE_TRANSFER to `receiver`. Returns the receiver's handle, "destroyed" where there is none to get, or an errno. */
  transferHandle(id: HandleId, receiver: Peer): Handle | 'destroyed' | Errno {
    const created: Handle[] = [];
    const source = this.handleOrCreate(id, created);
    if (source === undefined) return Errno.ENXIO;
    if (!source.node.isLive) return 'destroyed';
    if (!receiver.quotas.handles.fits(1)) {
      this.uncreate(created);
      return receiver.refuse('handles', 1, this);
    }
    receiver.quotas.handles.charge(1);
    if (!this.quotas.handles.fits(created.length)) {
      const error = this.refuse('handles', created.length, this);
      receiver.quotas.handles.charge(-1);
      this.uncreate(created);
      return error;
    }
    this.quotas.handles.charge(created.length);
    const handle = source.node.handleFor(receiver);
    handle.addUserReference();
    return handle;
  }

  /** NODES_DESTROY: one transaction, all or nothing. */
  destroyNodes(ids: readonly HandleId[], releaseHandles: boolean): Errno {
    const created: Handle[] = [];
    const owned: Handle[] = [];
    const error = this.checkDestroy(ids, owned, created);
    if (error !== Errno.OK) {
      this.uncreate(created);
      return error;
    }
    this.quotas.handles.charge(created.length);
    this.destroy(owned.map((handle) => handle.node));
    if (releaseHandles) for (const handle of owned) handle.dropUserReferences(1);
    return Errno.OK;
  }

  private checkDestroy(ids: readonly HandleId[], owned: Handle[], created: Handle[]): Errno {
    const stamp = this.bus.nextStamp();
    for (const id of ids) {
      const handle = this.handleOrCreate(id, created);
      if (handle === undefined) return Errno.ENXIO;
      if (handle.node.seenBy === stamp) return Errno.ENOTUNIQ;
      handle.node.seenBy = stamp;
      if (!handle.isOwner) return Errno.EREMOTE;
      if (!handle.node.isLive) return Errno.ESTALE;
      owned.push(handle);
    }
    return this.quotas.handles.fits(created.length) ? Errno.OK : this.refuse('handles', created.length, this);
  }

  /** Destroys nodes of this peer in one transaction and queues a NODE_DESTROY for each of their handles. */
  private destroy(nodes: readonly Node[]): void {
    if (nodes.length === 0) return;
    const sequence = this.bus.nextSequence();
    for (const node of nodes) {
      node.withdrawRelease();
      node.destroyedAt = sequence;
      node.strong++; // what a live node pins is a reference like any other from here on
      for (const handle of node.handles()) {
        handle.destroyNotification = new Message(MessageType.NODE_DESTROY, sequence, handle);
        handle.peer.inbox.enqueue(handle.destroyNotification);
      }
    }
  }

  /** The last strong reference to a node of this peer is gone. */
  queueRelease(node: Node): void {
    node.releaseNotification = new Message(MessageType.NODE_RELEASE, this.bus.nextSequence(), node.handleFor(this));
    this.inbox.enqueue(node.releaseNotification);
  }

  /** Charges what a message of user `senderUid` takes while it is queued here, or returns it if negative. */
  chargeInFlight(senderUid: number, bytes: number, fds: number): void {
    this.quotas.inflightBytes.chargeFrom(senderUid, bytes);
    if (fds !== 0) this.quotas.inflightFds.chargeFrom(senderUid, fds);
  }

  // ---- ending

  /** PEER_RESET with FLUSH: gives everything up but the seed, and the nodes and handles it carries, if `keepSeed`. */
  flush(keepSeed: boolean): void {
    const kept = new Set(keepSeed ? this.inbox.seed?.cargo?.handles : []);
    const handles = [...this.handles.values()].filter((handle) => !kept.has(handle));
    this.destroy(handles.filter((handle) => handle.isOwner && handle.node.isLive).map((handle) => handle.node));
    for (const handle of handles) handle.dropUserReferences(handle.userReferences);
    if (!keepSeed) this.inbox.setSeed(undefined);
    this.inbox.clear();
    this.slices.releaseAll();
  }

  /** PEER_DISCONNECT and the last close: everything goes, for ever. */
  disconnect(): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.flush(false);
    this.wake();
  }
}
