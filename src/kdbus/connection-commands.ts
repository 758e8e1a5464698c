import { Errno } from '../base/errno.js';
import type { Caller } from '../device.js';
import { itemOf, textItemOf } from './command-parser.js';
import { Cmd, CmdMatch, ItemType, MatchFlag } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import { attachFlagsAt } from './model/attach-flags.js';
import { disconnect } from './model/disconnect.js';
import type { KdbusConnection } from './model/kdbus-connection.js';
import { matchRules } from './model/match-rule.js';
import type { NameChange } from './model/name-claim.js';
import { applyNameChange } from './model/name-handover.js';
import type { NamespaceIds } from './model/namespace-ids.js';
import { mayOwn } from './model/policy.js';
import type { Subject } from './model/policy-database.js';
import { HOLDER_LIMITS, policyEntries } from './model/policy-upload.js';

/** BYEBYE. */
export function sayByebye(connection: KdbusConnection): Errno {
  if (connection.queue.length > 0) return Errno.EBUSY;
  disconnect(connection);
  return Errno.OK;
}

/** UPDATE. */
export function update(connection: KdbusConnection, { caller, command }: KdbusCall): Errno {
  const { kind } = connection;
  const { items } = command;
  const sendMask = itemOf(items, ItemType.ATTACH_FLAGS_SEND);
  const recvMask = itemOf(items, ItemType.ATTACH_FLAGS_RECV);
  let { attachSend, attachRecv } = connection;
  if (sendMask !== undefined) {
    if (kind !== 'ordinary' && kind !== 'monitor') return Errno.EOPNOTSUPP;
    const flags = attachFlagsAt(sendMask, 0);
    if (flags === undefined) return Errno.EINVAL;
    attachSend = flags;
  }
  if (recvMask !== undefined) {
    if (kind === 'policyHolder') return Errno.EOPNOTSUPP;
    const flags = attachFlagsAt(recvMask, 0);
    if (flags === undefined) return Errno.EINVAL;
    attachRecv = flags;
  }
  if (items.some(({ type }) => type === ItemType.NAME || type === ItemType.POLICY_ACCESS)) {
    if (kind !== 'policyHolder') return Errno.EOPNOTSUPP;
    const ids = idsOf(caller);
    if (typeof ids === 'number') return ids;
    const entries = policyEntries(items, HOLDER_LIMITS, ids);
    const error = typeof entries === 'number' ? entries : connection.bus.policy.replace(connection, entries);
    if (error !== Errno.OK) return error;
  }
  connection.attachSend = attachSend;
  connection.attachRecv = attachRecv;
  return Errno.OK;
}

/** How a caller's user namespace has ids. */
export function idsOf(caller: Caller): NamespaceIds | Errno {
  const viewpoint = caller.viewpoint();
  if (typeof viewpoint === 'number') return viewpoint;
  // nothing is asked of it once the call is answered
  viewpoint.release();
  return { uid: (id) => viewpoint.uidOutside(id), gid: (id) => viewpoint.gidOutside(id) };
}

/** Who makes a call, as policy sees it. */
export function subjectOf(caller: Caller): Subject | Errno {
  const standing = caller.standing();
  if (typeof standing === 'number') return standing;
  return { euid: standing.uids[1] as number, egid: standing.gids[1] as number, groups: standing.groups };
}

/** NAME_ACQUIRE. */
export function acquireName(connection: KdbusConnection, call: KdbusCall): Errno {
  const { bus } = connection;
  const { bytes, items } = call.command;
  const name = textItemOf(items, ItemType.NAME) ?? '';
  const subject = subjectOf(call.caller);
  if (typeof subject === 'number') return subject;
  const isAllowed = mayOwn(connection, subject, name, bus.policy);
  const { error, flags, change } = bus.names.acquire(connection, name, bytes.u32(Cmd.flags), isAllowed);
  call.returnFlags = flags;
  tell(connection, change);
  return error;
}

/** NAME_RELEASE. */
export function releaseName(connection: KdbusConnection, { command }: KdbusCall): Errno {
  const change = connection.bus.names.release(connection, textItemOf(command.items, ItemType.NAME) ?? '');
  if (typeof change === 'number') return change;
  tell(connection, change);
  return Errno.OK;
}

function tell({ bus }: KdbusConnection, change: NameChange<KdbusConnection> | undefined): void {
  if (change === undefined) return;
  applyNameChange(bus, change);
  bus.flush();
}

/** MATCH_ADD. */
export function addMatch({ bus, matches }: KdbusConnection, { command }: KdbusCall): Errno {
  const { bytes, items } = command;
  const rules = matchRules(items, bus.profile.bloomSize);
  if (typeof rules === 'number') return rules;
  return matches.add(bytes.bigU64(CmdMatch.cookie), rules, (bytes.u32(Cmd.flags) & MatchFlag.REPLACE) !== 0);
}

/** MATCH_REMOVE. */
export const removeMatch = ({ matches }: KdbusConnection, { command }: KdbusCall): Errno =>
  matches.remove(command.bytes.bigU64(CmdMatch.cookie));
