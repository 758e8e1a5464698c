import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { MappedMemory, Pool } from '../bus/pool.js';
import { type Caller, type Credentials, type OpenFile, Poll, type Viewpoint } from '../device.js';
import { type Counters, type PeerStatus, peerStatus } from './bus1-status.js';
import type { Handler } from './commands.js';
import type { Bus } from './model/bus.js';
import type { Peer } from './model/peer.js';

/** Who opened the file. */
export interface Opener {
  readonly credentials: Credentials;
  readonly command: string;
  readonly viewpoint: Viewpoint;
}

/** The pool of an inode, in which all files that are open on it receive. */
export class SharedPool {
  readonly pool: Pool<MappedMemory>;
  /** The only user who may receive into it, by uid. */
  owner: number;

  constructor(pool: Pool<MappedMemory>, owner: number) {
    this.pool = pool;
    this.owner = owner;
  }

  retain(): void {
    this.pool.memory.retain();
  }

  release(): void {
    this.pool.memory.release();
  }
}

/** What all files of a device share. */
export interface FileContext {
  readonly bus: Bus;
  readonly commands: ReadonlyMap<number, Handler>;
  readonly counters: Counters;
  /** Called when a file is gone. */
  onRelease(file: Bus1File): void;
}

/** One open bus1 file description: a peer, and the commands on it. */
export class Bus1File implements OpenFile {
  onPollChange: (() => void) | undefined;
  readonly peer: Peer;
  readonly pool: SharedPool;
  /** Whether it has had a command. */
  isUsed = false;
  private readonly context: FileContext;
  private readonly opener: Opener;

  /** Takes over one reference to the pool, and the viewpoint of the opener. */
  constructor(context: FileContext, pool: SharedPool, opener: Opener) {
    this.context = context;
    this.pool = pool;
    this.opener = opener;
    this.peer = context.bus.addPeer(opener.credentials.uid, pool.pool, () => this.onPollChange?.());
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
    return this.opener.credentials.uid !== this.pool.owner;
  }

  status(): PeerStatus {
    return peerStatus(this.peer, this.opener);
  }

  poll(): number {
    if (!this.peer.isConnected) return Poll.HUP;
    const writable = Poll.OUT | Poll.WRNORM;
    return this.peer.inbox.isReadable ? writable | Poll.IN | Poll.RDNORM : writable;
  }

  release(): void {
    this.context.bus.removePeer(this.peer);
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
    this.isUsed = true;
    if (this.isBarred) return Errno.EBUSY;
    if (!this.peer.isConnected) return Errno.ESHUTDOWN;
    const handler = this.context.commands.get(command);
    return handler === undefined ? Errno.ENOTTY : handler(this, argument, caller);
  }
}
