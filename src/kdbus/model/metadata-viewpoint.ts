import { NO_ID } from './namespace-ids.js';
import type { Capabilities, Pid } from './process-facts.js';

/** A user namespace, and who made it, as the daemon's own user namespace has that. */
export interface UserNamespace {
  readonly id: string;
  readonly ownerUid: number;
}

/** Where a connection sees others from: the user namespace of its opener, and what whoever said HELLO was in. */
export interface MetadataViewpoint {
  readonly pidNamespace: string;
  /** Its user namespace first, then the one around it, and so on to the initial one. */
  readonly userNamespaces: readonly UserNamespace[];
  /** Identifies a root directory; undefined if that is not known. */
  readonly root: string | undefined;
  /** What an id of the daemon's own user namespace is in this one; undefined if it is not mapped. */
  uid(id: number): number | undefined;
  gid(id: number): number | undefined;
}

/** What an unmapped id is seen as. */
const OVERFLOW_ID = 65534;

export const seenUid = (viewpoint: MetadataViewpoint, uid: number | undefined): number =>
  uid === undefined ? NO_ID : (viewpoint.uid(uid) ?? OVERFLOW_ID);

export const seenGid = (viewpoint: MetadataViewpoint, gid: number | undefined): number =>
  gid === undefined ? NO_ID : (viewpoint.gid(gid) ?? OVERFLOW_ID);

/** A login uid is nobody's where it is not mapped. */
export const seenLoginUid = (viewpoint: MetadataViewpoint, uid: number | undefined): number =>
  uid === undefined ? NO_ID : (viewpoint.uid(uid) ?? NO_ID);

/** 0 for whoever is not in the viewpoint's pid namespace. */
export function seenPid({ pidNamespace }: MetadataViewpoint, pid: Pid | undefined): number {
  const level = pid === undefined ? -1 : pid.namespaces.indexOf(pidNamespace);
  return pid?.numbers[level] ?? 0;
}

export type CapabilitySets = Pick<Capabilities, 'inheritable' | 'permitted' | 'effective' | 'bounding'>;

const ALL = ~0n;
const NONE: CapabilitySets = { inheritable: 0n, permitted: 0n, effective: 0n, bounding: 0n };
const OWNERS: CapabilitySets = { inheritable: 0n, permitted: ALL, effective: ALL, bounding: ALL };

/**
 * What capabilities are worth in the viewpoint's user namespace: what they are, if that is the process's own or is within it; but all
 * that there are to whoever made the one on the way there that is right within the process's own; and elsewhere nothing.
 */
export function seenCapabilities({ userNamespaces }: MetadataViewpoint, capabilities: Capabilities): CapabilitySets {
  const depth = userNamespaces.findIndex(({ id }) => id === capabilities.userNamespace);
  if (depth < 0) return NONE;
  return userNamespaces[depth - 1]?.ownerUid === capabilities.euid ? OWNERS : capabilities;
}
