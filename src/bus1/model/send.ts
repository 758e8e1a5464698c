import { Errno } from '../../errno.js';
import type { HandleId } from './handle-id.js';
import { type Cargo, type Files, Message, MessageType, type Sender } from './message.js';
import type { Handle, Node } from './node.js';
import type { Peer } from './peer.js';
import { align8, POOL_SIZE, type Slice } from './pool.js';

/** A receiver and the slice reserved there. Nothing of it can be seen before the transaction is committed. */
export interface Delivery {
  readonly receiver: Peer;
  readonly slice: Slice;
}

interface ReservedDelivery extends Delivery {
  /** The node addressed; undefined for the sender's own seed. */
  readonly node: Node | undefined;
}

const FD_SIZE = 4;
const HANDLE_ID_SIZE = 8;

/** Where the parts of a slice lie, relative to its start. */
export interface SliceLayout {
  readonly handles: number;
  readonly fds: number;
  readonly size: number;
}

/** Slice layout: payload, handle ids, descriptor numbers, security context, each rounded up to 8; at least 8 bytes. */
export function sliceLayout(nBytes: number, nHandles: number, nFds: number): SliceLayout {
  const handles = align8(nBytes);
  const fds = handles + nHandles * HANDLE_ID_SIZE;
  return { handles, fds, size: Math.max(8, fds + align8(nFds * FD_SIZE)) };
}

/**
 * A SEND in the making: first everything that may fail, which reserves but shows nothing, then commit() or abort().
 *
 * The order of the checks is the contract's: carry() each handle, then attach(), then address() each destination,
 * then chargeOwnNodes(), which must succeed before commit().
 */
export class SendTransaction {
  readonly deliveries: readonly Delivery[];
  private readonly reserved: ReservedDelivery[] = [];
  private readonly sender: Peer;
  private readonly nBytes: number;
  private readonly stamp: number;
  private readonly carried: Node[] = [];
  private readonly created: Handle[] = [];
  private files: Files | undefined;
  private layout: SliceLayout;

  /** A message of `nBytes` payload from `sender`. */
  constructor(sender: Peer, nBytes: number) {
    this.sender = sender;
    this.nBytes = nBytes;
    this.deliveries = this.reserved;
    this.stamp = sender.bus.nextStamp();
    this.layout = sliceLayout(nBytes, 0, 0);
  }

  /** Adds a handle that every delivery carries. */
  carry(id: HandleId): Errno {
    const handle = this.sender.handleOrCreate(id, this.created);
    if (handle === undefined) return Errno.ENXIO;
    this.carried.push(handle.node);
    return Errno.OK;
  }

  /** Ends the list of what is carried: the handles so far and these descriptors, of which it takes over one reference. */
  attach(files: Files | undefined): void {
    this.files = files;
    this.layout = sliceLayout(this.nBytes, this.carried.length, files?.count ?? 0);
  }

  /** Reserves the delivery to one destination. */
  address(id: HandleId): Errno {
    const handle = this.sender.handleOrCreate(id, this.created);
    if (handle === undefined) return Errno.ENXIO;
    const { node } = handle;
    if (node.seenBy === this.stamp) return Errno.ENOTUNIQ;
    node.seenBy = this.stamp;
    if (node.handleOf(node.owner) === undefined) return Errno.ESHUTDOWN;
    return this.reserve(node.owner, node);
  }

  /** Reserves the delivery as the sender's own seed. */
  addressSeed(): Errno {
    return this.reserve(this.sender, undefined);
  }

  private reserve(receiver: Peer, node: Node | undefined): Errno {
    const { size } = this.layout;
    const nFds = this.files?.count ?? 0;
    const { uid } = this.sender.user;
    const isInFlight = node !== undefined;
    if (!receiver.quotas.slices.fits(1) || !receiver.quotas.handles.fits(this.carried.length)) return Errno.EDQUOT;
    if (size > POOL_SIZE) return Errno.EMSGSIZE;
    if (isInFlight && !receiver.fitsInFlight(size, nFds, uid)) return Errno.EDQUOT;
    const slice = receiver.allocateSlice(size);
    if (slice === undefined) return Errno.EXFULL;
    receiver.quotas.handles.charge(this.carried.length);
    if (isInFlight) receiver.chargeInFlight(size, nFds, uid);
    this.reserved.push({ receiver, slice, node });
    return Errno.OK;
  }

  /** Charges the sender for the nodes this call creates. */
  chargeOwnNodes(): Errno {
    const { handles } = this.sender.quotas;
    if (!handles.fits(this.created.length)) return Errno.EDQUOT;
    handles.charge(this.created.length);
    return Errno.OK;
  }

  /** Delivers, as one transaction. */
  commit(sender: Sender): void {
    const sequence = this.sender.bus.nextSequence();
    for (const { receiver, slice, node } of this.reserved) {
      const handles = this.carried.map((carried) => carried.handleFor(receiver));
      for (const handle of handles) handle.addCarried();
      this.files?.retain();
      const cargo: Cargo = {
        sender,
        slice,
        nBytes: this.nBytes,
        handles,
        files: this.files,
        senderUid: this.sender.user.uid,
      };
      if (node === undefined) receiver.setSeed(new Message(MessageType.DATA, sequence, undefined, cargo));
      else receiver.enqueue(new Message(MessageType.DATA, sequence, node.handleOf(receiver), cargo));
    }
    this.files?.release();
  }

  /** Takes every reservation back. */
  abort(): void {
    for (const { receiver, slice, node } of this.reserved) {
      receiver.cancelSlice(slice);
      receiver.quotas.handles.charge(-this.carried.length);
      if (node !== undefined) {
        receiver.chargeInFlight(-slice.size, -(this.files?.count ?? 0), this.sender.user.uid);
      }
    }
    this.sender.uncreate(this.created);
    this.files?.release();
  }
}
