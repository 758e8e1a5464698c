import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { ItemType, ListFlag, NameFlag } from '../../../../src/kdbus/kdbus-abi.js';
import type { NameChange } from '../../../../src/kdbus/model/name-claim.js';
import { NameRegistry } from '../../../../src/kdbus/model/name-registry.js';
import { nameNotification } from '../../../../src/kdbus/model/notification.js';
import { Holder, listed } from './holder.js';

const { REPLACE_EXISTING, ALLOW_REPLACEMENT, QUEUE, IN_QUEUE, ACTIVATOR, PRIMARY, ACQUIRED } = NameFlag;

function bus(count: number): { registry: NameRegistry<Holder>; holders: Holder[] } {
  return { registry: new NameRegistry(), holders: Array.from({ length: count }, (_, i) => new Holder(i + 1)) };
}

/** A change as text: `-` for nobody, `id:flags` for somebody, `!` where messages move. */
function shown(change: NameChange<Holder> | undefined | Errno): string | undefined | Errno {
  if (change === undefined || typeof change === 'number') return change;
  const [before, after] = [change.before, change.after].map((one) =>
    one === undefined ? '-' : `${one.holder.id}:0x${one.flags.toString(16)}`,
  );
  return `${change.name.text} ${before} ${after}${change.movesMessages ? ' !' : ''}`;
}

describe('NAME_ACQUIRE', () => {
  test('gives a free name', () => {
    const { registry, holders } = bus(1);
    const [a] = holders as [Holder];
    const { error, flags, change } = registry.acquire(a, 'foo.bar', ALLOW_REPLACEMENT | REPLACE_EXISTING, true);
    expect([error, flags, shown(change)]).toEqual([0, ALLOW_REPLACEMENT | PRIMARY | ACQUIRED, 'foo.bar - 1:0x22']);
    expect(registry.ownerOf('foo.bar')?.holder).toBe(a);
    expect(listed(holders)).toEqual(['1:foo.bar:0x22']);
  });

  test('of an own name renews its flags and tells nobody', () => {
    const { registry, holders } = bus(1);
    const [a] = holders as [Holder];
    registry.acquire(a, 'foo.bar', ALLOW_REPLACEMENT, true);
    expect(registry.acquire(a, 'foo.bar', QUEUE, true)).toEqual({
      error: Errno.OK,
      flags: QUEUE | PRIMARY,
      change: undefined,
    });
    expect(listed(holders)).toEqual(['1:foo.bar:0x24']);
  });

  test('looks at the name, then at policy, then at how many there are, then at the queue', () => {
    const { registry, holders } = bus(2);
    const [a, b] = holders as [Holder, Holder];
    const error = (text: string, mayOwn: boolean) => registry.acquire(a, text, ALLOW_REPLACEMENT, mayOwn);
    registry.acquire(b, 'other.name', 0, true);
    for (let i = 0; i < 255; i++) expect(error(`n.x${i}`, true).error).toBe(Errno.OK);
    expect(error('other.name', true)).toEqual({ error: Errno.EEXIST, flags: ALLOW_REPLACEMENT, change: undefined });
    expect(registry.acquire(a, 'other.name', QUEUE, true).error).toBe(Errno.OK);
    expect(error('other', false)).toEqual({ error: Errno.EINVAL, flags: 0, change: undefined });
    expect(error('n.y', false)).toEqual({ error: Errno.EPERM, flags: 0, change: undefined });
    expect(error('n.x0', false)).toEqual({ error: Errno.EPERM, flags: 0, change: undefined });
    expect(error('n.y', true)).toEqual({ error: Errno.E2BIG, flags: 0, change: undefined });
    registry.acquire(b, 'another.name', 0, true);
    expect(error('another.name', true)).toEqual({ error: Errno.E2BIG, flags: 0, change: undefined });
    expect(error('n.x0', true).error).toBe(Errno.OK);
    expect(registry.release(a, 'other.name')).toBeUndefined();
    expect(error('n.y', true).error).toBe(Errno.OK);
    expect(registry.ownerOf('n.z')).toBeUndefined();
  });

  test('replaces an owner that allows it, which waits next if it wants to', () => {
    const { registry, holders } = bus(3);
    const [a, b, c] = holders as [Holder, Holder, Holder];
    registry.acquire(a, 'foo.bar', ALLOW_REPLACEMENT | QUEUE, true);
    expect(registry.acquire(b, 'foo.bar', QUEUE, true).flags).toBe(QUEUE | IN_QUEUE | ACQUIRED);
    const { flags, change } = registry.acquire(c, 'foo.bar', REPLACE_EXISTING | QUEUE | ALLOW_REPLACEMENT, true);
    expect([flags, shown(change)]).toEqual([ALLOW_REPLACEMENT | QUEUE | PRIMARY | ACQUIRED, 'foo.bar 1:0x26 3:0x26']);
    expect(listed(holders)).toEqual(['1:foo.bar:0xe', '2:foo.bar:0xc', '3:foo.bar:0x26']);
    expect(shown(registry.acquire(b, 'foo.bar', REPLACE_EXISTING, true).change)).toBe('foo.bar 3:0x26 2:0x20');
    expect(shown(registry.release(b, 'foo.bar'))).toBe('foo.bar 2:0x20 3:0x26');
    expect(shown(registry.release(c, 'foo.bar'))).toBe('foo.bar 3:0x26 1:0x26');
  });

  test('replaces an owner that does not want to wait', () => {
    const { registry, holders } = bus(2);
    const [a, b] = holders as [Holder, Holder];
    registry.acquire(a, 'foo.bar', ALLOW_REPLACEMENT, true);
    expect(shown(registry.acquire(b, 'foo.bar', REPLACE_EXISTING, true).change)).toBe('foo.bar 1:0x22 2:0x20');
    expect(listed(holders)).toEqual(['1', '2:foo.bar:0x20']);
  });

  test('without QUEUE gives up a place in the queue', () => {
    const { registry, holders } = bus(2);
    const [a, b] = holders as [Holder, Holder];
    registry.acquire(a, 'foo.bar', 0, true);
    registry.acquire(b, 'foo.bar', QUEUE, true);
    expect(registry.acquire(b, 'foo.bar', QUEUE | ALLOW_REPLACEMENT, true).flags).toBe(
      QUEUE | ALLOW_REPLACEMENT | IN_QUEUE,
    );
    expect(registry.acquire(b, 'foo.bar', ALLOW_REPLACEMENT | REPLACE_EXISTING, true)).toEqual({
      error: Errno.OK,
      flags: ALLOW_REPLACEMENT,
      change: undefined,
    });
    expect(listed(holders)).toEqual(['1:foo.bar:0x20', '2']);
  });
});

