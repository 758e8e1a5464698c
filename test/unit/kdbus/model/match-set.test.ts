import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { ItemType, NameFlag } from '../../../../src/kdbus/kdbus-abi.js';
import { MatchIndex } from '../../../../src/kdbus/model/match-index.js';
import {
  type MatchRule,
  matchesNotification,
  matchesSignal,
  type Signal,
} from '../../../../src/kdbus/model/match-rule.js';
import { MatchSet } from '../../../../src/kdbus/model/match-set.js';
import { Claim, ClaimedName } from '../../../../src/kdbus/model/name-claim.js';
import type { BroadcastNotification } from '../../../../src/kdbus/model/notification.js';

/** A limit on what matches take, as a user has it. */
class Budget {
  used = 0;
  max: number;

  constructor(max = Number.POSITIVE_INFINITY) {
    this.max = max;
  }

  fits(amount: number): boolean {
    return this.used + amount <= this.max;
  }

  charge(amount: number): void {
    this.used += amount;
  }
}

const SIGNAL: Signal = {
  sender: { id: 1, claims: new Map() },
  destination: undefined,
  filter: { generation: 0, words: new Int32Array(2) },
};

function matches(max?: number) {
  const index = new MatchIndex<string>();
  const budget = new Budget(max);
  return { index, budget, set: new MatchSet('a', index, budget) };
}

describe('MatchSet', () => {
  test('lets nothing through without entries, everything by an entry without rules', () => {
    const { index, set } = matches();
    const idAdd = { type: ItemType.ID_ADD, id: 1, flags: 0 };
    expect([...index.receiversOfSignal(SIGNAL), ...index.receiversOfNotification(idAdd)]).toEqual([]);
    expect(set.accepts(SIGNAL)).toBe(false);
    set.add(0, [], false);
    expect([...index.receiversOfSignal(SIGNAL), ...index.receiversOfNotification(idAdd)]).toEqual(['a', 'a']);
    expect(set.accepts(SIGNAL)).toBe(true);
  });

  test('keeps several entries with one cookie, which leave together or for a new one', () => {
    const { index, set } = matches();
    const from = (id: number): MatchRule[] => [{ type: ItemType.ID, id }];
    const passes = (id: number) => index.receiversOfSignal({ ...SIGNAL, sender: { ...SIGNAL.sender, id } }).size > 0;
    set.add(1, from(1), false);
    set.add(1, from(2), false);
    set.add(0xffff_ffff_ffff_ffffn, from(3), false);
    expect([1, 2, 3, 4].map(passes)).toEqual([true, true, true, false]);
    expect(set.add(1, from(4), true)).toBe(Errno.OK);
    expect([1, 2, 3, 4].map(passes)).toEqual([false, false, true, true]);
    expect(set.size).toBe(2);
    expect(set.remove(0xffff_ffff_ffff_fffen)).toBe(Errno.EBADSLT);
    expect(set.remove(0xffff_ffff_ffff_ffffn)).toBe(Errno.OK);
    expect(set.remove(0xffff_ffff_ffff_ffffn)).toBe(Errno.EBADSLT);
    expect(set.remove(1)).toBe(Errno.OK);
    expect([set.size, index.size]).toEqual([0, 0]);
  });

  test('has room for 4096 entries, and for what replaces some of them', () => {
    const { budget, set } = matches();
    for (let i = 0; i < 4096; i++) expect(set.add(i % 2, [], false)).toBe(Errno.OK);
    const { used } = budget;
    expect(set.add(0, [], false)).toBe(Errno.EMFILE);
    expect(set.add(2, [], true)).toBe(Errno.EMFILE);
    budget.max = used;
    expect(set.add(2, [], false)).toBe(Errno.EMFILE);
    expect([set.size, budget.used]).toEqual([4096, used]);
    expect(set.add(0, [], true)).toBe(Errno.OK);
    expect(set.size).toBe(2049);
    expect(set.add(2, [], false)).toBe(Errno.OK);
    set.clear();
    expect([set.size, budget.used]).toEqual([0, 0]);
    expect(set.remove(0)).toBe(Errno.EBADSLT);
  });

  test('takes no more than the budget, and changes nothing then', () => {
    const { index, budget, set } = matches(4000);
    const mask = (size: number): MatchRule[] => [
      { type: ItemType.BLOOM_MASK, mask: { words: new Int32Array(size), rowLength: 2 } },
    ];
    expect(set.add(1, mask(2), false)).toBe(Errno.OK);
    const { used } = budget;
    expect(set.add(1, mask(1000), true)).toBe(Errno.ENOMEM);
    expect(set.add(2, mask(1000), false)).toBe(Errno.ENOMEM);
    expect([set.size, budget.used, index.receiversOfSignal(SIGNAL).size]).toEqual([1, used, 1]);
    budget.max = used;
    expect(set.add(1, mask(2), true)).toBe(Errno.OK);
    expect(set.add(2, [], false)).toBe(Errno.ENOMEM);
    expect(budget.used).toBe(used);
  });
});

