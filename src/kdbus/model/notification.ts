import { ItemType } from '../kdbus-abi.js';
import type { NameChange, NameHolder } from './name-claim.js';

/** A connection and flags: of its HELLO, or of its claim to a name. */
export interface IdAndFlags {
  readonly id: number;
  readonly flags: number;
}

/** A connection came or went. Broadcast. */
export interface IdNotification extends IdAndFlags {
  readonly type: typeof ItemType.ID_ADD | typeof ItemType.ID_REMOVE;
}

/** A name came, went or changed its owner. Broadcast, to those who see the name. */
export interface NameNotification {
  readonly type: typeof ItemType.NAME_ADD | typeof ItemType.NAME_REMOVE | typeof ItemType.NAME_CHANGE;
  readonly name: string;
  /** Zeros where there is nobody. */
  readonly before: IdAndFlags;
  readonly after: IdAndFlags;
}

/** A request will not be answered. For whoever waits for the answer alone, whatever its matches and policy are. */
export interface ReplyNotification {
  readonly type: typeof ItemType.REPLY_TIMEOUT | typeof ItemType.REPLY_DEAD;
  readonly destination: number;
  /** The request's. */
  readonly cookie: number | bigint;
}

export type BroadcastNotification = IdNotification | NameNotification;

/** What the bus tells its connections; it carries a timestamp and nothing else. */
export type Notification = BroadcastNotification | ReplyNotification;

const NOBODY: IdAndFlags = { id: 0, flags: 0 };

/** What is told of a change. */
export function nameNotification<Holder extends NameHolder<Holder>>(change: NameChange<Holder>): NameNotification {
  const { name, before, after } = change;
  return {
    type: typeOf(change),
    name: name.text,
    before: before === undefined ? NOBODY : { id: before.holder.id, flags: before.flags },
    after: after === undefined ? NOBODY : { id: after.holder.id, flags: after.flags },
  };
}

function typeOf({ before, after }: NameChange<unknown>): NameNotification['type'] {
  if (before === undefined) return ItemType.NAME_ADD;
  return after === undefined ? ItemType.NAME_REMOVE : ItemType.NAME_CHANGE;
}
