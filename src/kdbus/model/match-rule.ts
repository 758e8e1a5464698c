import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import { ItemType, NotifyIdChange, NotifyNameChange } from '../kdbus-abi.js';
import { type BloomFilter, type BloomMask, bloomMask, passesMask } from './bloom.js';
import { type CommandItem, textOf } from './command-item.js';
import type { Claim } from './name-claim.js';
import type { BroadcastNotification } from './notification.js';
import { isWellKnownName } from './well-known-name.js';

/** The id of a connection; undefined for any. */
type IdOrAny = number | undefined;

/** What a message of a connection must be. */
type MessageRule =
  | { readonly type: typeof ItemType.BLOOM_MASK; readonly mask: BloomMask }
  | { readonly type: typeof ItemType.NAME; readonly name: string }
  | { readonly type: typeof ItemType.ID | typeof ItemType.DST_ID; readonly id: IdOrAny };

/** What a notification must be. */
type NotificationRule =
  | { readonly type: typeof ItemType.ID_ADD | typeof ItemType.ID_REMOVE; readonly id: IdOrAny }
  | {
      readonly type: typeof ItemType.NAME_ADD | typeof ItemType.NAME_REMOVE | typeof ItemType.NAME_CHANGE;
      readonly before: IdOrAny;
      readonly after: IdOrAny;
      /** Undefined for any. */
      readonly name: string | undefined;
    };

/** One condition; a rule for messages is true of no notification, and the other way round. */
export type MatchRule = MessageRule | NotificationRule;

/** A signal, as far as rules look at it. */
export interface Signal {
  readonly sender: { readonly id: number; readonly claims: ReadonlyMap<string, Claim<unknown>> };
  /** As its sender wrote it: 0 where it is addressed by name only, undefined for a broadcast. */
  readonly destination: number | undefined;
  readonly filter: BloomFilter;
}

/** Reads the items of MATCH_ADD in their order: EDOM for a mask of a wrong size, EINVAL for an impossible name. */
export function matchRules(items: Iterable<CommandItem>, bloomSize: number): readonly MatchRule[] | Errno {
  const rules: MatchRule[] = [];
  for (const item of items) {
    if (item.type === ItemType.NEGOTIATE) continue;
    const rule = ruleOf(item, bloomSize);
    if (typeof rule === 'number') return rule;
    rules.push(rule);
  }
  return rules;
}

function ruleOf(item: CommandItem, bloomSize: number): MatchRule | Errno {
  const { payload } = item;
  const type = item.type as MatchRule['type'];
  switch (type) {
    case ItemType.BLOOM_MASK: {
      const mask = bloomMask(payload, bloomSize);
      return mask === undefined ? Errno.EDOM : { type, mask };
    }
    case ItemType.NAME: {
      const name = textOf(item);
      return isWellKnownName(name) ? { type, name } : Errno.EINVAL;
    }
    case ItemType.ID:
    case ItemType.DST_ID:
      return { type, id: idAt(payload, 0) };
    case ItemType.ID_ADD:
    case ItemType.ID_REMOVE:
      return { type, id: idAt(payload, NotifyIdChange.id) };
    default:
      return {
        type,
        before: idAt(payload, NotifyNameChange.old_id),
        after: idAt(payload, NotifyNameChange.new_id),
        name:
          payload.size > NotifyNameChange.sizeof ? payload.text(NotifyNameChange.sizeof, payload.size - 1) : undefined,
      };
  }
}

const idAt = (payload: Bytes, offset: number): IdOrAny =>
  payload.isAllOnes64(offset) ? undefined : payload.u64(offset);

export function matchesSignal(rule: MatchRule, { sender, destination, filter }: Signal): boolean {
  switch (rule.type) {
    case ItemType.BLOOM_MASK:
      return passesMask(filter, rule.mask);
    case ItemType.NAME:
      return sender.claims.get(rule.name)?.isQueued === false;
    case ItemType.ID:
      return isId(rule.id, sender.id);
    case ItemType.DST_ID:
      return rule.id === undefined || rule.id === destination;
    default:
      return false;
  }
}

export function matchesNotification(rule: MatchRule, notification: BroadcastNotification): boolean {
  switch (rule.type) {
    case ItemType.ID_ADD:
    case ItemType.ID_REMOVE:
      return rule.type === notification.type && isId(rule.id, notification.id);
    case ItemType.NAME_ADD:
    case ItemType.NAME_REMOVE:
    case ItemType.NAME_CHANGE:
      return (
        rule.type === notification.type &&
        isId(rule.before, notification.before.id) &&
        isId(rule.after, notification.after.id) &&
        (rule.name === undefined || rule.name === notification.name)
      );
    default:
      return false;
  }
}

const isId = (wanted: IdOrAny, id: number): boolean => wanted === undefined || wanted === id;
