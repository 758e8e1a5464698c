import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { ItemType, PolicyAccessType, PolicyType } from '../../../../src/kdbus/kdbus-abi.js';
import type { CommandItem } from '../../../../src/kdbus/model/command-item.js';
import {
  ACTIVATOR_LIMITS,
  ENDPOINT_LIMITS,
  HOLDER_LIMITS,
  policyEntries,
} from '../../../../src/kdbus/model/policy-upload.js';
import { accessItem, nameItem, textItem } from './items.js';

const { USER, GROUP, WORLD } = PolicyAccessType;
const { SEE, TALK, OWN } = PolicyType;
/** A user namespace in which 0 to 9 are 1000 to 1009 of the daemon's, groups 2000 to 2009. */
const IDS = {
  uid: (id: number) => (id < 10 ? id + 1000 : undefined),
  gid: (id: number) => (id < 10 ? id + 2000 : undefined),
};

const upload = (items: readonly CommandItem[], limits = ENDPOINT_LIMITS) => policyEntries(items, limits, IDS);

describe('policyEntries', () => {
  test('puts each access to the name before it, and passes over other items', () => {
    expect(
      upload([
        textItem(ItemType.CONN_DESCRIPTION, 'x'),
        nameItem('foo.bar'),
        accessItem(USER, OWN, 3),
        accessItem(GROUP, TALK, 4),
        nameItem('foo.*'),
        nameItem('foo.baz'),
        accessItem(WORLD, SEE, 0xffff_ffff_ffff_ffffn),
      ]),
    ).toEqual([
      {
        name: 'foo.bar',
        isWildcard: false,
        accesses: [
          { type: USER, level: OWN, id: 1003 },
          { type: GROUP, level: TALK, id: 2004 },
        ],
      },
      { name: 'foo', isWildcard: true, accesses: [] },
      { name: 'foo.baz', isWildcard: false, accesses: [{ type: WORLD, level: SEE, id: 0 }] },
    ]);
    expect(upload([])).toEqual([]);
  });

  test.each([
    ['an access without a name', [accessItem(WORLD, OWN), nameItem('foo.bar')], Errno.EINVAL],
    ['a name that is none', [nameItem('foo')], Errno.EINVAL],
    ['a wildcard that stands for everything', [nameItem('*')], Errno.EINVAL],
    ['an unknown level', [nameItem('foo.bar'), accessItem(WORLD, 3)], Errno.EINVAL],
    ['a level above 32 bits', [nameItem('foo.bar'), accessItem(WORLD, 0x1_0000_0000)], Errno.EINVAL],
    ['no type', [nameItem('foo.bar'), accessItem(0, OWN)], Errno.EINVAL],
    ['an unknown type', [nameItem('foo.bar'), accessItem(4, OWN)], Errno.EINVAL],
    ['an unmapped user', [nameItem('foo.bar'), accessItem(USER, OWN, 10)], Errno.EINVAL],
    ['an unmapped group', [nameItem('foo.bar'), accessItem(GROUP, OWN, 10)], Errno.EINVAL],
    ['an id above 32 bits', [nameItem('foo.bar'), accessItem(USER, OWN, 0x1_0000_0003)], Errno.EINVAL],
    ['an error after names enough', [nameItem('foo.bar'), accessItem(USER, OWN, 3), nameItem('foo')], Errno.EINVAL],
  ])('refuses %s', (_, items, error) => {
    expect(upload(items)).toBe(error);
  });

  test('refuses the id that is nobody, whatever the namespace says', () => {
    const everybody = { uid: (id: number) => id, gid: (id: number) => id };
    const items = [nameItem('foo.bar'), accessItem(USER, OWN, 0xffff_ffff)];
    expect(policyEntries(items, ENDPOINT_LIMITS, everybody)).toBe(Errno.EINVAL);
  });

  test('counts names before it looks at them', () => {
    for (const limits of [ACTIVATOR_LIMITS, HOLDER_LIMITS]) {
      expect(upload([nameItem('foo.bar'), nameItem('foo')], limits)).toBe(Errno.E2BIG);
      expect(upload([nameItem('foo'), nameItem('foo.bar')], limits)).toBe(Errno.EINVAL);
      expect(upload([accessItem(WORLD, OWN), nameItem('foo.bar'), nameItem('foo.baz')], limits)).toBe(Errno.EINVAL);
    }
    expect(upload(Array.from({ length: 300 }, (_, i) => nameItem(`foo.x${i}`)))).toHaveLength(300);
  });

  test('lets all but activators upload wildcards', () => {
    const items = [nameItem('foo.*')];
    expect(upload(items, ACTIVATOR_LIMITS)).toBe(Errno.EINVAL);
    expect(upload(items, HOLDER_LIMITS)).toHaveLength(1);
    expect(upload(items, ENDPOINT_LIMITS)).toHaveLength(1);
  });
});
