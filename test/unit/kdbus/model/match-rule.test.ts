import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { ItemType, NameFlag } from '../../../../src/kdbus/kdbus-abi.js';
import { type BloomFilter, bloomMask, bloomWords, passesMask } from '../../../../src/kdbus/model/bloom.js';
import type { CommandItem } from '../../../../src/kdbus/model/command-item.js';
import {
  type MatchRule,
  matchesNotification,
  matchesSignal,
  matchRules,
  type Signal,
} from '../../../../src/kdbus/model/match-rule.js';
import { Claim, ClaimedName } from '../../../../src/kdbus/model/name-claim.js';
import type { BroadcastNotification } from '../../../../src/kdbus/model/notification.js';
import { bytesOf, item, nameItem, numbersItem } from './items.js';

const BLOOM_SIZE = 8;
const ANY = 0xffff_ffff_ffff_ffffn;
const ALMOST_ANY = ANY - 1n;

const filter = (generation: number, ...bytes: number[]): BloomFilter => ({
  generation,
  words: bloomWords(bytesOf([...bytes, ...Array<number>(BLOOM_SIZE - bytes.length).fill(0)])),
});

function signal(options: Partial<Signal> & { owns?: string[]; waitsFor?: string[]; id?: number } = {}): Signal {
  const { owns = [], waitsFor = [], id = 5, destination, filter: bits = filter(0) } = options;
  const claims = new Map<string, Claim<unknown>>();
  for (const text of owns) claims.set(text, new Claim({}, new ClaimedName(text), NameFlag.PRIMARY));
  for (const text of waitsFor) claims.set(text, new Claim({}, new ClaimedName(text), NameFlag.IN_QUEUE));
  return { sender: { id, claims }, destination, filter: bits };
}

function ruleOf(one: CommandItem): MatchRule {
  const rules = matchRules([one], BLOOM_SIZE);
  if (typeof rules === 'number' || rules[0] === undefined) throw new Error('no rule');
  return rules[0];
}

const nobody = { id: 0, flags: 0 };
const nameChange = (
  type: typeof ItemType.NAME_ADD | typeof ItemType.NAME_REMOVE | typeof ItemType.NAME_CHANGE,
  before: number,
  after: number,
  name = 'foo.bar',
): BroadcastNotification => ({ type, name, before: { id: before, flags: 0x20 }, after: { id: after, flags: 0x24 } });

describe('MATCH_ADD', () => {
  test('reads one rule of each item, and none of NEGOTIATE', () => {
    const items = [
      item(ItemType.BLOOM_MASK, Array<number>(BLOOM_SIZE * 3).fill(1)),
      nameItem('foo.bar'),
      numbersItem(ItemType.NEGOTIATE, [ItemType.NAME]),
      numbersItem(ItemType.ID, [7]),
      numbersItem(ItemType.DST_ID, [ANY]),
      numbersItem(ItemType.NAME_ADD, [0, 0x20, ANY, 0], 'foo.bar'),
      numbersItem(ItemType.NAME_CHANGE, [1, 0, 2, 0]),
      numbersItem(ItemType.ID_REMOVE, [ANY, 0]),
    ];
    const rules = matchRules(items, BLOOM_SIZE);
    expect(rules).toEqual([
      { type: ItemType.BLOOM_MASK, mask: { words: new Int32Array(6).fill(0x0101_0101), rowLength: 2 } },
      { type: ItemType.NAME, name: 'foo.bar' },
      { type: ItemType.ID, id: 7 },
      { type: ItemType.DST_ID, id: undefined },
      { type: ItemType.NAME_ADD, before: 0, after: undefined, name: 'foo.bar' },
      { type: ItemType.NAME_CHANGE, before: 1, after: 2, name: undefined },
      { type: ItemType.ID_REMOVE, id: undefined },
    ]);
  });

  const emptyMask = item(ItemType.BLOOM_MASK, []);
  const shortMask = item(ItemType.BLOOM_MASK, Array<number>(BLOOM_SIZE - 1).fill(0));
  const oddMask = item(ItemType.BLOOM_MASK, Array<number>(BLOOM_SIZE + 4).fill(0));
  test.each([
    ['an empty mask', [emptyMask], Errno.EDOM],
    ['a short mask', [shortMask], Errno.EDOM],
    ['part of a row', [oddMask], Errno.EDOM],
    ['a name that is none', [nameItem('foo')], Errno.EINVAL],
    ['a wildcard', [nameItem('foo.*')], Errno.EINVAL],
    ['a mask before a name', [oddMask, nameItem('foo')], Errno.EDOM],
    ['a name before a mask', [numbersItem(ItemType.ID, [1]), nameItem('foo'), oddMask], Errno.EINVAL],
  ])('refuses %s', (_, items, error) => {
    expect(matchRules(items, BLOOM_SIZE)).toBe(error);
  });

  test('takes any string as the name of a notification', () => {
    expect(ruleOf(numbersItem(ItemType.NAME_ADD, [ANY, 0, ANY, 0], ''))).toMatchObject({ name: '' });
    expect(ruleOf(numbersItem(ItemType.NAME_ADD, [ANY, 0, ANY, 0], 'no name'))).toMatchObject({ name: 'no name' });
  });
});

