import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { POOL_SIZE, Pool } from '../../../../src/bus/pool.js';
import { Bus } from '../../../../src/bus1/model/bus.js';
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
