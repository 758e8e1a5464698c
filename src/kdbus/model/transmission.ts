import { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import { align8 } from '../../bus/pool.js';
import type { Slice } from '../../bus/slice.js';
import type { Gap, HeldFiles, Suspension } from '../../device.js';
import { Item, Msg } from '../kdbus-abi.js';
import type { KdbusConnection } from './kdbus-connection.js';
import type { MessageMetadata } from './message-metadata.js';
import type { Delivered, FilePlace } from './message-queue.js';
import type { ClaimedName } from './name-claim.js';
import type { Tracker } from './tracker.js';

/** A message on its way. */
export interface OutgoingMessage {
  readonly sender: KdbusConnection;
  /** Header and items, as receivers see them but for `size` and where the payload is. */
  readonly head: Bytes;
  /** Where in `head` it is told where a piece of payload is, and where that is from the start of the payload; undefined if nowhere. */
  readonly payloads: readonly { readonly offset: number; readonly position: number | undefined }[];
  /** Bytes that come from the sender's memory, in so many ranges, and where in between zeros are. */
  readonly nBytes: number;
  readonly nVecs: number;
  readonly gaps: readonly Gap[];
  readonly priority: bigint;
  readonly nFds: number;
  readonly files: HeldFiles | undefined;
  readonly places: readonly FilePlace[];
  readonly name: ClaimedName<KdbusConnection> | undefined;
  readonly metadata: MessageMetadata;
}

/** Whoever has the payload. */
export interface PayloadSource {
  /** Copies it to memory of our own. */
  fetch(total: number, count: number): Uint8Array | Errno;
  gather(total: number, count: number, targets: readonly number[], gaps?: readonly Gap[]): Errno;
}

interface Reservation {
  readonly receiver: KdbusConnection;
  readonly slice: Slice;
  readonly head: Uint8Array;
}

/**
 * A message on its way to its receivers: first everything that may fail, which reserves but shows nothing, then commit() or
 * abort().
 */
export class Transmission {
  private readonly message: OutgoingMessage;
  private readonly reservations: Reservation[] = [];
  private readonly losers: KdbusConnection[] = [];
  /** All of the payload area, where it is kept. */
  private area: Uint8Array | undefined;

  constructor(message: OutgoingMessage) {
    this.message = message;
  }

  /** Reserves room for a receiver that must get it. */
  add(receiver: KdbusConnection): Errno {
    const { sender, nFds, metadata } = this.message;
    if (!receiver.isAlive) return Errno.ECONNRESET;
    if (nFds > 0 && !receiver.acceptsFds && !receiver.isMonitor) return Errno.ECOMM;
    const items = metadata.itemsFor({ receiveFlags: receiver.attachRecv, viewpoint: receiver.profile.facts.viewpoint });
    if (typeof items === 'number') return items;
    const head = this.headWith(items as Uint8Array);
    const size = align8(head.length + this.payloadSize);
    const error = receiver.quota.check(sender.profile.user, size, nFds);
    if (error !== Errno.OK) return error;
    const slice = receiver.slices.reserve(size);
    if (slice === undefined) return Errno.EXFULL;
    receiver.quota.charge(sender.profile.user, size, nFds);
    this.reservations.push({ receiver, slice, head });
    return Errno.OK;
  }

  /** The same for one that may lose it, and is told of that. */
  addLossy(receiver: KdbusConnection): void {
    if (this.add(receiver) !== Errno.OK) this.losers.push(receiver);
  }

  private get payloadSize(): number {
    return this.message.gaps.reduce((sum, { size }) => sum + size, this.message.nBytes);
  }

  /** Header, items and metadata, up to where the payload begins. */
  private headWith(metadata: Uint8Array): Uint8Array {
    const { head, payloads } = this.message;
    const size = metadata.length === 0 ? head.size : align8(head.size) + metadata.length;
    const bytes = new Bytes(new ArrayBuffer(align8(size)));
    bytes.u8.set(head.u8);
    bytes.u8.set(metadata, align8(head.size));
    bytes.setU64(Msg.size, size);
    for (const { offset, position } of payloads) {
      if (position === undefined) bytes.setAllOnes64(offset);
      else bytes.setU64(offset, bytes.size + position);
    }
    return bytes.u8;
  }

  /** Fills in what was reserved. */
  copy(source: PayloadSource): Errno {
    return this.message.name?.activator === undefined ? this.copyToPools(source) : this.copyByUs(source);
  }

  /**
   * A message to a name with an activator may move to another connection. What its first receiver may have written to its pool must
   * not come along, so a copy is kept.
   */
  private copyByUs(source: PayloadSource): Errno {
    const { message, reservations, payloadSize } = this;
    const { nBytes, nVecs, gaps } = message;
    if (reservations.length === 0) return Errno.OK;
    const payload = source.fetch(nBytes, nVecs);
    if (typeof payload === 'number') return payload;
    const area = new Uint8Array(align8(payloadSize));
    let start = 0;
    let shift = 0;
    for (const { at, size } of [...gaps, { at: nBytes, size: 0 }]) {
      area.set(payload.subarray(start, at), start + shift);
      start = at;
      shift += size;
    }
    this.area = area;
    const isWritten = reservations.every(
      ({ receiver: { pool }, slice, head }) =>
        pool.memory.write(slice.offset, head) && pool.memory.write(slice.offset + head.length, area),
    );
    return isWritten ? Errno.OK : Errno.ENOMEM;
  }

  private copyToPools(source: PayloadSource): Errno {
    const { message, reservations, payloadSize } = this;
    const targets = reservations.map(
      ({ receiver, slice, head }) => receiver.pool.memory.address + slice.offset + head.length,
    );
    const error = source.gather(message.nBytes, message.nVecs, targets, message.gaps);
    if (error !== Errno.OK) return error;
    for (const { receiver, slice, head } of reservations) {
      const { memory } = receiver.pool;
      if (!memory.write(slice.offset, head)) return Errno.ENOMEM;
      for (const { start, length } of this.zeros(payloadSize, slice.size - head.length)) {
        if (!memory.write(slice.offset + head.length + start, new Uint8Array(length))) return Errno.ENOMEM;
      }
    }
    return Errno.OK;
  }

  /** What of the payload area is not payload. */
  private *zeros(
    payloadSize: number,
    areaSize: number,
  ): Generator<{ readonly start: number; readonly length: number }> {
    let shift = 0;
    for (const { at, size } of this.message.gaps) {
      yield { start: at + shift, length: size };
      shift += size;
    }
    if (areaSize > payloadSize) yield { start: payloadSize, length: areaSize - payloadSize };
  }

  /** Gives everything back. What the payload may still be written to is kept until the suspension ends. */
  abort(suspension?: Suspension): void {
    const { sender, nFds } = this.message;
    for (const { receiver, slice } of this.reservations) {
      receiver.quota.release(sender.profile.user, slice.size, nFds);
      if (suspension === undefined) receiver.slices.dequeue(slice);
      else suspension.keep(receiver.slices.dequeueLater(slice));
    }
  }

  /** Nobody gets it: those that may lose it, all but `main`, are told. */
  lose(main?: KdbusConnection): void {
    this.abort();
    for (const [i, { receiver }] of this.reservations.entries()) if (!this.isMain(i, main)) receiver.countDrop();
    for (const receiver of this.losers) receiver.countDrop();
  }

  /** The one that must get it is reserved last; it may be a receiver twice. */
  private isMain(index: number, main: KdbusConnection | undefined): boolean {
    return index === this.reservations.length - 1 && this.reservations[index]?.receiver === main;
  }

  /** Delivers to all but `main`, in their order, and returns what `main` gets. */
  commit(main?: KdbusConnection, tracker?: Tracker): Delivered | undefined {
    let result: Delivered | undefined;
    for (const receiver of this.losers) receiver.countDrop();
    for (const [i, reservation] of this.reservations.entries()) {
      const { receiver } = reservation;
      if (this.isMain(i, main)) result = this.delivered(reservation, tracker);
      else receiver.enqueue(this.delivered(reservation, undefined));
    }
    return result;
  }

  private delivered({ receiver, slice, head }: Reservation, tracker: Tracker | undefined): Delivered {
    const { sender, nFds, priority, files, places, name } = this.message;
    files?.retain();
    return {
      slice,
      sender,
      user: sender.profile.user,
      nFds,
      priority,
      files,
      places: receiver.acceptsFds ? places : places.filter(({ isFd }) => !isFd),
      name: receiver.isMonitor ? undefined : name,
      tracker,
      head: name === undefined ? undefined : head,
      area: this.area,
    };
  }
}

/** Where in the item of a piece of payload it is told where that is. */
export const PAYLOAD_OFFSET = Item.sizeof + 8;