describe('an activator', () => {
  test('owns its name until somebody wants it, and again afterwards; messages go along', () => {
    const { registry, holders } = bus(3);
    const [act, a, b] = holders as [Holder, Holder, Holder];
    expect(shown(registry.activate(act, 'foo.act'))).toBe('foo.act - 1:0x30');
    const name = registry.ownerOf('foo.act')?.name;
    const first = registry.acquire(a, 'foo.act', QUEUE, true);
    expect([first.flags, shown(first.change)]).toEqual([QUEUE | PRIMARY | ACQUIRED, 'foo.act 1:0x30 2:0x24 !']);
    expect(listed(holders)).toEqual(['1:foo.act:0x18', '2:foo.act:0x24', '3']);
    registry.acquire(b, 'foo.act', QUEUE, true);
    expect(shown(registry.release(a, 'foo.act'))).toBe('foo.act 2:0x24 3:0x24');
    expect(shown(registry.release(b, 'foo.act'))).toBe('foo.act 3:0x24 1:0x30 !');
    expect(registry.ownerOf('foo.act')?.name).toBe(name);
    expect(registry.releaseAll(act).map(shown)).toEqual(['foo.act 1:0x30 -']);
    expect(registry.size).toBe(0);
  });

  test('of an owned name waits without a word, and leaves so', () => {
    const { registry, holders } = bus(3);
    const [a, act, other] = holders as [Holder, Holder, Holder];
    registry.acquire(a, 'foo.act', 0, true);
    expect(registry.activate(act, 'foo.act')).toBeUndefined();
    expect(registry.activate(other, 'foo.act')).toBe(Errno.EEXIST);
    expect(listed(holders)).toEqual(['1:foo.act:0x20', '2:foo.act:0x18', '3']);
    expect(registry.releaseAll(act)).toEqual([]);
    expect(shown(registry.activate(other, 'foo.act'))).toBeUndefined();
    expect(shown(registry.release(a, 'foo.act'))).toBe('foo.act 1:0x20 3:0x30 !');
  });

  test('may bear a name that nobody else could acquire', () => {
    const { registry, holders } = bus(1);
    const [act] = holders as [Holder];
    expect(shown(registry.activate(act, 'foo.*'))).toBe('foo.* - 1:0x30');
    expect(registry.releaseAll(act).map(shown)).toEqual(['foo.* 1:0x30 -']);
  });
});

