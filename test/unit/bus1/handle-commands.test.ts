import { beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Command } from '../../../src/bus1/bus1-abi.js';
import type { HandleId } from '../../../src/bus1/model/handle-id.js';
import { Suspension } from '../../../src/device.js';
import { BAD_ADDRESS, Client, type Connection, INVALID, thrownBy, World } from '../../support/client.js';
import { FakeFile } from '../../support/kernel.js';

const LIMIT = 50;
const RELEASE_HANDLES = 1;
const UNKNOWN_ID = 0xdead_0003;

let world: World;
let client: Client;
let a: Connection;
let b: Connection;

beforeEach(() => {
  world = new World({ handles: LIMIT });
  client = new Client();
  a = world.open(client);
  b = world.open(client);
  client.files.set(b.fd, b.file);
});

const handlesOf = (...connections: readonly Connection[]): number[] =>
  connections.map(({ file }) => file.status().used.handles);
const next = (connection: Connection): { readonly type: number; readonly destination: HandleId } | Errno => {
  const message = connection.receive();
  return typeof message === 'number' ? message : { type: message.type, destination: message.destination };
};

describe('HANDLE_TRANSFER', () => {
  const error = (errno: Errno) => ({ error: errno });

  test('gives the receiver a reference, by an id of its own', () => {
    expect([a.transfer(8, b.fd), a.transfer(8, b.fd), a.transfer(16, b.fd)]).toEqual([11, 11, 19]);
    expect(handlesOf(a, b)).toEqual([2, 3]);
  });

  test('to itself gives the id it has', () => {
    expect([a.transfer(8, INVALID), a.transfer(8, a.fd)]).toEqual([8, 8]);
    const theirs = b.give(8, a);
    expect(a.transfer(theirs, INVALID)).toBe(theirs);
  });

  test('back to the owner gives the id of the node', () => {
    expect(b.transfer(a.give(8, b), a.fd)).toBe(8);
  });

  test('only the low half of a descriptor counts, unless it is all ones', () => {
    expect(a.transfer(8, BigInt(b.fd) + (5n << 32n))).toBe(11);
  });

  test('every id there is can be a node', () => {
    for (const id of [0, 4, 2 ** 53 - 4, 2n ** 53n, 2n ** 64n - 4n]) expect(a.transfer(id, INVALID)).toBe(id);
    for (const id of [1, 2, 3, 2n ** 64n - 2n, UNKNOWN_ID]) expect(a.transfer(id, INVALID)).toEqual(error(Errno.ENXIO));
  });

  test('looks at flags, at the descriptor, at the receiver, and at the handle, in this order', () => {
    expect(a.transfer(UNKNOWN_ID, -1n & INVALID, 1)).toEqual(error(Errno.EINVAL));
    expect(a.transfer(8, 99n + (1n << 32n), 2 ** 40)).toEqual(error(Errno.EINVAL));
    expect(a.transfer(UNKNOWN_ID, 0xffff_fffe)).toEqual(error(Errno.EBADF));
    expect(a.transfer(UNKNOWN_ID, 99)).toEqual(error(Errno.EOPNOTSUPP));
    b.u64(Command.PEER_DISCONNECT, 0);
    expect(a.transfer(UNKNOWN_ID, b.fd)).toEqual(error(Errno.ESHUTDOWN));
    expect(a.transfer(UNKNOWN_ID, a.fd)).toEqual(error(Errno.ENXIO));
    expect(handlesOf(a)).toEqual([0]);
  });

  test('to a file of ours of another kind is EOPNOTSUPP', () => {
    client.files.set(55, new FakeFile());
    expect(a.transfer(8, 55)).toEqual(error(Errno.EOPNOTSUPP));
  });

  test('of a destroyed node gives no handle, and looks at no quota', () => {
    a.give(8, a);
    a.destroy([8]);
    b.reset({ flags: 0, max_handles: 0 });
    expect(a.transfer(8, b.fd)).toBe(INVALID);
    expect(handlesOf(b)).toEqual([0]);
  });

  test('is charged to the receiver, and for a new node to the caller', () => {
    b.reset({ flags: 0, max_handles: 1 });
    expect(a.transfer(8, b.fd)).toBe(11);
    expect(a.transfer(16, b.fd)).toEqual(error(Errno.EDQUOT));
    expect(handlesOf(a, b)).toEqual([1, 1]);
    a.reset({ flags: 0, max_handles: 1 });
    b.reset({ flags: 0, max_handles: 10 });
    expect(a.transfer(16, b.fd)).toEqual(error(Errno.EDQUOT));
    expect(a.transfer(8, b.fd)).toBe(11);
    expect(handlesOf(a, b)).toEqual([1, 2]);
    // the node that could not be made is not there
    expect(a.u64(Command.HANDLE_RELEASE, 16)).toBe(Errno.EBUSY);
    expect(a.destroy([8])).toBe(Errno.OK);
  });

  test('a new node to oneself takes two', () => {
    a.reset({ flags: 0, max_handles: 1 });
    expect(a.transfer(8, INVALID)).toEqual(error(Errno.EDQUOT));
    a.reset({ flags: 0, max_handles: 2 });
    expect(a.transfer(8, INVALID)).toBe(8);
  });
});

