import type { Pool } from '../../bus/pool.js';
import { type Budgets, type Refusal, type Share, User, type UserLimits } from '../../bus/quota.js';
import { Peer } from './peer.js';

/** Another user may have at most half of what is left. */
const HALF: Share = (left) => left / 2;

/** A SEND that failed, or another call, because of a quota of `holder`. */
export interface BusRefusal extends Refusal<Peer> {
  /** Whose call it was. */
  readonly asker: Peer;
}

/**
 * One bus: all peers that can reach each other, and the order of everything that happens between them.
 *
 * Every change is one transaction with one sequence number, made in one go: since calls are handled one after the
 * other, a multicast or a destruction takes the same instant on every peer.
 */
export class Bus {
  /** Called for every call that fails because of a quota. */
  onRefusal: ((refusal: BusRefusal) => void) | undefined;
  private readonly byUid = new Map<number, User>();
  private readonly limits: UserLimits;
  private readonly budgets: Budgets;
  private lastSequence = 0;
  private lastPeer = 0;
  private lastStamp = 0;

  /** `limits` are those of every user, `budgets` what all of them have together. */
  constructor(limits: UserLimits, budgets: Budgets) {
    this.limits = limits;
    this.budgets = budgets;
  }

  /** Those that have peers. */
  users(): Iterable<User> {
    return this.byUid.values();
  }

  /** A user, who is forgotten if it does not get a peer. */
  user(uid: number): User {
    return this.byUid.get(uid) ?? new User(uid, this.limits, HALF, this.budgets);
  }

  nextSequence(): number {
    return ++this.lastSequence;
  }

  /** A mark that no node bears yet. */
  nextStamp(): number {
    return ++this.lastStamp;
  }

  /**
   * Adds a peer whose quota belongs to `uid` and who receives into `pool`. `wake` is called when it gets something to
   * receive or is disconnected. The quota of peers was looked at before.
   */
  addPeer(uid: number, pool: Pool, wake: () => void): Peer {
    const user = this.user(uid);
    this.byUid.set(uid, user);
    user.peers.charge(1);
    pool.warmth ??= user.warmBytes;
    return new Peer(this, ++this.lastPeer, user, pool, wake);
  }

  /** Removes a peer for ever, disconnecting it first. */
  removePeer(peer: Peer): void {
    peer.disconnect();
    const { user } = peer;
    user.peers.charge(-1);
    if (user.peers.used === 0) this.byUid.delete(user.uid);
  }
}
