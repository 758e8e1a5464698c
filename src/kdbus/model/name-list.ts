import { ListFlag } from '../kdbus-abi.js';
import type { Claim, NameHolder } from './name-claim.js';

interface Listed<Self> extends NameHolder<Self> {
  readonly isMonitor: boolean;
}

/** One record of LIST: a connection with one of its claims, or without any. */
export interface NameRecord<Holder> {
  readonly holder: Holder;
  readonly claim: Claim<Holder> | undefined;
}

const NAME_FLAGS = ListFlag.NAMES | ListFlag.ACTIVATORS | ListFlag.QUEUED;

/**
 * What LIST with these ListFlag bits tells of all connections of a bus, to somebody who may see a name or not. All records of one
 * connection are together, in the order of its claims. A connection none of whose claims is asked for has a record of its own,
 * but not one all of whose claims are hidden from whoever asks.
 */
export function* listNames<Holder extends Listed<Holder>>(
  holders: Iterable<Holder>,
  flags: number,
  sees: (name: string) => boolean,
): Generator<NameRecord<Holder>> {
  for (const holder of holders) {
    if (holder.isMonitor) continue;
    let isChosen = false;
    if ((flags & NAME_FLAGS) !== 0) {
      for (const claim of holder.claims.values()) {
        if ((flags & classOf(claim)) === 0) continue;
        isChosen = true;
        if (sees(claim.name.text)) yield { holder, claim };
      }
    }
    if (!isChosen && (flags & ListFlag.UNIQUE) !== 0) yield { holder, claim: undefined };
  }
}

/** The flag that asks for claims like this one. */
function classOf(claim: Claim<unknown>): number {
  if (claim.isActivator) return ListFlag.ACTIVATORS;
  return claim.isQueued ? ListFlag.QUEUED : ListFlag.NAMES;
}
