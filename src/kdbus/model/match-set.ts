import { Errno } from '../../base/errno.js';
import { IdTable } from '../../base/id-table.js';
import { ItemType } from '../kdbus-abi.js';
import { MatchEntry, type MatchIndex } from './match-index.js';
import type { MatchRule, Signal } from './match-rule.js';

/** How many entries a connection may have. */
const MAX_ENTRIES = 4096;

/** What takes so many bytes of memory, roughly, beside what is in it. */
const ENTRY_OVERHEAD = 512;
const RULE_OVERHEAD = 128;
const MASK_OVERHEAD = 256;

/** What a user's matches may take of the daemon's memory, and so of its time with every broadcast, in bytes. */
export interface MatchBudget {
  fits(amount: number): boolean;
  /** Takes what fits, or returns it if negative. */
  charge(amount: number): void;
}

/** The matches of one connection. Without any it gets no broadcast, no signal and no notification. */
export class MatchSet<Owner> {
  private byCookie = new IdTable<MatchEntry<Owner>[]>();
  private readonly owner: Owner;
  private readonly index: MatchIndex<Owner>;
  private readonly budget: MatchBudget;
  private count = 0;

  constructor(owner: Owner, index: MatchIndex<Owner>, budget: MatchBudget) {
    this.owner = owner;
    this.index = index;
    this.budget = budget;
  }

  /** How many entries there are. */
  get size(): number {
    return this.count;
  }

  /** MATCH_ADD: EMFILE where there are too many entries, ENOMEM where they take too much. `replaces` those with this cookie. */
  add(cookie: number | bigint, rules: readonly MatchRule[], replaces: boolean): Errno {
    const present = this.byCookie.get(cookie);
    const replaced = (replaces ? present : undefined) ?? [];
    if (this.count - replaced.length >= MAX_ENTRIES) return Errno.EMFILE;
    const entry = new MatchEntry(this.owner, rules);
    if (!this.budget.fits(bytesOf([entry]) - bytesOf(replaced))) return Errno.ENOMEM;
    this.drop(replaced);
    if (present === undefined || replaces) this.byCookie.set(cookie, [entry]);
    else present.push(entry);
    this.index.add(entry);
    this.count++;
    this.budget.charge(bytesOf([entry]));
    return Errno.OK;
  }

  /** MATCH_REMOVE: all entries with this cookie, or EBADSLT. */
  remove(cookie: number | bigint): Errno {
    const entries = this.byCookie.get(cookie);
    if (entries === undefined) return Errno.EBADSLT;
    this.byCookie.delete(cookie);
    this.drop(entries);
    return Errno.OK;
  }

  /** The connection ends. */
  clear(): void {
    for (const entries of this.byCookie.values()) this.drop(entries);
    this.byCookie = new IdTable();
  }

  private drop(entries: readonly MatchEntry<Owner>[]): void {
    for (const entry of entries) this.index.delete(entry);
    this.count -= entries.length;
    this.budget.charge(-bytesOf(entries));
  }

  /** Whether a signal to this connection alone passes. */
  accepts(signal: Signal): boolean {
    for (const entries of this.byCookie.values()) {
      if (entries.some((entry) => entry.acceptsSignal(signal))) return true;
    }
    return false;
  }
}

function bytesOf(entries: readonly MatchEntry<unknown>[]): number {
  let bytes = 0;
  for (const { rules } of entries) {
    bytes += ENTRY_OVERHEAD;
    for (const rule of rules) bytes += RULE_OVERHEAD + sizeOf(rule);
  }
  return bytes;
}

/** What is in a rule; a mask is there once more in the key it is found by. */
function sizeOf(rule: MatchRule): number {
  if (rule.type === ItemType.BLOOM_MASK) return MASK_OVERHEAD + 2 * rule.mask.words.byteLength;
  return 'name' in rule ? (rule.name?.length ?? 0) : 0;
}
