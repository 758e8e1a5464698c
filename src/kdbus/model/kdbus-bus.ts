import { Errno } from '../../base/errno.js';
import { IdTable } from '../../base/id-table.js';
import type { Clock } from '../../device.js';
import type { KdbusConnection } from './kdbus-connection.js';
import type { KdbusDomain } from './kdbus-domain.js';
import { KdbusEndpoint, type NodeOwner } from './kdbus-endpoint.js';
import type { KdbusUser } from './kdbus-user.js';
import { MatchIndex } from './match-index.js';
import type { Timestamp } from './metadata-codec.js';
import { NameRegistry } from './name-registry.js';
import type { Notification } from './notification.js';
import { notificationBytes, queueNotification } from './notification-message.js';
import { seesName } from './policy.js';
import { PolicyDatabase } from './policy-database.js';
import type { ProcessFacts } from './process-facts.js';

const DEFAULT_ENDPOINT = 'bus';

/** What BUS_MAKE says of a bus. */
export interface BusProfile {
  readonly name: string;
  readonly flags: number;
  readonly owner: NodeOwner;
  readonly bloomSize: number;
  readonly bloomHashes: bigint;
  /** Who made it, what may be told of that, and who is charged. */
  readonly creator: ProcessFacts;
  readonly creatorFlags: number;
  readonly user: KdbusUser;
}

interface PendingNotification {
  readonly notification: Notification;
  readonly timestamp: Timestamp;
}

/** A bus: connections, names, policy, matches, and what they are told. */
export class KdbusBus {
  readonly domain: KdbusDomain;
  readonly id: number;
  readonly uuid: Uint8Array = crypto.getRandomValues(new Uint8Array(16));
  readonly profile: BusProfile;
  readonly policy = new PolicyDatabase();
  readonly names = new NameRegistry<KdbusConnection>();
  readonly matches = new MatchIndex<KdbusConnection>();
  readonly connections = new IdTable<KdbusConnection>();
  readonly monitors = new Set<KdbusConnection>();
  readonly endpoints = new Map<string, KdbusEndpoint>();
  isAlive = true;
  private sequence = 0;
  private readonly pending: PendingNotification[] = [];

  constructor(domain: KdbusDomain, id: number, profile: BusProfile) {
    this.domain = domain;
    this.id = id;
    this.profile = profile;
    this.endpoints.set(DEFAULT_ENDPOINT, new KdbusEndpoint(this, DEFAULT_ENDPOINT, profile.owner, false));
  }

  get clock(): Clock {
    return this.domain.clock;
  }

  /** The number and time of one more message. */
  nextTimestamp(): Timestamp {
    return { sequence: ++this.sequence, ...this.domain.time() };
  }

  nextSequence(): number {
    return ++this.sequence;
  }

  /** Has everybody who is concerned told of something, by flush(). */
  notify(notification: Notification): void {
    this.pending.push({ notification, timestamp: this.nextTimestamp() });
  }

  /** Tells it. */
  flush(): void {
    for (let next = this.pending.shift(); next !== undefined; next = this.pending.shift()) {
      const bytes = notificationBytes(next.notification, next.timestamp);
      for (const monitor of this.monitors) if (queueNotification(monitor, bytes) !== Errno.OK) monitor.countDrop();
      this.tell(next.notification, bytes);
    }
  }

  private tell(notification: Notification, bytes: Uint8Array): void {
    if ('destination' in notification) {
      const receiver = this.connections.get(notification.destination);
      if (receiver !== undefined) queueNotification(receiver, bytes);
      return;
    }
    for (const receiver of this.matches.receiversOfNotification(notification)) {
      if (!receiver.isAlive) continue;
      if ('name' in notification && !seesName(receiver, receiver.opener, notification.name)) continue;
      if (queueNotification(receiver, bytes) !== Errno.OK) receiver.countDrop();
    }
  }

  /** Ends it with all its endpoints. */
  shutDown(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.domain.buses.delete(this.profile.name);
    for (const endpoint of [...this.endpoints.values()]) endpoint.shutDown();
    this.profile.user.buses--;
    this.domain.users.forget(this.profile.user);
  }
}
