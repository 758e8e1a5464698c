import { beforeEach, describe, expect, test } from 'vitest';
import type { Bytes } from '../../../src/base/bytes.js';
import { Errno } from '../../../src/base/errno.js';
import { Command, PeerReset, SendFlag } from '../../../src/bus1/bus1-abi.js';
import { Poll } from '../../../src/device.js';
import { Client, type Connection, INVALID, World } from '../../support/client.js';

const [FLUSH, FLUSH_SEED] = [1, 2];
const INT_MAX = 0x7fff_ffff;
const IDLE = Poll.OUT | Poll.WRNORM;
const RECV_SEED = 2;

let world: World;
let client: Client;
let a: Connection;
let b: Connection;

beforeEach(() => {
  world = new World({ slices: 11, handles: 22, inflightBytes: 333, inflightFds: 44 });
  client = new Client();
  a = world.open(client);
  b = world.open(client);
});

const limitsOf = (bytes: Errno | Bytes): number[] => {
  if (typeof bytes === 'number') throw new Error(`errno ${bytes}`);
  const { peer_flags, max_slices, max_handles, max_inflight_bytes, max_inflight_fds } = PeerReset;
  return [
    bytes.u64(peer_flags),
    ...[max_slices, max_handles, max_inflight_bytes, max_inflight_fds].map((at) => bytes.u32(at)),
  ];
};
const query = (connection = a): number[] => limitsOf(connection.reset({ flags: 0 }, Command.PEER_QUERY));

describe('PEER_QUERY', () => {
  test('tells the limits', () => {
    expect(query()).toEqual([0, 11, 22, 333, 44]);
  });

  test('knows no flags', () => {
    for (const flags of [1, 2, 2 ** 32]) expect(a.reset({ flags }, Command.PEER_QUERY)).toBe(Errno.EINVAL);
  });
});

describe('PEER_RESET', () => {
  test('sets what is not all ones', () => {
    a.reset({ flags: 0, max_slices: 1 });
    expect(query()).toEqual([0, 1, 22, 333, 44]);
    a.reset({ flags: 0, max_handles: 2, max_inflight_bytes: INT_MAX, max_inflight_fds: 0 });
    expect(query()).toEqual([0, 1, 2, INT_MAX, 0]);
    a.reset({ flags: 0, peer_flags: 1 });
    expect(query()).toEqual([1, 1, 2, INT_MAX, 0]);
    a.reset({ flags: 0 });
    expect(query()).toEqual([1, 1, 2, INT_MAX, 0]);
    a.reset({ flags: 0, peer_flags: 0 });
    expect(query()).toEqual([0, 1, 2, INT_MAX, 0]);
    expect(query(b)).toEqual([0, 11, 22, 333, 44]);
  });

  test.each([
    ['flags', { flags: 4 }],
    ['flags of the upper half', { flags: 2 ** 33 }],
    ['peer flags', { flags: 0, peer_flags: 2 }],
    ['peer flags of the upper half', { flags: 0, peer_flags: 2 ** 32 }],
    ['limits', { flags: 0, max_slices: INT_MAX + 1 }],
    ['limits that are almost all ones', { flags: 0, max_inflight_fds: 0xffff_fffe }],
  ])('%s that are wrong change nothing', (_, fields) => {
    a.transfer(8, INVALID);
    expect(a.reset({ max_handles: 1, ...fields, flags: fields.flags || FLUSH })).toBe(Errno.EINVAL);
    expect([query(), a.file.status().nodes]).toEqual([[0, 11, 22, 333, 44], 1]);
  });

  test('a limit below what is used lets nothing more in, until there is less', () => {
    const handle = b.give(8, a);
    a.send({ destinations: [handle] });
    b.reset({ flags: 0, max_slices: 0 });
    expect(a.send({ destinations: [handle] })).toBe(Errno.EDQUOT);
    expect(b.receive()).toMatchObject({ type: 1 });
    b.reset({ flags: 0, max_slices: 1 });
    expect(a.send({ destinations: [handle] })).toBe(Errno.EDQUOT);
    b.u64(Command.SLICE_RELEASE, 0);
    expect(a.send({ destinations: [handle] })).toBe(Errno.OK);
  });

  test('FLUSH gives up everything but the seed', () => {
    const [theirs, mine] = [b.give(8, a), a.give(8, b)];
    a.send({ flags: SendFlag.SEED, payload: 'seed', handles: [24] });
    b.send({ destinations: [mine], payload: 'x' });
    a.receive();
    b.send({ destinations: [mine], payload: 'y' });
    expect(a.reset({ flags: FLUSH })).not.toBeTypeOf('number');
    expect(a.file.status()).toMatchObject({ nodes: 1, handles: 1, queued: 0, poolBytes: 16 });
    expect(a.receive()).toBe(Errno.EAGAIN);
    expect(a.u64(Command.SLICE_RELEASE, 0)).toBe(Errno.ENXIO);
    expect(a.u64(Command.HANDLE_RELEASE, theirs)).toBe(Errno.ENXIO);
    expect([b.receive(), b.receive()]).toMatchObject([
      { type: 2, destination: mine },
      { type: 3, destination: 8 },
    ]);
    expect(a.receive(RECV_SEED)).toMatchObject({ nBytes: 4, nHandles: 1 });
  });

  test('FLUSH_SEED gives up the seed alone', () => {
    a.send({ flags: SendFlag.SEED, payload: 'seed', fds: [3] });
    a.transfer(8, INVALID);
    a.reset({ flags: FLUSH_SEED });
    expect(a.receive(RECV_SEED)).toBe(Errno.EAGAIN);
    expect(client.taken[0]?.holders).toBe(0);
    expect(a.file.status()).toMatchObject({ nodes: 1, poolBytes: 0 });
  });

  test('both give up both, and ids are not used again', () => {
    const theirs = b.give(8, a);
    a.send({ flags: SendFlag.SEED, handles: [theirs] });
    a.reset({ flags: FLUSH | FLUSH_SEED });
    expect(a.file.status()).toMatchObject({ nodes: 0, handles: 0, queued: 0, poolBytes: 0 });
    expect(b.give(8, a)).toBe(19);
  });
});

describe('PEER_DISCONNECT', () => {
  test('ends a peer: every command from then on is ESHUTDOWN, before anything else', () => {
    const handle = a.give(8, b);
    expect(a.u64(Command.PEER_DISCONNECT, 0)).toBe(Errno.OK);
    expect(b.receive()).toMatchObject({ type: 2, destination: handle });
    expect([a.file.poll(), b.file.poll()]).toEqual([Poll.HUP, IDLE]);
    expect(a.u64(Command.PEER_DISCONNECT, 1)).toBe(Errno.ESHUTDOWN);
    expect(a.receive(2 ** 40)).toBe(Errno.ESHUTDOWN);
    expect(a.u64(0x1234, 0)).toBe(Errno.ESHUTDOWN);
  });

  test('takes zero', () => {
    for (const value of [1, 2 ** 32, INVALID]) expect(a.u64(Command.PEER_DISCONNECT, value)).toBe(Errno.EINVAL);
    expect(a.file.poll()).toBe(IDLE);
  });

  test('wakes who waits, once', () => {
    a.u64(Command.PEER_DISCONNECT, 0);
    a.close();
    expect(a.wakes).toBe(1);
  });
});

test('an unknown command is ENOTTY', () => {
  for (const number of [0, 0xc008_9612, Command.SEND ^ 0x10000, Command.RECV + 1]) {
    expect(a.u64(number, 0)).toBe(Errno.ENOTTY);
  }
});
