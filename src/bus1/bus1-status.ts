import type { Budget } from '../base/budget.js';
import type { Budgets, Limits, User, UserLimits } from '../bus/quota.js';
import type { Limits as Limits2026 } from './2026/model/account.js';
import { Node } from './2026/model/node-2026.js';
import type { Peer as Peer2026 } from './2026/model/peer-2026.js';
import type { Opener } from './bus1-file.js';
import type { Peer } from './model/peer.js';

/** One peer as `bus1fs status` shows it. */
export interface PeerStatus {
  readonly id: number;
  /** The process and command that opened it, which may be gone by now. */
  readonly pid: number;
  readonly command: string;
  readonly uid: number;
  /** The ABI of its commands; undefined before the first one. */
  readonly abi: '2016' | '2026' | undefined;
  readonly connected: boolean;
  /** Nodes it owns, destroyed ones it still holds a handle to included. */
  readonly nodes: number;
  readonly handles: number;
  readonly queued: number;
  readonly poolBytes: number;
  /** What it uses of its quota. */
  readonly used: Limits;
  /** The same on the bus of 2026, if it is there. */
  readonly used2026: Limits2026 | undefined;
}

/** How much of something is in use, and how much may be. */
export interface Use {
  readonly used: number;
  readonly max: number;
}

/** What all peers of a user use. */
export interface UserStatus extends Readonly<Record<keyof UserLimits, Use>> {
  readonly uid: number;
  /** Descriptors that its programs sent and the daemon holds. */
  readonly descriptors: number;
}

/** Calls since the start. */
export interface Counters {
  opened: number;
  ioctls: number;
  failed: number;
}

/** The state of a bus. */
export interface BusStatus {
  readonly counters: Readonly<Counters>;
  /** Of all users together. */
  readonly totals: Readonly<Record<keyof Budgets | 'descriptors', Use>>;
  readonly users: readonly UserStatus[];
  readonly peers: readonly PeerStatus[];
}

export function peerStatus(peer: Peer, { identity, command }: Opener, abi: PeerStatus['abi']): PeerStatus {
  const handles = [...peer.visibleHandles()];
  return {
    id: peer.serial,
    pid: identity.credentials.pid,
    command,
    uid: peer.user.uid,
    abi,
    connected: peer.isConnected,
    nodes: handles.filter((handle) => handle.isOwner).length,
    handles: handles.length,
    queued: peer.inbox.length,
    poolBytes: peer.slices.bytes,
    used: peer.quotas.used(),
    used2026: undefined,
  };
}

/** Of a file whose peer on the bus of 2016 does nothing. */
export function peerStatus2026(idle: Peer, peer: Peer2026, opener: Opener): PeerStatus {
  const entries = [...peer.entries()];
  const nodes = entries.filter((entry) => entry instanceof Node).length;
  return {
    ...peerStatus(idle, opener, '2026'),
    nodes,
    handles: entries.length - nodes,
    queued: peer.queued,
    used2026: peer.quotas.used(),
  };
}

const useOf = ({ used, max }: Use): Use => ({ used, max });

export function userStatus({ uid, quotas, peers, heldBytes }: User, descriptors: number): UserStatus {
  return {
    uid,
    peers: useOf(peers),
    slices: useOf(quotas.slices),
    handles: useOf(quotas.handles),
    inflightBytes: useOf(quotas.inflightBytes),
    inflightFds: useOf(quotas.inflightFds),
    heldBytes: useOf(heldBytes),
    descriptors,
  };
}

export function totals(budgets: Budgets, descriptors: Budget): BusStatus['totals'] {
  return {
    peers: useOf(budgets.peers),
    slices: useOf(budgets.slices),
    handles: useOf(budgets.handles),
    heldBytes: useOf(budgets.heldBytes),
    warmBytes: useOf(budgets.warmBytes),
    descriptors: useOf(descriptors),
  };
}
