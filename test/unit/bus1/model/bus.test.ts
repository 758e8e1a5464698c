import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { POOL_SIZE, Pool } from '../../../../src/bus/pool.js';
import type { Quota, Quotas } from '../../../../src/bus/quota.js';
import type { Slice } from '../../../../src/bus/slice.js';
import { Bus } from '../../../../src/bus1/model/bus.js';
import type { HandleId } from '../../../../src/bus1/model/handle-id.js';
import { MessageType } from '../../../../src/bus1/model/message.js';
import type { Handle, Node } from '../../../../src/bus1/model/node.js';
import type { Peer } from '../../../../src/bus1/model/peer.js';
import { SendTransaction } from '../../../../src/bus1/model/send.js';
import type { Identity } from '../../../../src/device.js';
import { budgets, LIMITS } from '../../../support/budgets.js';

const CREDENTIALS = { uid: 0, gid: 0, pid: 1, tid: 1 };
const SENDER: Identity = { credentials: CREDENTIALS, seenFrom: () => CREDENTIALS };
const MEMORY = { address: 0, write: () => true, discard: () => {}, retain: () => {}, release: () => {} };
const PAGE_SIZE = 4096;
const OWN_IDS = [0, 8, 16, 24];

const usedOf = ({ slices, handles, inflightBytes, inflightFds }: Quotas): number[] =>
  [slices, handles, inflightBytes, inflightFds].map(({ used }) => used);

/** What senders of other users take of a quota, by their uid. */
const foreignOf = (quota: Quota): Map<number, number> =>
  new Map(Reflect.get(quota, 'foreign') as Map<number, number> | undefined);

/** A bus whose peers, of which those of user 0 share a pool, remember what they own and receive, to check invariants against. */
class World {
  readonly budgets = budgets({ handles: 100 });
  readonly bus = new Bus(
    { ...LIMITS, handles: 60, slices: 30, inflightBytes: 4000, heldBytes: 40 * 4096 },
    this.budgets,
  );
  readonly peers: Peer[] = [];
  wakes = 0;
  private readonly sharedPool = new Pool(MEMORY);

  constructor(count: number) {
    for (let i = 0; i < count; i++) this.open(i % 2);
  }

  open(uid: number): void {
    this.peers.push(this.bus.addPeer(uid, uid === 0 ? this.sharedPool : new Pool(MEMORY), () => this.wakes++));
  }

  peer(i: number): Peer {
    return this.peers[i % this.peers.length] as Peer;
  }

  send(from: Peer, to: readonly HandleId[], carried: readonly HandleId[], size: number, seed = false): Errno {
    const transaction = new SendTransaction(from, size, { securityContext: () => undefined });
    let error: Errno = Errno.OK;
    for (const id of carried) error ||= transaction.carry(id);
    if (error === Errno.OK) {
      transaction.attach(undefined);
      if (seed) error = transaction.addressSeed();
      else for (const id of to) error ||= transaction.address(id);
      error ||= transaction.checkOwnNodes();
    }
    if (error === Errno.OK) transaction.commit(SENDER);
    else transaction.abort();
    return error;
  }

  receive(
    peer: Peer,
    peek = false,
  ): 'empty' | 'quota' | { type: number; destination: HandleId | undefined; sequence: number } {
    const message = peer.inbox.next();
    if (message === undefined) return 'empty';
    const { type, destination, sequence } = message;
    if (peek) {
      if (!peer.inbox.canPeek(message)) return 'quota';
      peer.inbox.peek(message);
    } else peer.inbox.take(message);
    return { type, destination: destination?.id, sequence };
  }
}

