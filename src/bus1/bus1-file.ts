import type { Budget } from '../base/budget.js';
import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { MappedMemory, Pool } from '../bus/pool.js';
import { type Caller, type Identity, type OpenFile, Poll, type Viewpoint } from '../device.js';
import type { Handler as Handler2026 } from './2026/commands-2026.js';
import type { Bus as Bus2026 } from './2026/model/bus-2026.js';
import type { Peer as Peer2026 } from './2026/model/peer-2026.js';
import { type Counters, type PeerStatus, peerStatus, peerStatus2026 } from './bus1-status.js';
import type { Handler } from './commands.js';
import type { Bus } from './model/bus.js';
import type { Peer } from './model/peer.js';

/** Who opened the file. */
export interface Opener {
  readonly identity: Identity;
  readonly command: string;
  readonly viewpoint: Viewpoint;
}

/** The pool of an inode, in which all files that are open on it receive. */
export class SharedPool {
  readonly pool: Pool<MappedMemory>;
  /** The only user who may receive into it, by uid. */
  owner: number;
  private holders = 1;

  constructor(pool: Pool<MappedMemory>, owner: number) {
    this.pool = pool;
    this.owner = owner;
  }

  retain(): void {
    this.holders++;
  }

  release(): void {
    if (--this.holders > 0) return;
    this.pool.close();
    this.pool.memory.release();
  }
}

/** What all files of a device share. */
export interface FileContext {
  readonly bus: Bus;
  readonly commands: ReadonlyMap<number, Handler>;
  readonly bus2026: Bus2026;
  readonly commands2026: ReadonlyMap<number, Handler2026>;
  readonly counters: Counters;
  /** How many descriptors can be held for all users. */
  readonly descriptors: Budget;
  /** Called when a file is gone. */
  onRelease(file: Bus1File): void;
}

/**
 * One open bus1 file description: a peer, and the commands on it.
 *
 * There are two buses behind the device, that of the ABI of 2016 (and 2019) and that of 2026, which have nothing in common but
 * this file. It speaks one ABI: that of its first command, or in which it first gets a handle from another file. To commands of
 * the other it answers as to any that do not exist.
 */
export class Bus1File implements OpenFile {
  onPollChange: (() => void) | undefined;
  readonly peer: Peer;
  readonly pool: SharedPool;
  /** Whether it is a file of 2016 for good. Only then the pool is used. */
  speaks2016 = false;
  /** Its peer on the other bus, once it is a file of 2026 for good. */
  private peer2026: Peer2026 | undefined;
  private readonly context: FileContext;
  private readonly opener: Opener;

  /** Takes over one reference to the pool, and the viewpoint of the opener. */
  constructor(context: FileContext, pool: SharedPool, opener: Opener) {
    this.context = context;
    this.pool = pool;
    this.opener = opener;
    this.peer = context.bus.addPeer(opener.identity.credentials.uid, pool.pool, () => this.onPollChange?.());
  }

  get memory(): MappedMemory {
    return this.pool.pool.memory;
  }

  /** The namespaces that others are seen from here. */
  get viewpoint(): Viewpoint {
    return this.opener.viewpoint;
  }

  /** Whether the pool went to another user, who would read what this peer receives. */
  get isBarred(): boolean {
    return this.opener.identity.credentials.uid !== this.pool.owner;
  }

  /** Makes it a file of 2016. False if it is one of 2026. */
  speak2016(): boolean {
    if (this.peer2026 !== undefined) return false;
    this.speaks2016 = true;
    return true;
  }

  /** Makes it a file of 2026, and returns its peer. Undefined if it is one of 2016. */
  speak2026(): Peer2026 | undefined {
    if (this.speaks2016) return undefined;
    this.peer2026 ??= this.context.bus2026.addPeer(this.opener, () => this.onPollChange?.());
    return this.peer2026;
  }

  /** Tells that `amount` descriptors were to be sent that cannot be held. */
  refuseDescriptors(amount: number): Errno {
    const { used, max } = this.context.descriptors;
    return this.peer.refuseBecause({ bound: 'total', used, max }, 'descriptors', amount, this.peer);
  }

  status(): PeerStatus {
    const { peer, peer2026, opener } = this;
    if (peer2026 !== undefined) return peerStatus2026(peer, peer2026, opener);
    return peerStatus(peer, opener, this.speaks2016 ? '2016' : undefined);
  }

  poll(): number {
    if (!this.peer.isConnected) return Poll.HUP;
    const writable = Poll.OUT | Poll.WRNORM;
    const { isReadable } = this.peer2026 ?? this.peer.inbox;
    return isReadable ? writable | Poll.IN | Poll.RDNORM : writable;
  }

  release(): void {
    this.context.bus.removePeer(this.peer);
    if (this.peer2026 !== undefined) this.context.bus2026.removePeer(this.peer2026);
    this.pool.release();
    this.viewpoint.release();
    this.context.onRelease(this);
  }

  ioctl(command: number, argument: Bytes, caller: Caller): Errno {
    const error = this.dispatch(command, argument, caller);
    const { counters } = this.context;
    counters.ioctls++;
    if (error !== Errno.OK && error !== Errno.EAGAIN) counters.failed++;
    return error;
  }

  private dispatch(command: number, argument: Bytes, caller: Caller): Errno {
    const { commands, commands2026 } = this.context;
    if (!this.speaks2016 && commands2026.has(command)) this.speak2026();
    if (this.peer2026 !== undefined) {
      return commands2026.get(command)?.(this.peer2026, argument, caller) ?? Errno.ENOTTY;
    }
    if (this.isBarred) return Errno.EBUSY;
    if (!this.peer.isConnected) return Errno.ESHUTDOWN;
    const handler = commands.get(command);
    if (handler === undefined) return Errno.ENOTTY;
    this.speaks2016 = true;
    return handler(this, argument, caller);
  }
}