describe('a rule for messages', () => {
  test.each([
    [numbersItem(ItemType.ID, [5]), true],
    [numbersItem(ItemType.ID, [6]), false],
    [numbersItem(ItemType.ID, [0]), false],
    [numbersItem(ItemType.ID, [ANY]), true],
    [numbersItem(ItemType.ID, [ALMOST_ANY]), false],
    [nameItem('foo.bar'), true],
    [nameItem('foo.wait'), false],
    [nameItem('foo.baz'), false],
  ])('looks at the sender: %#', (one, isTrue) => {
    const from = signal({ owns: ['foo.other', 'foo.bar'], waitsFor: ['foo.wait'] });
    expect(matchesSignal(ruleOf(one), from)).toBe(isTrue);
  });

  test.each([
    [9, 9, true],
    [9, undefined, false],
    [9, 0, false],
    [0, 0, true],
    [ANY, 9, true],
    [ANY, undefined, true],
    [ANY, 0, true],
    [ALMOST_ANY, undefined, false],
  ])('DST_ID %s of a signal to %s', (wanted, destination, isTrue) => {
    expect(matchesSignal(ruleOf(numbersItem(ItemType.DST_ID, [wanted])), signal({ destination }))).toBe(isTrue);
  });

  test('is true of no notification, and the other way round', () => {
    const forMessages = [
      item(ItemType.BLOOM_MASK, Array<number>(BLOOM_SIZE).fill(0)),
      nameItem('foo.bar'),
      numbersItem(ItemType.ID, [ANY]),
      numbersItem(ItemType.DST_ID, [ANY]),
    ];
    const forNotifications = [
      ...[ItemType.NAME_ADD, ItemType.NAME_REMOVE, ItemType.NAME_CHANGE].map((type) =>
        numbersItem(type, [ANY, 0, ANY, 0]),
      ),
      ...[ItemType.ID_ADD, ItemType.ID_REMOVE].map((type) => numbersItem(type, [ANY, 0])),
    ];
    const notification = nameChange(ItemType.NAME_ADD, 0, 5);
    const from = signal({ owns: ['foo.bar'] });
    expect(forMessages.map((one) => matchesSignal(ruleOf(one), from))).toEqual([true, true, true, true]);
    expect(forMessages.some((one) => matchesNotification(ruleOf(one), notification))).toBe(false);
    expect(forNotifications.map((one) => matchesNotification(ruleOf(one), notification))).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(forNotifications.some((one) => matchesSignal(ruleOf(one), from))).toBe(false);
  });
});

