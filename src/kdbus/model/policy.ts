import { PolicyType } from '../kdbus-abi.js';
import type { Claim } from './name-claim.js';
import type { PolicyDatabase, Subject } from './policy-database.js';

/** What policy needs to know of a connection. */
export interface Party {
  /** Who opened its endpoint: of that one everything is decided but what a call is allowed for its caller. */
  readonly opener: Subject & { readonly uid: number };
  readonly isOwner: boolean;
  /** The policy of its custom endpoint; undefined on a bus's default one. */
  readonly endpointPolicy: PolicyDatabase | undefined;
  readonly claims: ReadonlyMap<string, Claim<unknown>>;
}

/** What whoever opened an endpoint may do there. */
export interface Roles {
  /** May do as the bus's owner on every bus, and be charged as somebody else. */
  readonly isPrivileged: boolean;
  /** May own any name and talk to everybody, make endpoints and special connections, and pretend to be somebody else. */
  readonly isOwner: boolean;
}

/**
 * The roles of an opener, who may have CAP_IPC_OWNER in the domain's user namespace, on a bus of user `busUid`. Nobody has any on
 * a custom endpoint.
 */
export function rolesOf(
  opener: { readonly euid: number; readonly hasIpcOwner: boolean },
  busUid: number,
  isCustomEndpoint: boolean,
): Roles {
  const isPrivileged = !isCustomEndpoint && opener.hasIpcOwner;
  return { isPrivileged, isOwner: isPrivileged || (!isCustomEndpoint && opener.euid === busUid) };
}

/** Whether a connection may acquire a name when `caller` asks for it. */
export function mayOwn(party: Party, caller: Subject, name: string, bus: PolicyDatabase): boolean {
  if (party.endpointPolicy?.grants(caller, name, PolicyType.OWN) === false) return false;
  return party.isOwner || bus.grants(caller, name, PolicyType.OWN);
}

/**
 * Whether a connection may talk to another one, whatever name or id it uses for it: `asker` is the caller of SEND, or, for a
 * signal, the opener of the receiver, which must be allowed to talk to the sender.
 */
export function mayTalk(party: Party, asker: Subject, to: Party, bus: PolicyDatabase): boolean {
  if (party.endpointPolicy !== undefined && !grantsAny(party.endpointPolicy, asker, to, PolicyType.TALK)) return false;
  return party.isOwner || asker.euid === to.opener.uid || grantsAny(bus, asker, to, PolicyType.TALK);
}

/** Whether a name is visible: in LIST and CONN_INFO to their caller, in notifications to the receiver's opener. */
export const seesName = (party: Party, asker: Subject, name: string): boolean =>
  party.endpointPolicy?.grants(asker, name, PolicyType.SEE) !== false;

/** Whether a connection is visible to the caller of CONN_INFO: by any of its names. */
export const seesParty = (party: Party, asker: Subject, other: Party): boolean =>
  party.endpointPolicy === undefined || grantsAny(party.endpointPolicy, asker, other, PolicyType.SEE);

/** Whether a policy grants access to any name that a connection owns; those it waits for do not count. */
function grantsAny(policy: PolicyDatabase, subject: Subject, { claims }: Party, level: number): boolean {
  for (const claim of claims.values()) {
    if (!claim.isQueued && policy.grants(subject, claim.name.text, level)) return true;
  }
  return false;
}
