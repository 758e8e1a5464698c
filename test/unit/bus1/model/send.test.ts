import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { POOL_SIZE, Pool } from '../../../../src/bus/pool.js';
import type { UserLimits } from '../../../../src/bus/quota.js';
import { Bus } from '../../../../src/bus1/model/bus.js';
import type { Handle } from '../../../../src/bus1/model/node.js';
import type { Peer } from '../../../../src/bus1/model/peer.js';
import { SendTransaction } from '../../../../src/bus1/model/send.js';
import { sliceLayout } from '../../../../src/bus1/model/slice-layout.js';
import { budgets, LIMITS } from '../../../support/budgets.js';

const CREDENTIALS = { uid: 0, gid: 0, pid: 1, tid: 1 };
const SENDER = { credentials: CREDENTIALS, seenFrom: () => CREDENTIALS };
const MEMORY = { address: 0, write: () => true, discard: () => {}, retain: () => {}, release: () => {} };

describe('sliceLayout', () => {
  test.each([
    [[0, 0, 0, 0], { handles: 0, secctx: 0, size: 8 }],
    [[1, 0, 0, 0], { handles: 8, secctx: 8, size: 8 }],
    [[5, 2, 1, 0], { handles: 8, secctx: 32, size: 32 }],
    [[5, 2, 3, 9], { handles: 8, secctx: 40, size: 56 }],
  ] as const)('%j', ([nBytes, nHandles, nFds, nSecctx], layout) => {
    expect(sliceLayout(nBytes, nHandles, nFds, nSecctx)).toMatchObject(layout);
  });
});

