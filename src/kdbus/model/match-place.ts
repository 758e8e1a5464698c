import { ItemType } from '../kdbus-abi.js';
import type { BloomMask } from './bloom.js';
import type { MatchRule } from './match-rule.js';

/*
 * Where an index keeps what somebody wants to match: under a key made of the rule that tells most apart. No key looks like an
 * integer, since how such strings are hashed is known to everybody. Different rules may well share a key.
 */

export const EVERYTHING = 'everything';
export const ANY_SIGNAL = 'any signal';
export const fromId = (id: number): string => `from id ${id}`;
export const fromName = (name: string): string => `from ${name}`;
export const ofType = (type: number): string => `type ${type}`;
export const ofId = (type: number, id: number): string => `type ${type} id ${id}`;
export const ofName = (type: number, name: string): string => `type ${type} ${name}`;
export const ofFormer = (type: number, id: number): string => `type ${type} before ${id}`;
export const ofPresent = (type: number, id: number): string => `type ${type} after ${id}`;

const MASK_PREFIX = Buffer.from('mask ');

/** Where something is kept, and the mask that a signal must pass to be looked for there. */
export interface Place {
  readonly key: string;
  readonly mask: BloomMask | undefined;
}

/** The place of rules that must all be true; undefined if they are of no broadcast. */
export function placeOf(rules: readonly MatchRule[]): Place | undefined {
  const [first] = rules;
  if (first === undefined) return at(EVERYTHING);
  return isSignalRule(first) ? signalPlace(rules) : at(notificationKey(first.type, rules));
}

const at = (key: string): Place => ({ key, mask: undefined });

const isSignalRule = ({ type }: MatchRule): boolean => type < ItemType.NAME_ADD;

function signalPlace(rules: readonly MatchRule[]): Place | undefined {
  let name: string | undefined;
  let id: number | undefined;
  let mask: BloomMask | undefined;
  for (const rule of rules) {
    if (rule.type === ItemType.DST_ID && rule.id !== undefined) return undefined;
    if (rule.type === ItemType.ID) id ??= rule.id;
    else if (rule.type === ItemType.NAME) name ??= rule.name;
    else if (rule.type === ItemType.BLOOM_MASK) mask ??= rule.mask;
  }
  if (id !== undefined) return at(fromId(id));
  if (name !== undefined) return at(fromName(name));
  return mask === undefined ? at(ANY_SIGNAL) : { key: maskKey(mask), mask };
}

/** Equal for equal masks alone. */
const maskKey = ({ words: { buffer, byteOffset, byteLength } }: BloomMask): string =>
  Buffer.concat([MASK_PREFIX, Buffer.from(buffer, byteOffset, byteLength)]).toString('latin1');

function notificationKey(type: number, rules: readonly MatchRule[]): string {
  let key: string | undefined;
  for (const rule of rules) key ??= specificKey(rule);
  return key ?? ofType(type);
}

/** Undefined for a rule that is true of all notifications of its type. */
function specificKey(rule: MatchRule): string | undefined {
  if (rule.type === ItemType.ID_ADD || rule.type === ItemType.ID_REMOVE) {
    return rule.id === undefined ? undefined : ofId(rule.type, rule.id);
  }
  if (!('before' in rule)) return undefined;
  const { type, name, before, after } = rule;
  if (name !== undefined) return ofName(type, name);
  if (after !== undefined) return ofPresent(type, after);
  return before === undefined ? undefined : ofFormer(type, before);
}
