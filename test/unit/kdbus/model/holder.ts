import { ListFlag } from '../../../../src/kdbus/kdbus-abi.js';
import type { Claim } from '../../../../src/kdbus/model/name-claim.js';
import { listNames } from '../../../../src/kdbus/model/name-list.js';

/** A connection as far as names are concerned. */
export class Holder {
  readonly claims = new Map<string, Claim<Holder>>();
  readonly id: number;
  readonly isMonitor: boolean;

  constructor(id: number, isMonitor = false) {
    this.id = id;
    this.isMonitor = isMonitor;
  }
}

const ALL = ListFlag.UNIQUE | ListFlag.NAMES | ListFlag.ACTIVATORS | ListFlag.QUEUED;

/** What LIST shows, as id:name:flags. */
export const listed = (holders: Iterable<Holder>, flags: number = ALL, sees = (_: string) => true): string[] =>
  Array.from(listNames(holders, flags, sees), ({ holder, claim }) =>
    claim === undefined ? `${holder.id}` : `${holder.id}:${claim.name.text}:0x${claim.flags.toString(16)}`,
  );
