import type { Pool, PoolMemory } from '../../bus/pool.js';
import { Slices } from '../../bus/slices.js';
import { HelloFlag } from '../kdbus-abi.js';
import type { ConnectionFacts } from './facts.js';
import type { KdbusBus } from './kdbus-bus.js';
import type { KdbusEndpoint } from './kdbus-endpoint.js';
import type { KdbusUser } from './kdbus-user.js';
import { MatchSet } from './match-set.js';
import { type Delivered, MessageQueue } from './message-queue.js';
import type { Claim, NameHolder } from './name-claim.js';
import type { Opener } from './opener.js';
import type { Party } from './policy.js';
import type { PolicyDatabase } from './policy-database.js';
import { ReceiverQuota } from './receiver-quota.js';
import type { Tracker } from './tracker.js';

export type ConnectionKind = 'ordinary' | 'activator' | 'policyHolder' | 'monitor';

export function kindOf(flags: number): ConnectionKind {
  if ((flags & HelloFlag.ACTIVATOR) !== 0) return 'activator';
  if ((flags & HelloFlag.POLICY_HOLDER) !== 0) return 'policyHolder';
  return (flags & HelloFlag.MONITOR) !== 0 ? 'monitor' : 'ordinary';
}

/** The memory of a pool, between which and another messages move. */
export interface ConnectionMemory extends PoolMemory {
  /** Copies bytes of another pool to `offset`. False when the system has no memory. */
  copy(offset: number, source: PoolMemory, sourceOffset: number, length: number): boolean;
}

/** What HELLO says of a connection. */
export interface ConnectionProfile {
  readonly flags: number;
  readonly attachSend: number;
  readonly attachRecv: number;
  readonly description: string | undefined;
  readonly user: KdbusUser;
  readonly isPrivileged: boolean;
  readonly isOwner: boolean;
  readonly facts: ConnectionFacts;
}

/** What HELLO makes of an open endpoint file. */
export class KdbusConnection implements NameHolder<KdbusConnection>, Party {
  readonly id: number;
  readonly bus: KdbusBus;
  readonly endpoint: KdbusEndpoint;
  readonly opener: Opener;
  readonly profile: ConnectionProfile;
  readonly kind: ConnectionKind;
  readonly claims = new Map<string, Claim<KdbusConnection>>();
  readonly pool: Pool<ConnectionMemory>;
  readonly slices: Slices;
  readonly quota: ReceiverQuota;
  readonly queue = new MessageQueue();
  readonly matches: MatchSet<KdbusConnection>;
  /** Replies it waits for, and those it is to give; the newest last. */
  readonly awaited = new Set<Tracker>();
  readonly owed = new Set<Tracker>();
  /** Sync calls that may be made again. */
  readonly interrupted = new Set<Tracker>();
  /** How many of its requests are not answered, or are still queued. */
  pendingRequests = 0;
  /** How many messages were lost and not yet told of. */
  dropped = 0;
  attachSend: number;
  attachRecv: number;
  isAlive = true;
  private readonly onReady: () => void;

  /** `onReady` is called when poll() would answer something new. */
  constructor(
    id: number,
    endpoint: KdbusEndpoint,
    opener: Opener,
    profile: ConnectionProfile,
    pool: Pool<ConnectionMemory>,
    onReady: () => void,
  ) {
    this.id = id;
    this.endpoint = endpoint;
    this.bus = endpoint.bus;
    this.opener = opener;
    this.profile = profile;
    this.kind = kindOf(profile.flags);
    this.pool = pool;
    this.slices = new Slices(pool);
    this.quota = new ReceiverQuota(pool.size);
    this.matches = new MatchSet<KdbusConnection>(this, this.bus.matches, profile.user.matchQuota);
    this.attachSend = profile.attachSend;
    this.attachRecv = profile.attachRecv;
    this.onReady = onReady;
  }

  get isOwner(): boolean {
    return this.profile.isOwner;
  }

  get isMonitor(): boolean {
    return this.kind === 'monitor';
  }

  get endpointPolicy(): PolicyDatabase | undefined {
    return this.endpoint.policy;
  }

  get acceptsFds(): boolean {
    return (this.profile.flags & HelloFlag.ACCEPT_FD) !== 0;
  }

  get poolSize(): number {
    return this.pool.size;
  }

  get isReadable(): boolean {
    return this.queue.length > 0 || this.dropped > 0;
  }

  /** A message that is in the pool, and charged, can be received. */
  enqueue(message: Delivered): void {
    this.queue.push(message);
    this.onReady();
  }

  /** A message was lost. */
  countDrop(): void {
    this.dropped = (this.dropped + 1) >>> 0;
    this.onReady();
  }

  /** Takes a message out of the queue; its slice still has to be exposed or let go. */
  unqueue(message: Delivered): void {
    this.queue.remove(message);
    this.quota.release(message.user, message.slice.size, message.nFds);
    message.tracker?.dequeued();
  }

  /** Lets go what a message holds that nobody will receive. */
  drop(message: Delivered): void {
    this.unqueue(message);
    this.slices.dequeue(message.slice);
    message.files?.release();
  }

  /** Nothing will ever happen to it again. */
  die(): void {
    this.isAlive = false;
    this.onReady();
  }
}
