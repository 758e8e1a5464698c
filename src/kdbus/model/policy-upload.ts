import { Errno } from '../../base/errno.js';
import { ItemType, PolicyAccessType, PolicyType, PolicyAccess as UploadedAccess } from '../kdbus-abi.js';
import { type CommandItem, textOf } from './command-item.js';
import { type NamespaceIds, NO_ID } from './namespace-ids.js';
import type { Access, PolicyEntry } from './policy-database.js';
import { isNameOrWildcard } from './well-known-name.js';

/** What an owner of policy entries may upload. */
export interface UploadLimits {
  readonly maxNames: number;
  readonly allowsWildcards: boolean;
}

export const ACTIVATOR_LIMITS: UploadLimits = { maxNames: 1, allowsWildcards: false };
export const HOLDER_LIMITS: UploadLimits = { maxNames: 1, allowsWildcards: true };
export const ENDPOINT_LIMITS: UploadLimits = { maxNames: Number.POSITIVE_INFINITY, allowsWildcards: true };

const WILDCARD_END = '.*';

/**
 * Reads the NAME items of an upload and the POLICY_ACCESS items that follow each; others are of no concern. The first error in
 * their order: E2BIG for a name too many, EINVAL for everything else.
 */
export function policyEntries(
  items: Iterable<CommandItem>,
  limits: UploadLimits,
  ids: NamespaceIds,
): readonly PolicyEntry[] | Errno {
  const entries: (PolicyEntry & { readonly accesses: Access[] })[] = [];
  for (const item of items) {
    if (item.type === ItemType.NAME) {
      if (entries.length >= limits.maxNames) return Errno.E2BIG;
      const text = textOf(item);
      const isWildcard = text.endsWith(WILDCARD_END);
      if (!isNameOrWildcard(text) || (isWildcard && !limits.allowsWildcards)) return Errno.EINVAL;
      const name = isWildcard ? text.slice(0, -WILDCARD_END.length) : text;
      entries.push({ name, isWildcard, accesses: [] });
    } else if (item.type === ItemType.POLICY_ACCESS) {
      const access = accessOf(item, ids);
      const entry = entries.at(-1);
      if (entry === undefined || access === undefined) return Errno.EINVAL;
      entry.accesses.push(access);
    }
  }
  return entries;
}

function accessOf({ payload }: CommandItem, ids: NamespaceIds): Access | undefined {
  const type = payload.u64(UploadedAccess.type);
  const level = payload.u64(UploadedAccess.access);
  if (level > PolicyType.OWN) return undefined;
  if (type === PolicyAccessType.WORLD) return { type, level, id: 0 };
  const uploaded = payload.u64(UploadedAccess.id);
  if (uploaded >= NO_ID) return undefined;
  const id = translated(type, uploaded, ids);
  return id === undefined ? undefined : { type, level, id };
}

function translated(type: number, id: number, ids: NamespaceIds): number | undefined {
  if (type === PolicyAccessType.USER) return ids.uid(id);
  return type === PolicyAccessType.GROUP ? ids.gid(id) : undefined;
}
