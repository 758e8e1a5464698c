import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { PolicyAccessType, PolicyType } from '../../../../src/kdbus/kdbus-abi.js';
import { PolicyDatabase, type PolicyEntry, type Subject } from '../../../../src/kdbus/model/policy-database.js';

const { USER, GROUP, WORLD } = PolicyAccessType;
const { SEE, TALK, OWN } = PolicyType;
const LEVELS = [SEE, TALK, OWN];

const subject = (euid: number, egid = euid, groups: readonly number[] = []): Subject => ({ euid, egid, groups });

function entry(text: string, ...accesses: [type: number, level: number, id?: number][]): PolicyEntry {
  const isWildcard = text.endsWith('.*');
  return {
    name: isWildcard ? text.slice(0, -2) : text,
    isWildcard,
    accesses: accesses.map(([type, level, id = 0]) => ({ type, level, id })),
  };
}

function database(...entries: readonly PolicyEntry[]): PolicyDatabase {
  const policy = new PolicyDatabase();
  expect(policy.replace({}, entries)).toBe(Errno.OK);
  return policy;
}

/** The highest level granted, -1 for none. */
const level = (policy: PolicyDatabase, who: Subject, name: string): number =>
  LEVELS.findLast((one) => policy.grants(who, name, one)) ?? -1;

describe('PolicyDatabase.grants', () => {
  test.each(LEVELS)('level %i and all below it', (granted) => {
    const policy = database(entry('foo.bar', [WORLD, granted]));
    expect(LEVELS.map((one) => policy.grants(subject(1), 'foo.bar', one))).toEqual(LEVELS.map((one) => one <= granted));
  });

  test('to a user by its effective uid, to a group by the effective gid or a supplementary one', () => {
    const policy = database(entry('foo.bar', [USER, OWN, 1000], [GROUP, TALK, 50]));
    expect(level(policy, subject(1000, 1), 'foo.bar')).toBe(OWN);
    expect(level(policy, subject(50, 1000), 'foo.bar')).toBe(-1);
    expect(level(policy, subject(1, 50), 'foo.bar')).toBe(TALK);
    expect(level(policy, subject(1, 1, [4, 50, 60]), 'foo.bar')).toBe(TALK);
    expect(level(policy, subject(1, 1, [4, 60]), 'foo.bar')).toBe(-1);
  });

  test('by any place in a list of groups', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(30)), fc.nat(31), (ids, id) => {
        const groups = ids.sort((a, b) => a - b);
        const policy = database(entry('foo.bar', [GROUP, OWN, id]));
        expect(policy.grants(subject(99, 99, groups), 'foo.bar', OWN)).toBe(groups.includes(id));
      }),
    );
  });

  test('the highest of all that concerns somebody, in whatever order', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray(
          [
            [WORLD, SEE],
            [USER, OWN, 1000],
            [GROUP, TALK, 1000],
            [USER, SEE, 1000],
          ] as [number, number, number?][],
          { minLength: 4 },
        ),
        (accesses) => {
          const policy = database(entry('foo.bar', ...accesses));
          expect(level(policy, subject(1000), 'foo.bar')).toBe(OWN);
          expect(level(policy, subject(1, 1000), 'foo.bar')).toBe(TALK);
          expect(level(policy, subject(1), 'foo.bar')).toBe(SEE);
        },
      ),
    );
  });

  test('by a wildcard that stands for exactly one element', () => {
    const policy = database(entry('a.b.*', [WORLD, OWN]));
    const granted = ['a.b.c', 'a.b._', 'a.b.-x', 'a.b', 'a', 'a.b.c.d', 'a.bb.c', 'aa.b.c', 'b.c', '', '.'];
    expect(granted.filter((name) => policy.grants(subject(1), name, SEE))).toEqual(['a.b.c', 'a.b._', 'a.b.-x']);
  });

  test('by a name of its own before any wildcard, and if that grants nothing', () => {
    const policy = new PolicyDatabase();
    const [bar, baz] = [{}, {}];
    policy.replace({}, [entry('foo.*', [WORLD, OWN])]);
    policy.replace(bar, [entry('foo.bar', [WORLD, SEE])]);
    policy.replace(baz, [entry('foo.baz')]);
    expect(['foo.bar', 'foo.baz', 'foo.x'].map((name) => level(policy, subject(1), name))).toEqual([SEE, -1, OWN]);
    policy.remove(bar);
    policy.remove(baz);
    expect(['foo.bar', 'foo.baz', 'foo.x'].map((name) => level(policy, subject(1), name))).toEqual([OWN, OWN, OWN]);
  });
});