describe('a rule for notifications', () => {
  test.each([
    [[ANY, ANY], undefined, true],
    [[0, ANY], undefined, true],
    [[0, 7], 'foo.bar', true],
    [[ANY, 7], undefined, true],
    [[7, ANY], undefined, false],
    [[0, 0], undefined, false],
    [[ANY, 0], undefined, false],
    [[ANY, 8], undefined, false],
    [[ANY, ANY], 'foo.baz', false],
    [[ANY, ANY], '', false],
    [[ALMOST_ANY, ANY], undefined, false],
  ])('%s, name %s of NAME_ADD by 7', ([before = 0, after = 0], name, isTrue) => {
    const rule = ruleOf(numbersItem(ItemType.NAME_ADD, [before, 99, after, 99], name));
    expect(matchesNotification(rule, nameChange(ItemType.NAME_ADD, 0, 7))).toBe(isTrue);
    expect(matchesNotification(rule, nameChange(ItemType.NAME_CHANGE, 0, 7))).toBe(false);
  });

  test.each([
    [ANY, true],
    [7, true],
    [0, false],
    [8, false],
  ])('id %s of ID_ADD and ID_REMOVE of 7', (id, isTrue) => {
    for (const type of [ItemType.ID_ADD, ItemType.ID_REMOVE] as const) {
      const rule = ruleOf(numbersItem(type, [id, 99]));
      expect(matchesNotification(rule, { ...nobody, type, id: 7 })).toBe(isTrue);
      const other = type === ItemType.ID_ADD ? ItemType.ID_REMOVE : ItemType.ID_ADD;
      expect(matchesNotification(rule, { ...nobody, type: other, id: 7 })).toBe(false);
    }
  });
});

describe('a bloom mask', () => {
  const mask = (...rows: number[][]) => {
    const found = bloomMask(
      bytesOf(rows.flatMap((row) => [...row, ...Array<number>(BLOOM_SIZE - row.length).fill(0)])),
      BLOOM_SIZE,
    );
    if (found === undefined) throw new Error('no mask');
    return found;
  };

  test.each([
    [[0x0f], true],
    [[0x07], false],
    [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], true],
    [[0], false],
    [[0x0f, 0, 0, 0, 0, 0, 0, 0xf0], true],
  ])('0f passes %j: %s', (bits, isTrue) => {
    expect(passesMask(filter(0, ...bits), mask([0x0f]))).toBe(isTrue);
  });

  test('without bits passes everything', () => {
    expect(passesMask(filter(0), mask([]))).toBe(true);
  });

  test.each([
    [0, [1], true],
    [1, [1], false],
    [1, [2], true],
    [2, [4], true],
    [3, [4], true],
    [100, [4], true],
    [100, [3], false],
    [2 ** 64, [4], true],
  ])('of generation %s takes the row for %j', (generation, bits, isTrue) => {
    expect(passesMask(filter(generation, ...bits), mask([1], [2], [4]))).toBe(isTrue);
  });

  test('is what the bits one by one are', () => {
    const bits = (count: number) => fc.uint8Array({ minLength: count * BLOOM_SIZE, maxLength: count * BLOOM_SIZE });
    fc.assert(
      fc.property(
        bits(1),
        fc.integer({ min: 1, max: 3 }).chain(bits),
        fc.nat(4),
        fc.nat(255),
        (set, rows, gen, keep) => {
          const wanted = rows.map((byte, i) => byte & keep & (i % 3 === 0 ? (set[i % BLOOM_SIZE] as number) : 0xff));
          const row = Math.min(gen, rows.length / BLOOM_SIZE - 1) * BLOOM_SIZE;
          const isTrue = [...set].every((byte, i) => (byte & (wanted[row + i] as number)) === wanted[row + i]);
          const found = bloomMask(bytesOf(wanted), BLOOM_SIZE);
          if (found === undefined) throw new Error('no mask');
          expect(passesMask({ generation: gen, words: bloomWords(bytesOf(set)) }, found)).toBe(isTrue);
        },
      ),
      { numRuns: 500 },
    );
  });
});
