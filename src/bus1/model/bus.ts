import type { Pool } from '../../bus/pool.js';
import { type Limits, type Refusal, type Share, User } from '../../bus/quota.js';
import { Peer } from './peer.js';

/** Another user may have at most half of what is left. */
const HALF: Share = (left) => left / 2;

/**
 * One bus: all peers that can reach each other, and the order of everything that happens between them.
 *
 * Every change is one transaction with one sequence number, made in one go: since calls are handled one after the
 * other, a multicast or a destruction takes the same instant on every peer.
 */
export class Bus {
  /** Called for every call that fails because of a quota. */
  onRefusal: ((refusal: Refusal<Peer>) => void) | undefined;
  private readonly users = new Map<number, User>();
  private readonly limits: Limits;
  private lastSequence = 0;
  private lastPeer = 0;
  private lastStamp = 0;

  /** `limits` are those of every user. */
  constructor(limits: Limits) {
    this.limits = limits;
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
   * receive or is disconnected.
   */
  addPeer(uid: number, pool: Pool, wake: () => void): Peer {
    let user = this.users.get(uid);
    if (user === undefined) {
      user = new User(uid, this.limits, HALF);
      this.users.set(uid, user);
    }
    user.peers++;
    return new Peer(this, ++this.lastPeer, user, pool, wake);
  }

  /** Removes a peer for ever, disconnecting it first. */
  removePeer(peer: Peer): void {
    peer.disconnect();
    if (--peer.user.peers === 0) this.users.delete(peer.user.uid);
  }
}