describe('HANDLE_RELEASE', () => {
  test('drops one reference, and the last one tells the owner', () => {
    const handle = a.give(8, b);
    a.give(8, b);
    expect(b.u64(Command.HANDLE_RELEASE, handle)).toBe(Errno.OK);
    expect(next(a)).toBe(Errno.EAGAIN);
    expect(b.u64(Command.HANDLE_RELEASE, handle)).toBe(Errno.OK);
    expect(next(a)).toEqual({ type: 3, destination: 8 });
    expect(b.u64(Command.HANDLE_RELEASE, handle)).toBe(Errno.ENXIO);
    expect(a.give(8, b)).toBe(19);
  });

  test("the owner's last reference of a live node stays, and what is no handle is none", () => {
    a.give(8, b);
    expect(a.u64(Command.HANDLE_RELEASE, 8)).toBe(Errno.EBUSY);
    expect(a.u64(Command.HANDLE_RELEASE, 16)).toBe(Errno.EBUSY);
    expect(a.u64(Command.HANDLE_RELEASE, 17)).toBe(Errno.ENXIO);
    a.transfer(8, INVALID);
    expect([1, 2].map(() => a.u64(Command.HANDLE_RELEASE, 8))).toEqual([Errno.OK, Errno.EBUSY]);
    a.destroy([8]);
    expect([1, 2].map(() => a.u64(Command.HANDLE_RELEASE, 8))).toEqual([Errno.OK, Errno.EBUSY]);
  });
});

describe('NODES_DESTROY', () => {
  const array = (ids: readonly HandleId[], count: number) => ({ address: client.putIds(ids), count });

  test('tells the owner and every holder, in one transaction', () => {
    const [x, y] = [a.give(8, b), a.give(16, b)];
    expect(a.destroy([16, 8])).toBe(Errno.OK);
    expect([next(b), next(b)]).toEqual([
      { type: 2, destination: y },
      { type: 2, destination: x },
    ]);
    expect([next(a), next(a), next(a)]).toEqual([
      { type: 2, destination: 16 },
      { type: 2, destination: 8 },
      Errno.EAGAIN,
    ]);
  });

  test('can release the handles in one go', () => {
    a.give(8, b);
    expect(a.destroy([8], RELEASE_HANDLES)).toBe(Errno.OK);
    expect(next(a)).toBe(Errno.EAGAIN);
    expect(handlesOf(a)).toEqual([0]);
  });

  test('a new node is made and destroyed in one go, and must fit all the same', () => {
    expect(a.destroy([8, 16], RELEASE_HANDLES)).toBe(Errno.OK);
    expect(handlesOf(a)).toEqual([0]);
    a.reset({ flags: 0, max_handles: 1 });
    expect(a.destroy([24, 32], RELEASE_HANDLES)).toBe(Errno.EDQUOT);
    expect(a.destroy([24], RELEASE_HANDLES)).toBe(Errno.OK);
  });

  test('of nothing succeeds, whatever the pointer', () => {
    expect(a.destroy({ address: BAD_ADDRESS, count: 0 })).toBe(Errno.OK);
  });

  test('looks at flags, at the number, at the array, and at each id', () => {
    const many = { address: BAD_ADDRESS, count: LIMIT + 1 };
    expect(a.destroy(many, 2)).toBe(Errno.EINVAL);
    expect(a.destroy(many, 2 ** 32 + 1)).toBe(Errno.EINVAL);
    expect(a.destroy(many)).toBe(Errno.EINVAL);
    expect(a.destroy({ address: BAD_ADDRESS, count: 2 ** 61 })).toBe(Errno.EINVAL);
    expect(a.destroy({ address: BAD_ADDRESS, count: LIMIT })).toBe(Errno.EFAULT);
    expect(a.destroy(array([UNKNOWN_ID], 2))).toBe(Errno.EFAULT);
    const theirs = b.give(8, a);
    a.transfer(8, INVALID);
    a.destroy([8]);
    const cases: readonly (readonly [readonly HandleId[], Errno])[] = [
      [[16, UNKNOWN_ID], Errno.ENXIO],
      [[16, 16], Errno.ENOTUNIQ],
      [[16, theirs], Errno.EREMOTE],
      [[16, 8], Errno.ESTALE],
      // the first id that is wrong says how
      [[theirs, UNKNOWN_ID], Errno.EREMOTE],
      [[8, theirs, theirs], Errno.ESTALE],
      [[UNKNOWN_ID, 8], Errno.ENXIO],
    ];
    for (const [ids, errno] of cases) {
      const before = a.file.status();
      expect(a.destroy(ids)).toBe(errno);
      expect(a.file.status()).toEqual(before);
    }
    expect(a.destroy([16])).toBe(Errno.OK);
  });

  test('a duplicate is found before what is wrong with it otherwise', () => {
    const theirs = b.give(8, a);
    expect(a.destroy([theirs, theirs])).toBe(Errno.EREMOTE);
    expect(a.destroy([16, 16, theirs])).toBe(Errno.ENOTUNIQ);
  });

  test('as many as there may be', () => {
    const ids = Array.from({ length: LIMIT }, (_, i) => i * 8);
    expect(a.destroy(ids, RELEASE_HANDLES)).toBe(Errno.OK);
    expect(a.destroy([...ids, LIMIT * 8], RELEASE_HANDLES)).toBe(Errno.EINVAL);
  });

  test('that is suspended has done nothing', () => {
    const suspension = new Suspension();
    client.throws.read = suspension;
    expect(thrownBy(() => a.destroy([8]))).toBe(suspension);
    expect([a.file.status().nodes, handlesOf(a)]).toEqual([0, [0]]);
  });

  test('withdraws a release that was not told yet', () => {
    const handle = a.give(8, b);
    b.u64(Command.HANDLE_RELEASE, handle);
    a.destroy([8]);
    expect([next(a), next(a)]).toEqual([{ type: 2, destination: 8 }, Errno.EAGAIN]);
  });
});