describe('NAME_RELEASE', () => {
  test('tells an unknown name from one that is not the caller’s', () => {
    const { registry, holders } = bus(2);
    const [a, b] = holders as [Holder, Holder];
    registry.acquire(a, 'foo.bar', 0, true);
    expect(registry.release(b, 'foo')).toBe(Errno.ESRCH);
    expect(registry.release(b, 'foo.baz')).toBe(Errno.ESRCH);
    expect(registry.release(b, 'foo.bar')).toBe(Errno.EADDRINUSE);
    expect(shown(registry.release(a, 'foo.bar'))).toBe('foo.bar 1:0x20 -');
    expect(registry.release(a, 'foo.bar')).toBe(Errno.ESRCH);
  });

  test('of a name that comes again is told from the first time', () => {
    const { registry, holders } = bus(1);
    const [a] = holders as [Holder];
    const name = registry.acquire(a, 'foo.bar', 0, true).change?.name;
    registry.release(a, 'foo.bar');
    expect(registry.acquire(a, 'foo.bar', 0, true).change?.name).not.toBe(name);
  });

  test('of all names is in the order they were claimed', () => {
    const { registry, holders } = bus(2);
    const [a, b] = holders as [Holder, Holder];
    registry.acquire(b, 'foo.two', ALLOW_REPLACEMENT | QUEUE, true);
    for (const text of ['foo.one', 'foo.two', 'foo.three']) registry.acquire(a, text, QUEUE, true);
    registry.acquire(a, 'foo.two', REPLACE_EXISTING, true);
    registry.acquire(b, 'foo.one', QUEUE, true);
    registry.acquire(a, 'foo.one', ALLOW_REPLACEMENT, true);
    expect(registry.releaseAll(a).map(shown)).toEqual([
      'foo.one 1:0x22 2:0x24',
      'foo.two 1:0x20 2:0x26',
      'foo.three 1:0x24 -',
    ]);
    expect(a.claims.size).toBe(0);
  });
});

describe('LIST', () => {
  test('tells of each class of names what is asked for', () => {
    const { registry, holders } = bus(4);
    const [a, b, act, monitor] = [...holders.slice(0, 3), new Holder(9, true)] as [Holder, Holder, Holder, Holder];
    const all = [a, b, act, monitor];
    registry.activate(act, 'foo.act');
    registry.acquire(a, 'foo.a', 0, true);
    registry.acquire(a, 'foo.b', 0, true);
    registry.acquire(b, 'foo.a', QUEUE, true);
    const { UNIQUE, NAMES, ACTIVATORS, QUEUED } = ListFlag;
    expect(listed(all, 0)).toEqual([]);
    expect(listed(all, UNIQUE)).toEqual(['1', '2', '3']);
    expect(listed(all, NAMES)).toEqual(['1:foo.a:0x20', '1:foo.b:0x20']);
    expect(listed(all, ACTIVATORS)).toEqual(['3:foo.act:0x30']);
    expect(listed(all, QUEUED)).toEqual(['2:foo.a:0xc']);
    expect(listed(all, UNIQUE | NAMES)).toEqual(['1:foo.a:0x20', '1:foo.b:0x20', '2', '3']);
    expect(listed(all, UNIQUE | QUEUED)).toEqual(['1', '2:foo.a:0xc', '3']);
    registry.acquire(b, 'foo.act', 0, true);
    expect(listed(all, NAMES | QUEUED)).toEqual(['1:foo.a:0x20', '1:foo.b:0x20', '2:foo.a:0xc', '2:foo.act:0x20']);
    expect(listed(all, ACTIVATORS)).toEqual(['3:foo.act:0x18']);
  });

  test('shows a connection without names that are hidden only to those who ask for none', () => {
    const { registry, holders } = bus(2);
    const [a] = holders as [Holder, Holder];
    registry.acquire(a, 'foo.a', 0, true);
    registry.acquire(a, 'foo.b', 0, true);
    const seesB = (name: string) => name === 'foo.b';
    const seesNone = () => false;
    const { UNIQUE, NAMES } = ListFlag;
    expect(listed(holders, UNIQUE | NAMES, seesB)).toEqual(['1:foo.b:0x20', '2']);
    expect(listed(holders, UNIQUE | NAMES, seesNone)).toEqual(['2']);
    expect(listed(holders, UNIQUE, seesNone)).toEqual(['1', '2']);
  });
});