describe('Bus', () => {
  test('a message reaches the owner of the node, once, and wakes it', () => {
    const world = new World(2);
    const [a, b] = world.peers as [Peer, Peer];
    expect(b.transferHandle(8, a)).toMatchObject({ id: 11 });
    expect(world.send(a, [11], [], 5)).toBe(Errno.OK);
    expect(world.send(a, [11], [], 5)).toBe(Errno.OK);
    expect(world.wakes).toBe(1);
    for (let i = 0; i < 2; i++) expect(world.receive(b)).toMatchObject({ type: MessageType.DATA, destination: 8 });
    expect(world.receive(b)).toBe('empty');
  });

  type Step =
    | { readonly do: 'transfer'; readonly peer: number; readonly id: number; readonly to: number }
    | { readonly do: 'release'; readonly peer: number; readonly id: number }
    | { readonly do: 'destroy'; readonly peer: number; readonly ids: readonly number[]; readonly flag: boolean }
    | {
        readonly do: 'send';
        readonly peer: number;
        readonly to: readonly number[];
        readonly carry: readonly number[];
        readonly seed: boolean;
      }
    | { readonly do: 'receive' | 'peek' | 'slice' | 'flush' | 'keep'; readonly peer: number; readonly id: number };

  const peer = fc.nat({ max: 3 });
  const id = fc.oneof(
    fc.constantFrom(...OWN_IDS),
    fc.integer({ min: 1, max: 6 }).chain((n) => fc.constantFrom(n * 8 + 1, n * 8 + 3)),
  );
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('transfer' as const), peer, id, to: peer }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), peer, id }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('destroy' as const),
        peer,
        ids: fc.array(id, { maxLength: 3 }),
        flag: fc.boolean(),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('send' as const),
        peer,
        to: fc.array(id, { maxLength: 3 }),
        carry: fc.array(id, { maxLength: 3 }),
        seed: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      }),
    },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('receive' as const), peer, id }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('peek' as const, 'slice' as const), peer, id }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('flush' as const, 'keep' as const), peer, id }) },
  );

  function perform(world: World, action: Step): void {
    const actor = world.peer(action.peer);
    switch (action.do) {
      case 'transfer':
        actor.transferHandle(action.id, world.peer(action.to));
        break;
      case 'release':
        actor.releaseHandle(action.id);
        break;
      case 'destroy':
        actor.destroyNodes(action.ids, action.flag);
        break;
      case 'send':
        world.send(actor, action.seed ? [] : action.to, action.carry, action.carry.length * 40, action.seed);
        break;
      case 'receive':
        world.receive(actor);
        break;
      case 'peek':
        world.receive(actor, true);
        break;
      case 'slice':
        actor.slices.release(action.id - (action.id % 8));
        break;
      case 'flush':
      case 'keep':
        actor.flush(action.do === 'keep');
    }
  }

  const isKnown = (handle: Handle | undefined): boolean =>
    handle !== undefined && (handle.userReferences > 0 || handle.carried > 0);

  /** Counts everything again, the slow way. */
  function checkInvariants(world: World): void {
    const strong = new Map<Node, number>();
    const shared: Slice[] = [];
    const totals = { handles: 0, slices: 0, pages: 0 };
    const add = (node: Node, n: number): void => void strong.set(node, (strong.get(node) ?? 0) + n);
    for (const each of world.peers) {
      let handleCharge = 0;
      let bytes = 0;
      let deliverable = 0;
      const senders = { slices: new Map<number, number>(), handles: new Map<number, number>() };
      const count = (of: keyof typeof senders, uid: number, n: number): void => {
        if (uid !== each.user.uid && n > 0) senders[of].set(uid, (senders[of].get(uid) ?? 0) + n);
      };
      const slices = new Set<Slice>();
      for (const handle of each.visibleHandles()) {
        handleCharge += handle.userReferences;
        const foreign = Reflect.get(handle, 'foreign') as Map<number, number> | undefined;
        for (const [uid, n] of foreign ?? []) count('handles', uid, n);
        add(handle.node, handle.userReferences - (handle.isOwner && handle.node.isLive ? 1 : 0));
        expect(handle.node.handleOf(each)).toBe(handle);
      }
      let last = 0;
      for (let message = each.inbox.head; message !== undefined; message = message.next) {
        expect(message.sequence).toBeGreaterThanOrEqual(last);
        last = message.sequence;
        if (message.destination?.isVisible && !message.isLate) deliverable++;
        // what can never be delivered takes no memory, unless somebody pays for it
        if (message.cargo === undefined) expect(isKnown(message.destination)).toBe(true);
        if (message.cargo === undefined) continue;
        bytes += message.cargo.slice.size;
        slices.add(message.cargo.slice);
        handleCharge += message.cargo.handles.length;
        count('handles', message.cargo.senderUid, message.cargo.handles.length);
        for (const handle of message.cargo.handles) add(handle.node, 1);
      }
      const seed = each.inbox.seed?.cargo;
      if (seed !== undefined) {
        slices.add(seed.slice);
        handleCharge += seed.handles.length;
        for (const handle of seed.handles) add(handle.node, 1);
      }
      for (const slice of each.slices.exposedSlices()) slices.add(slice);
      expect(each.inbox.deliverable).toBe(deliverable);
      expect(each.inbox.isReadable).toBe(deliverable > 0);
      expect(each.quotas.handles.used).toBe(handleCharge);
      expect(each.quotas.inflightBytes.used).toBe(bytes);
      expect(each.quotas.slices.used).toBe(slices.size);
      for (const slice of slices) count('slices', slice.sender, 1);
      expect(foreignOf(each.quotas.slices)).toEqual(senders.slices);
      expect(foreignOf(each.quotas.handles)).toEqual(senders.handles);
      const { quotas } = each.user;
      for (const quota of [quotas.slices, quotas.handles, quotas.inflightBytes]) {
        for (const [, held] of foreignOf(quota)) expect(held).toBeLessThanOrEqual(quota.max / 2);
      }
      expect(each.slices.bytes).toBe([...slices].reduce((sum, { size }) => sum + size, 0));
      if (each.user.uid === 0) shared.push(...slices);
      totals.handles += handleCharge;
      totals.slices += slices.size;
      for (const { offset, end } of slices) {
        totals.pages += Math.ceil(end / PAGE_SIZE) - Math.floor(offset / PAGE_SIZE);
      }
    }
    expect(world.budgets.handles.used).toBe(totals.handles);
    expect(world.budgets.slices.used).toBe(totals.slices);
    expect(world.budgets.heldBytes.used).toBe(totals.pages * PAGE_SIZE);
    expect(world.budgets.peers.used).toBe(world.peers.length);
    shared.sort((a, b) => a.offset - b.offset);
    for (const [i, slice] of shared.entries()) expect(slice.offset).toBeGreaterThanOrEqual(shared[i - 1]?.end ?? 0);
    for (const [node, count] of strong) {
      expect(node.strong).toBe(count);
      // a release is announced exactly while a live node that had references has none
      if (node.isLive && count > 0) expect(node.releaseNotification).toBeUndefined();
      if (!node.isLive) expect(node.releaseNotification).toBeUndefined();
    }
  }

  test('references, order, quotas and readability add up after every step', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const world = new World(4);
        for (const action of steps) {
          perform(world, action);
          checkInvariants(world);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('everything is returned when everybody leaves', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const world = new World(4);
        for (const action of steps) perform(world, action);
        for (const each of world.peers) world.bus.removePeer(each);
        for (const each of world.peers) {
          for (const quotas of [each.quotas, each.user.quotas]) {
            const used = [quotas.slices, quotas.handles, quotas.inflightBytes, quotas.inflightFds].map(
              ({ used: n }) => n,
            );
            expect(used).toEqual([0, 0, 0, 0]);
          }
          expect(each.inbox.length).toBe(0);
          expect(each.slices.bytes).toBe(0);
          for (const quota of [
            each.quotas.slices,
            each.user.quotas.slices,
            each.quotas.handles,
            each.user.quotas.handles,
          ]) {
            expect(foreignOf(quota).size).toBe(0);
          }
          for (const quota of [each.user.peers, each.user.heldBytes]) expect(quota.used).toBe(0);
        }
        const { peers, slices, handles, heldBytes } = world.budgets;
        expect([peers, slices, handles, heldBytes].map(({ used }) => used)).toEqual([0, 0, 0, 0]);
      }),
      { numRuns: 300 },
    );
  });

  test('every release of the last reference is announced once, and only then', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.nat({ max: 2 }), { maxLength: 60 }),
        (count, choices) => {
          const world = new World(3);
          const [owner, a, b] = world.peers as [Peer, Peer, Peer];
          const references = new Map([
            [a, 0],
            [b, 0],
          ]);
          let expected = false;
          for (const choice of [...Array<number>(count).fill(0), ...choices]) {
            const holder = choice === 2 ? b : a;
            const held = references.get(holder) ?? 0;
            if (choice === 1) {
              if (held === 0) continue;
              const [handle] = [...holder.visibleHandles()];
              expect(holder.releaseHandle(handle?.id ?? 0)).toBe(Errno.OK);
              references.set(holder, held - 1);
              expected = [...references.values()].every((n) => n === 0);
            } else {
              owner.transferHandle(8, holder);
              references.set(holder, held + 1);
              expected = false;
            }
            expect(owner.inbox.isReadable).toBe(expected);
            if (expected) {
              expect(world.receive(owner)).toMatchObject({ type: MessageType.NODE_RELEASE, destination: 8 });
              expect(world.receive(owner)).toBe('empty');
              expected = false;
            }
          }
        },
      ),
    );
  });

  test('all peers see the transactions in one order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const world = new World(4);
        const seen = new Map<Peer, number>();
        for (const action of steps) {
          if (action.do === 'receive') {
            const receiver = world.peer(action.peer);
            const message = world.receive(receiver);
            if (typeof message !== 'object') continue;
            expect(message.sequence).toBeGreaterThanOrEqual(seen.get(receiver) ?? 0);
            seen.set(receiver, message.sequence);
          } else {
            perform(world, action);
          }
        }
      }),
    );
  });

  test('a failed send leaves everything as it was', () => {
    const world = new World(2);
    const [a, b] = world.peers as [Peer, Peer];
    b.transferHandle(8, a);
    const before = [a, b].map((each) => usedOf(each.quotas));
    expect(world.send(a, [11, 0xdead0003], [16, 24], 100)).toBe(Errno.ENXIO);
    expect(world.send(a, [11], [16, 24], POOL_SIZE)).toBe(Errno.EMSGSIZE);
    expect(world.send(a, [11], [16, 24], 4001)).toBe(Errno.EDQUOT);
    expect([a, b].map((each) => usedOf(each.quotas))).toEqual(before);
    expect(a.handle(16)).toBeUndefined();
    expect(b.slices.bytes).toBe(0);
  });

  test('a user is kept while it has peers', () => {
    const { bus } = new World(0);
    const add = () => bus.addPeer(1, new Pool(MEMORY), () => {});
    const [a, b] = [add(), add()];
    expect(b.user).toBe(a.user);
    bus.removePeer(a);
    expect(add().user).toBe(a.user);
    bus.removePeer(b);
    expect(add().user).toBe(a.user);
  });

  test('and forgotten when the last one goes', () => {
    const { bus } = new World(0);
    const first = bus.addPeer(1, new Pool(MEMORY), () => {});
    bus.removePeer(first);
    expect(bus.addPeer(1, new Pool(MEMORY), () => {}).user).not.toBe(first.user);
  });
});