describe('SendTransaction', () => {
  test('a slice may be as large as the pool', () => {
    const bus = new Bus({ ...LIMITS, inflightBytes: 2 ** 31 - 1 }, budgets());
    const peer = bus.addPeer(0, new Pool(MEMORY), () => {});
    const results = [POOL_SIZE, POOL_SIZE + 1, POOL_SIZE - 7].map((nBytes) => {
      const transaction = new SendTransaction(peer, nBytes, { securityContext: () => undefined });
      transaction.attach(undefined);
      const result = transaction.address(8);
      transaction.abort();
      return result;
    });
    expect(results).toEqual([Errno.OK, Errno.EMSGSIZE, Errno.OK]);
  });

  test("another user's messages take a share of what the receiver's user has in flight", () => {
    const bus = new Bus({ ...LIMITS, inflightBytes: 800 }, budgets());
    const [own, stranger, other] = [0, 1, 2].map((uid) => bus.addPeer(uid, new Pool(MEMORY), () => {}));
    if (!own || !stranger || !other) throw new Error('no peers');
    const send = (from: Peer, nBytes: number): Errno => {
      const handle = own.transferHandle(8, from);
      if (typeof handle !== 'object') throw new Error('no handle');
      const transaction = new SendTransaction(from, nBytes, { securityContext: () => undefined });
      transaction.attach(undefined);
      const result = transaction.address(handle.id);
      if (result === Errno.OK) transaction.commit(SENDER);
      else transaction.abort();
      return result;
    };
    expect([send(stranger, 304), send(stranger, 104), send(stranger, 96)]).toEqual([Errno.OK, Errno.EDQUOT, Errno.OK]);
    expect([send(other, 208), send(other, 200), send(own, 208), send(own, 200)]).toEqual([
      Errno.EDQUOT,
      Errno.OK,
      Errno.EDQUOT,
      Errno.OK,
    ]);
    // what is received, or dropped, is not held any more
    const message = own.inbox.next();
    if (message === undefined) throw new Error('no message');
    own.inbox.take(message);
    expect([send(stranger, 208), send(stranger, 104)]).toEqual([Errno.EDQUOT, Errno.OK]);
    own.flush(false);
    expect([own, stranger, other].map(({ user }) => user.quotas.inflightBytes.used)).toEqual([0, 0, 0]);
  });

  describe('takes a share of slices and handles of another user', () => {
    const world = (limits: Partial<UserLimits>) => {
      const bus = new Bus({ ...LIMITS, ...limits }, budgets());
      const [own, stranger, other] = [0, 1, 2].map((uid) => bus.addPeer(uid, new Pool(MEMORY), () => {}));
      if (!own || !stranger || !other) throw new Error('no peers');
      const idFor = (from: Peer) => {
        const handle = own.transferHandle(8, from);
        if (typeof handle !== 'object') throw new Error('no handle');
        return handle.id;
      };
      const ids = new Map([stranger, other].map((from) => [from, idFor(from)]));
      const send = (from: Peer, carried: readonly number[] = []): Errno => {
        const transaction = new SendTransaction(from, 8, { securityContext: () => undefined });
        for (const id of carried) transaction.carry(id);
        transaction.attach(undefined);
        const result = transaction.address(ids.get(from) ?? 8);
        if (result === Errno.OK) transaction.commit(SENDER);
        else transaction.abort();
        return result;
      };
      const receive = () => {
        const message = own.inbox.next();
        if (message === undefined) throw new Error('no message');
        own.inbox.take(message);
        return message.cargo;
      };
      return { bus, own, stranger, other, send, receive };
    };

    test('slices, until they are free', () => {
      const { own, stranger, other, send, receive } = world({ slices: 8 });
      expect([1, 2, 3, 4, 5].map(() => send(stranger))).toEqual([0, 0, 0, 0, Errno.EDQUOT]);
      // receiving alone gives nothing back
      const cargo = receive();
      expect(send(stranger)).toBe(Errno.EDQUOT);
      own.slices.release(cargo?.slice.offset ?? -1);
      expect([send(stranger), send(stranger)]).toEqual([Errno.OK, Errno.EDQUOT]);
      expect([send(other), send(other), send(other), send(own), send(own)]).toEqual([
        Errno.OK,
        Errno.OK,
        Errno.EDQUOT,
        Errno.OK,
        Errno.OK,
      ]);
      own.flush(false);
      const { slices } = own.user.quotas;
      expect([slices.used, slices.fitsFrom(1, 4), slices.fitsFrom(2, 4)]).toEqual([0, true, true]);
    });

    test('handles, until they are released', () => {
      const { own, stranger, other, send, receive } = world({ handles: 101 });
      const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => 8 * (i + 1));
      // the owner's node takes one
      expect([send(stranger, ids(51)), send(stranger, ids(50))]).toEqual([Errno.EDQUOT, Errno.OK]);
      receive();
      expect(send(stranger, ids(1))).toBe(Errno.EDQUOT);
      const [first, second] = [...own.visibleHandles()].filter((handle) => !handle.isOwner);
      own.releaseHandle(first?.id ?? -1);
      own.releaseHandle(second?.id ?? -1);
      expect([send(stranger, ids(2)), send(stranger, ids(1))]).toEqual([Errno.OK, Errno.EDQUOT]);
      expect([send(other, ids(26)), send(other, ids(25))]).toEqual([Errno.EDQUOT, Errno.OK]);
      receive();
      own.flush(false);
      expect(own.user.quotas.handles.used).toBe(0);
      expect(own.user.quotas.handles.fitsFrom(1, 50)).toBe(true);
    });

    test('references that others sent are returned before those of its own', () => {
      const { own, stranger, send, receive } = world({ handles: 11 });
      expect([send(stranger, [16, 16, 16, 16, 16]), send(stranger, [16])]).toEqual([Errno.OK, Errno.EDQUOT]);
      receive();
      const handle = [...own.visibleHandles()].find((each) => !each.isOwner);
      if (handle === undefined) throw new Error('no handle');
      own.transferHandle(handle.id, own);
      for (let i = 0; i < 5; i++) expect(own.releaseHandle(handle.id)).toBe(Errno.OK);
      expect(own.quotas.handles.used).toBe(2);
      expect([send(stranger, [16, 16, 16, 16, 16]), send(stranger, [16])]).toEqual([Errno.EDQUOT, Errno.OK]);
    });

    test('what was sent of nodes that are gone counts no longer than the message waits', () => {
      const { own, stranger, send, receive } = world({ handles: 9 });
      stranger.destroyNodes([16], false);
      expect([send(stranger, [16, 16, 16, 16]), send(stranger, [16])]).toEqual([Errno.OK, Errno.EDQUOT]);
      receive();
      expect(own.quotas.handles.used).toBe(1);
      expect(send(stranger, [16, 16, 16, 16])).toBe(Errno.OK);
    });
  });

  test('one call makes no more handles than one user may have, however many users get them', () => {
    const bus = new Bus({ ...LIMITS, handles: 10 }, budgets());
    const sender = bus.addPeer(0, new Pool(MEMORY), () => {});
    const receivers = [1, 2, 3, 4].map((uid) => bus.addPeer(uid, new Pool(MEMORY), () => {}));
    const ids = receivers.map((each) => each.transferHandle(8, sender)).map((handle) => (handle as Handle).id);
    const transaction = new SendTransaction(sender, 8, { securityContext: () => undefined });
    for (let i = 0; i < 3; i++) transaction.carry(8);
    transaction.attach(undefined);
    expect(ids.map((id) => transaction.address(id))).toEqual([Errno.OK, Errno.OK, Errno.OK, Errno.EDQUOT]);
    transaction.abort();
    expect(receivers.map(({ quotas }) => quotas.handles.used)).toEqual([1, 1, 1, 1]);
  });

  test('what a receiver holds is bounded in whole pages, and given back with its slice', () => {
    const bus = new Bus({ ...LIMITS, heldBytes: 3 * 4096 }, budgets());
    const peer = bus.addPeer(0, new Pool(MEMORY), () => {});
    const send = (nBytes: number, seed = false): Errno => {
      const transaction = new SendTransaction(peer, nBytes, { securityContext: () => undefined });
      transaction.attach(undefined);
      const result = seed ? transaction.addressSeed() : transaction.address(8);
      if (result === Errno.OK) transaction.commit(SENDER);
      else transaction.abort();
      return result;
    };
    expect([send(3 * 4096 + 1), send(4096), send(8), send(1, true), send(8), send(1, true)]).toEqual([
      Errno.EDQUOT,
      Errno.OK,
      Errno.OK,
      Errno.OK,
      Errno.EDQUOT,
      Errno.EDQUOT,
    ]);
    const message = peer.inbox.next();
    if (message?.cargo === undefined) throw new Error('no message');
    peer.inbox.take(message);
    expect([peer.user.heldBytes.used, send(8)]).toEqual([3 * 4096, Errno.EDQUOT]);
    peer.slices.release(message.cargo.slice.offset);
    expect([peer.user.heldBytes.used, send(8)]).toEqual([2 * 4096, Errno.OK]);
    bus.removePeer(peer);
    expect(peer.user.heldBytes.used).toBe(0);
  });

  test('reads the security context once, and only for receivers that want it', () => {
    const bus = new Bus(LIMITS, budgets());
    const [sender, a, b, c] = [0, 1, 2, 3].map(() => bus.addPeer(0, new Pool(MEMORY), () => {}));
    if (!sender || !a || !b || !c) throw new Error('no peers');
    a.wantsSecctx = true;
    c.wantsSecctx = true;
    let reads = 0;
    const transaction = new SendTransaction(sender, 3, {
      securityContext: () => {
        reads++;
        return Buffer.from('system_u');
      },
    });
    transaction.attach(undefined);
    for (const peer of [a, b, c]) {
      const handle = peer.transferHandle(8, sender);
      if (typeof handle !== 'object') throw new Error('no handle');
      expect(transaction.address(handle.id)).toBe(Errno.OK);
    }
    expect(reads).toBe(1);
    expect(transaction.deliveries.map(({ secctx, slice }) => [secctx?.length, slice.size])).toEqual([
      [8, 16],
      [undefined, 8],
      [8, 16],
    ]);
    transaction.commit(SENDER);
    expect([a, b, c].map((peer) => peer.inbox.next()?.cargo?.layout.nSecctx)).toEqual([8, 0, 8]);
  });
});