describe('what is told of a change', () => {
  test.each([
    [undefined, { id: 7, flags: 0x20 }, ItemType.NAME_ADD],
    [{ id: 7, flags: 0x20 }, undefined, ItemType.NAME_REMOVE],
    [{ id: 7, flags: 0x30 }, { id: 8, flags: 0x24 }, ItemType.NAME_CHANGE],
  ])('from %j to %j', (before, after, type) => {
    const { registry, holders } = bus(1);
    const [a] = holders as [Holder];
    const name = registry.acquire(a, 'foo.bar', 0, true).change?.name;
    if (name === undefined) throw new Error('no name');
    const standing = (one: { id: number; flags: number } | undefined) =>
      one && { holder: new Holder(one.id), flags: one.flags };
    const change = { name, before: standing(before), after: standing(after), movesMessages: false };
    expect(nameNotification(change)).toEqual({
      type,
      name: 'foo.bar',
      before: before ?? { id: 0, flags: 0 },
      after: after ?? { id: 0, flags: 0 },
    });
  });
});

describe('names and their queues', () => {
  /** Who claims a name, in order, and what was saved: all flags of state follow from that. */
  interface NaiveName {
    queue: { readonly id: number; saved: number }[];
    activator: number | undefined;
  }

  /** The contract's table, read off anew at every step. */
  class Naive {
    readonly names = new Map<string, NaiveName>();

    private of(text: string): NaiveName {
      return this.names.get(text) ?? { queue: [], activator: undefined };
    }

    private keep(text: string, name: NaiveName): void {
      this.names.delete(text);
      if (name.queue.length > 0 || name.activator !== undefined) this.names.set(text, name);
    }

    private owner({ queue, activator }: NaiveName): string {
      const [first] = queue;
      if (first !== undefined) return `${first.id}:0x${(first.saved | PRIMARY).toString(16)}`;
      return activator === undefined ? '-' : `${activator}:0x${(ACTIVATOR | PRIMARY).toString(16)}`;
    }

    private change(text: string, old: string, moves: boolean): string | undefined {
      const now = this.owner(this.of(text));
      if (now.split(':')[0] === old.split(':')[0]) return undefined;
      return `${text} ${old} ${now}${moves && old !== '-' && now !== '-' ? ' !' : ''}`;
    }

    acquire(id: number, text: string, flags: number): [Errno, number, string | undefined] {
      const name = this.of(text);
      const saved = flags & (ALLOW_REPLACEMENT | QUEUE);
      const old = this.owner(name);
      const place = name.queue.findIndex((one) => one.id === id);
      const rest = name.queue.filter((one) => one.id !== id);
      const [owner] = name.queue;
      if (owner === undefined || place === 0) {
        this.keep(text, { ...name, queue: [{ id, saved }, ...rest] });
        const isNew = place < 0;
        return [Errno.OK, saved | PRIMARY | (isNew ? ACQUIRED : 0), this.change(text, old, isNew)];
      }
      if (owner.saved & ALLOW_REPLACEMENT && flags & REPLACE_EXISTING) {
        const others = rest.filter((one) => one !== owner || one.saved & QUEUE);
        this.keep(text, { ...name, queue: [{ id, saved }, ...others] });
        return [Errno.OK, saved | PRIMARY | ACQUIRED, this.change(text, old, false)];
      }
      if (flags & QUEUE) {
        if (place < 0) this.keep(text, { ...name, queue: [...rest, { id, saved }] });
        else (name.queue[place] as { saved: number }).saved = saved;
        return [Errno.OK, saved | IN_QUEUE | (place < 0 ? ACQUIRED : 0), undefined];
      }
      if (place < 0) return [Errno.EEXIST, saved, undefined];
      this.keep(text, { ...name, queue: rest });
      return [Errno.OK, saved, undefined];
    }

    activate(id: number, text: string): string | undefined | Errno {
      const name = this.of(text);
      if (name.activator !== undefined) return Errno.EEXIST;
      const old = this.owner(name);
      this.keep(text, { ...name, activator: id });
      return this.change(text, old, false);
    }

    release(id: number, text: string): string | undefined | Errno {
      const name = this.names.get(text);
      if (name === undefined) return Errno.ESRCH;
      const rest = name.queue.filter((one) => one.id !== id);
      if (rest.length === name.queue.length && name.activator !== id) return Errno.EADDRINUSE;
      const old = this.owner(name);
      this.keep(text, { queue: rest, activator: name.activator === id ? undefined : name.activator });
      return this.change(text, old, rest.length === 0);
    }

    claims(): string[] {
      return [...this.names].flatMap(([text, { queue, activator }]) => [
        ...queue.map(({ id, saved }, i) => `${id}:${text}:0x${(saved | (i === 0 ? PRIMARY : IN_QUEUE)).toString(16)}`),
        ...(activator === undefined
          ? []
          : [`${activator}:${text}:0x${(ACTIVATOR | (queue.length === 0 ? PRIMARY : IN_QUEUE)).toString(16)}`]),
      ]);
    }
  }

  const TEXTS = ['a.a', 'a.b', 'a.c'];
  const ACTIVATORS = 2;
  const text = fc.constantFrom(...TEXTS);
  const step = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({ do: fc.constant('acquire' as const), who: fc.nat(3), text, flags: fc.nat(7) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), who: fc.nat(3), text }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('activate' as const), who: fc.nat(ACTIVATORS - 1), text }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), who: fc.nat(3 + ACTIVATORS) }) },
  );

  test('follow the contract step by step', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { registry, holders } = bus(4 + ACTIVATORS);
        const naive = new Naive();
        for (const action of steps) {
          if (action.do === 'acquire') {
            const holder = holders[action.who] as Holder;
            const { error, flags, change } = registry.acquire(holder, action.text, action.flags, true);
            expect([error, flags, shown(change)]).toEqual(naive.acquire(holder.id, action.text, action.flags));
          } else if (action.do === 'release') {
            const holder = holders[action.who] as Holder;
            expect(shown(registry.release(holder, action.text))).toBe(naive.release(holder.id, action.text));
          } else if (action.do === 'activate') {
            const holder = holders[4 + action.who] as Holder;
            if (holder.claims.size > 0) continue;
            expect(shown(registry.activate(holder, action.text))).toBe(naive.activate(holder.id, action.text));
          } else {
            const holder = holders[action.who] as Holder;
            const names = [...holder.claims.keys()];
            const expected = names.flatMap((one) => naive.release(holder.id, one) ?? []);
            expect(registry.releaseAll(holder).map(shown)).toEqual(expected);
          }
          expect(listed(holders, ListFlag.NAMES | ListFlag.ACTIVATORS | ListFlag.QUEUED).sort()).toEqual(
            naive.claims().sort(),
          );
          expect(registry.size).toBe(naive.names.size);
        }
        for (const holder of holders) registry.releaseAll(holder);
        expect(registry.size).toBe(0);
        for (const holder of holders) expect(holder.claims.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
