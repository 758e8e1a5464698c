import type { Limits } from '../bus/quota.js';
import type { Opener } from './bus1-file.js';
import type { Peer } from './model/peer.js';

/** One peer as `bus1fs status` shows it. */
export interface PeerStatus {
  readonly id: number;
  /** The process and command that opened it, which may be gone by now. */
  readonly pid: number;
  readonly command: string;
  readonly uid: number;
  readonly connected: boolean;
  /** Nodes it owns, destroyed ones it still holds a handle to included. */
  readonly nodes: number;
  readonly handles: number;
  readonly queued: number;
  readonly poolBytes: number;
  /** What it uses of its quota. */
  readonly used: Limits;
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
  readonly peers: readonly PeerStatus[];
}

export function peerStatus(peer: Peer, { credentials, command }: Opener): PeerStatus {
  const handles = [...peer.visibleHandles()];
  return {
    id: peer.serial,
    pid: credentials.pid,
    command,
    uid: peer.user.uid,
    connected: peer.isConnected,
    nodes: handles.filter((handle) => handle.isOwner).length,
    handles: handles.length,
    queued: peer.inbox.length,
    poolBytes: peer.slices.bytes,
    used: peer.quotas.used(),
  };
}
