import type { Budgets, Share } from '../../../bus/quota.js';
import { Account, type Limits } from './account.js';
import { Peer, type PeerOpener } from './peer-2026.js';

/** Another user may have at most half of what is left. */
const HALF: Share = (left) => left / 2;

/**
 * The bus of the ABI of 2026: all peers that can reach each other. Since calls are handled one after the other, every change is
 * one transaction, which takes the same instant on every peer.
 */
export class Bus {
  private readonly accounts = new Map<number, Account>();
  private readonly limits: Limits;

  private readonly budgets: Budgets;

  /** `limits` are those of every user, `budgets` what all of them have together, here and on other buses. */
  constructor(limits: Limits, budgets: Budgets) {
    this.limits = limits;
    this.budgets = budgets;
  }

  /** Adds a peer; `wake` is called when it gets something to receive where there was nothing before. */
  addPeer(opener: PeerOpener, wake: () => void): Peer {
    const { uid } = opener.identity.credentials;
    let account = this.accounts.get(uid);
    if (account === undefined) {
      account = new Account(uid, this.limits, HALF, this.budgets);
      this.accounts.set(uid, account);
    }
    account.peers++;
    return new Peer(opener, account, wake);
  }

  /** Removes a peer for ever, with its nodes and handles. */
  removePeer(peer: Peer): void {
    peer.close();
    if (--peer.account.peers === 0) this.accounts.delete(peer.account.uid);
  }
}