describe('the matches of a bus', () => {
  const OWNERS = ['a', 'b', 'c'];
  const NAMES = ['foo.a', 'foo.b', '7'];
  const id = fc.constantFrom(0, 1, 2, undefined);
  const words = fc.int32Array({ min: 0, max: 3, minLength: 2, maxLength: 2 });
  const mask = fc
    .array(words, { minLength: 1, maxLength: 2 })
    .map((rows) => ({ words: Int32Array.from(rows.flatMap((row) => [...row])), rowLength: 2 }));
  const signalRule = fc.oneof(
    fc.record({ type: fc.constant(ItemType.BLOOM_MASK), mask }),
    fc.record({ type: fc.constant(ItemType.NAME), name: fc.constantFrom(...NAMES) }),
    fc.record({ type: fc.constantFrom(ItemType.ID, ItemType.DST_ID), id }),
  );
  const notificationRule = fc.oneof(
    fc.record({ type: fc.constantFrom(ItemType.ID_ADD, ItemType.ID_REMOVE), id }),
    fc.record({
      type: fc.constantFrom(ItemType.NAME_ADD, ItemType.NAME_REMOVE, ItemType.NAME_CHANGE),
      before: id,
      after: id,
      name: fc.constantFrom(undefined, undefined, ...NAMES),
    }),
  );
  const rules: fc.Arbitrary<MatchRule[]> = fc.oneof(
    fc.array(signalRule, { maxLength: 3 }),
    fc.array(notificationRule, { maxLength: 2 }),
    fc.array(fc.oneof(signalRule, notificationRule), { maxLength: 3 }),
  );
  const owner = fc.nat(OWNERS.length - 1);
  const cookie = fc.nat(3);
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant('add' as const), owner, cookie, rules, replaces: fc.boolean() }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), owner, cookie }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), owner }) },
  );
  const signal = fc.record({
    id: fc.nat(2),
    destination: id,
    owns: fc.subarray(NAMES),
    waits: fc.boolean(),
    generation: fc.nat(2),
    words,
  });
  const standing = fc.record({ id: fc.nat(2), flags: fc.constant(0) });
  const notification: fc.Arbitrary<BroadcastNotification> = fc.oneof(
    fc.record({ type: fc.constantFrom(ItemType.ID_ADD, ItemType.ID_REMOVE), id: fc.nat(2), flags: fc.constant(0) }),
    fc.record({
      type: fc.constantFrom(ItemType.NAME_ADD, ItemType.NAME_REMOVE, ItemType.NAME_CHANGE),
      name: fc.constantFrom(...NAMES),
      before: standing,
      after: standing,
    }),
  );

  test('let through what looking at each of them would', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 25 }),
        fc.array(signal, { minLength: 1, maxLength: 8 }),
        fc.array(notification, { minLength: 1, maxLength: 8 }),
        (steps, signals, notifications) => {
          const index = new MatchIndex<string>();
          const budget = new Budget();
          const sets = OWNERS.map((name) => new MatchSet(name, index, budget));
          let all: { owner: number; cookie: number; rules: MatchRule[] }[] = [];
          for (const action of steps) {
            const set = sets[action.owner] as MatchSet<string>;
            const isGone = (one: { owner: number; cookie: number }): boolean =>
              one.owner === action.owner && (action.do === 'clear' || one.cookie === action.cookie);
            const rest = all.filter((one) => !isGone(one));
            if (action.do === 'add') {
              expect(set.add(action.cookie, action.rules, action.replaces)).toBe(Errno.OK);
              all = [...(action.replaces ? rest : all), action];
              continue;
            }
            if (action.do === 'clear') set.clear();
            else expect(set.remove(action.cookie)).toBe(rest.length === all.length ? Errno.EBADSLT : Errno.OK);
            all = rest;
          }
          expect(sets.map(({ size }) => size)).toEqual(
            OWNERS.map((_, i) => all.filter((one) => one.owner === i).length),
          );

          const whose = (test: (rule: MatchRule) => boolean): string[] =>
            OWNERS.filter((_, i) => all.some((one) => one.owner === i && one.rules.every(test)));
          for (const { id: from, destination, owns, waits, generation, words: bits } of signals) {
            const flags = waits ? NameFlag.IN_QUEUE : NameFlag.PRIMARY;
            const claims = new Map(owns.map((text) => [text, new Claim({}, new ClaimedName(text), flags)]));
            const sent: Signal = { sender: { id: from, claims }, destination, filter: { generation, words: bits } };
            const expected = whose((rule) => matchesSignal(rule, sent));
            expect(OWNERS.filter((_, i) => sets[i]?.accepts(sent))).toEqual(expected);
            if (destination === undefined) expect([...index.receiversOfSignal(sent)].sort()).toEqual(expected);
          }
          for (const one of notifications) {
            const expected = whose((rule) => matchesNotification(rule, one));
            expect([...index.receiversOfNotification(one)].sort()).toEqual(expected);
          }

          for (const set of sets) set.clear();
          expect([budget.used, index.size]).toEqual([0, 0]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('are looked at no more once one lets something through', () => {
    const index = new MatchIndex<string>();
    const set = new MatchSet('a', index, new Budget());
    let looks = 0;
    const rule: MatchRule = {
      type: ItemType.ID,
      get id() {
        looks++;
        return undefined;
      },
    };
    for (let i = 0; i < 100; i++) set.add(i, [rule], false);
    looks = 0;
    expect(index.receiversOfSignal(SIGNAL).size).toBe(1);
    expect(looks).toBe(1);
  });

  test('are not looked at where another sender, name or id is wanted', () => {
    const index = new MatchIndex<number>();
    const budget = new Budget();
    let looks = 0;
    /** A rule that counts how often somebody looks what it is about. */
    const counting = (rule: MatchRule): MatchRule =>
      new Proxy(rule, {
        get: (target, key) => {
          looks++;
          return Reflect.get(target, key);
        },
      });
    const all: MatchRule[] = Array.from({ length: 500 }, (_, i): MatchRule[] => [
      { type: ItemType.ID, id: i + 10 },
      { type: ItemType.NAME, name: `foo.x${i}` },
      { type: ItemType.DST_ID, id: i + 10 },
      { type: ItemType.ID_ADD, id: i + 10 },
      { type: ItemType.NAME_ADD, before: undefined, after: undefined, name: `foo.x${i}` },
      { type: ItemType.NAME_CHANGE, before: i + 10, after: undefined, name: undefined },
      { type: ItemType.NAME_CHANGE, before: undefined, after: i + 10, name: undefined },
    ]).flat();
    for (const [i, rule] of all.entries()) new MatchSet(i, index, budget).add(1, [counting(rule)], false);
    looks = 0;
    const claims = new Map([['foo.x3', new Claim({}, new ClaimedName('foo.x3'), NameFlag.PRIMARY)]]);
    expect(index.receiversOfSignal({ ...SIGNAL, sender: { id: 10, claims } }).size).toBe(2);
    const change = { before: { id: 10, flags: 0 }, after: { id: 11, flags: 0 }, name: 'foo.x9' };
    expect(index.receiversOfNotification({ type: ItemType.ID_ADD, id: 10, flags: 0 }).size).toBe(1);
    expect(index.receiversOfNotification({ type: ItemType.NAME_ADD, ...change }).size).toBe(1);
    expect(index.receiversOfNotification({ type: ItemType.NAME_CHANGE, ...change }).size).toBe(2);
    expect(looks).toBeLessThan(60);
  });
});