describe('PolicyDatabase.replace', () => {
  test('refuses what is somebody else’s, and then changes nothing', () => {
    const policy = new PolicyDatabase();
    const [a, b] = [{}, {}];
    expect(policy.replace(a, [entry('foo.bar', [WORLD, OWN]), entry('foo.bar.*', [WORLD, OWN])])).toBe(Errno.OK);
    expect(policy.replace(b, [entry('b.b', [WORLD, SEE])])).toBe(Errno.OK);
    for (const text of ['foo.bar', 'foo.bar.*']) {
      expect(policy.replace(b, [entry('c.c', [WORLD, OWN]), entry(text)])).toBe(Errno.EEXIST);
    }
    expect(level(policy, subject(1), 'b.b')).toBe(SEE);
    expect(level(policy, subject(1), 'c.c')).toBe(-1);
    expect(policy.replace(b, [entry('foo.*', [WORLD, TALK])])).toBe(Errno.OK);
    expect(level(policy, subject(1), 'foo.x')).toBe(TALK);
    expect(level(policy, subject(1), 'b.b')).toBe(-1);
  });

  test('refuses what is there twice, and takes again what is the owner’s', () => {
    const policy = new PolicyDatabase();
    const owner = {};
    for (let i = 0; i < 2; i++) expect(policy.replace(owner, [entry('foo.bar', [WORLD, OWN])])).toBe(Errno.OK);
    expect(policy.replace(owner, [entry('foo.bar'), entry('foo.bar')])).toBe(Errno.EEXIST);
    expect(policy.replace(owner, [entry('foo.*'), entry('foo.*')])).toBe(Errno.EEXIST);
    expect(level(policy, subject(1), 'foo.bar')).toBe(OWN);
    expect(policy.replace(owner, [entry('foo.bar'), entry('foo.bar.*'), entry('foo.*')])).toBe(Errno.OK);
    expect(policy.size).toBe(3);
    expect(policy.replace(owner, [])).toBe(Errno.OK);
    expect(policy.size).toBe(0);
  });

  test('and remove leave what the last upload of each owner says', () => {
    const texts = ['a.b', 'a.*', 'a.b.c', 'a.b.*', 'b.a'];
    const names = ['a.b', 'a.c', 'a.b.c', 'a.b.d', 'b.a', 'b.b'];
    const upload = fc.array(
      fc.record({
        text: fc.constantFrom(...texts),
        accesses: fc.array(fc.tuple(fc.constantFrom(USER, GROUP, WORLD), fc.nat(2), fc.nat(2)), { maxLength: 3 }),
      }),
      { maxLength: 3 },
    );
    const step = fc.record({ owner: fc.nat(2), upload: fc.option(upload, { freq: 4 }) });
    const who = fc.record({ euid: fc.nat(2), egid: fc.nat(2), groups: fc.subarray([0, 1, 2]) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), who, (steps, asker) => {
        const policy = new PolicyDatabase();
        const owners = [{}, {}, {}];
        const uploads: { text: string; accesses: [number, number, number][] }[][] = [[], [], []];
        for (const { owner, upload: entries } of steps) {
          const others = uploads.filter((_, i) => i !== owner).flat();
          if (entries === null) {
            policy.remove(owners[owner] as object);
            uploads[owner] = [];
            continue;
          }
          const clashes = entries.some(({ text }, i) =>
            [...others, ...entries.slice(0, i)].some((other) => other.text === text),
          );
          const error = policy.replace(
            owners[owner] as object,
            entries.map(({ text, accesses }) => entry(text, ...accesses)),
          );
          expect(error).toBe(clashes ? Errno.EEXIST : Errno.OK);
          if (!clashes) uploads[owner] = entries;
        }
        const all = uploads.flat();
        expect(policy.size).toBe(all.length);
        for (const name of names) {
          const wildcard = name.replace(/\.[^.]*$/, '.*');
          const used = all.find(({ text }) => text === name) ?? all.find(({ text }) => text === wildcard);
          const levels = (used?.accesses ?? [])
            .filter(
              ([type, , id]) =>
                type === WORLD ||
                (type === USER && id === asker.euid) ||
                (type === GROUP && (id === asker.egid || asker.groups.includes(id))),
            )
            .map(([, granted]) => granted);
          expect(level(policy, asker, name)).toBe(Math.max(-1, ...levels));
        }
        for (const owner of owners) policy.remove(owner);
        expect(policy.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
