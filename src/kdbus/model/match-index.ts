import { passesMask } from './bloom.js';
import {
  ANY_SIGNAL,
  EVERYTHING,
  fromId,
  fromName,
  ofFormer,
  ofId,
  ofName,
  ofPresent,
  ofType,
  type Place,
  placeOf,
} from './match-place.js';
import { type MatchRule, matchesNotification, matchesSignal, type Signal } from './match-rule.js';
import type { BroadcastNotification } from './notification.js';

/** What one MATCH_ADD added: it lets through what all its rules are true of. */
export class MatchEntry<Owner> {
  readonly owner: Owner;
  readonly rules: readonly MatchRule[];

  constructor(owner: Owner, rules: readonly MatchRule[]) {
    this.owner = owner;
    this.rules = rules;
  }

  acceptsSignal(signal: Signal): boolean {
    return this.rules.every((rule) => matchesSignal(rule, signal));
  }

  acceptsNotification(notification: BroadcastNotification): boolean {
    return this.rules.every((rule) => matchesNotification(rule, notification));
  }
}

interface Bucket<Owner> {
  readonly place: Place;
  readonly entries: Set<MatchEntry<Owner>>;
}

/**
 * The entries of all connections of a bus, kept so that a broadcast meets only those that it may well match. A mask that many of
 * them have is looked at once.
 */
export class MatchIndex<Owner> {
  private readonly buckets = new Map<string, Bucket<Owner>>();
  private readonly masked = new Set<Bucket<Owner>>();

  /** How many places there are to look at; none without entries. */
  get size(): number {
    return this.buckets.size + this.masked.size;
  }

  add(entry: MatchEntry<Owner>): void {
    const place = placeOf(entry.rules);
    if (place === undefined) return;
    let bucket = this.buckets.get(place.key);
    if (bucket === undefined) {
      bucket = { place, entries: new Set() };
      this.buckets.set(place.key, bucket);
      if (place.mask !== undefined) this.masked.add(bucket);
    }
    bucket.entries.add(entry);
  }

  delete(entry: MatchEntry<Owner>): void {
    const key = placeOf(entry.rules)?.key;
    const bucket = key === undefined ? undefined : this.buckets.get(key);
    if (key === undefined || bucket === undefined) return;
    bucket.entries.delete(entry);
    if (bucket.entries.size > 0) return;
    this.buckets.delete(key);
    this.masked.delete(bucket);
  }

  /** Whose entries a broadcast passes, each once. */
  receiversOfSignal(signal: Signal): Set<Owner> {
    const receivers = new Set<Owner>();
    const { sender, filter } = signal;
    const accepts = (entry: MatchEntry<Owner>): boolean => entry.acceptsSignal(signal);
    for (const key of [EVERYTHING, ANY_SIGNAL, fromId(sender.id)]) collect(this.buckets.get(key), accepts, receivers);
    for (const { isQueued, name } of sender.claims.values()) {
      if (!isQueued) collect(this.buckets.get(fromName(name.text)), accepts, receivers);
    }
    for (const bucket of this.masked) {
      const { mask } = bucket.place;
      if (mask !== undefined && passesMask(filter, mask)) collect(bucket, accepts, receivers);
    }
    return receivers;
  }

  /** Whose entries a notification passes, each once. */
  receiversOfNotification(notification: BroadcastNotification): Set<Owner> {
    const receivers = new Set<Owner>();
    const accepts = (entry: MatchEntry<Owner>): boolean => entry.acceptsNotification(notification);
    for (const key of keysOf(notification)) collect(this.buckets.get(key), accepts, receivers);
    return receivers;
  }
}

function keysOf(notification: BroadcastNotification): string[] {
  const { type } = notification;
  if ('id' in notification) return [EVERYTHING, ofType(type), ofId(type, notification.id)];
  const { name, before, after } = notification;
  return [EVERYTHING, ofType(type), ofName(type, name), ofFormer(type, before.id), ofPresent(type, after.id)];
}

function collect<Owner>(
  bucket: Bucket<Owner> | undefined,
  accepts: (entry: MatchEntry<Owner>) => boolean,
  receivers: Set<Owner>,
): void {
  if (bucket === undefined) return;
  for (const entry of bucket.entries) {
    if (!receivers.has(entry.owner) && accepts(entry)) receivers.add(entry.owner);
  }
}
