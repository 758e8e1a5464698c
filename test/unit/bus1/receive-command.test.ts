import { beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Command, SendFlag } from '../../../src/bus1/bus1-abi.js';
import type { HandleId } from '../../../src/bus1/model/handle-id.js';
import { Client, type Connection, INVALID, type Received, World } from '../../support/client.js';

const [PEEK, SEED, INSTALL_FDS] = [1, 2, 4];
const [DATA, NODE_DESTROY, NODE_RELEASE] = [1, 2, 3];
const [HAS_SECCTX, CONTINUE] = [1, 2];

let world: World;
let client: Client;
let sender: Connection;
let receiver: Connection;
let handle: HandleId;

beforeEach(() => {
  world = new World();
  client = new Client();
  sender = world.open(client);
  receiver = world.open(client);
  handle = receiver.give(8, sender);
});

const message = (result: Received | Errno): Received => {
  if (typeof result === 'number') throw new Error(`RECV: errno ${result}`);
  return result;
};
const used = (connection = receiver) => connection.file.status().used;

describe('RECV', () => {
  test('has nothing to give: EAGAIN, after its flags were looked at', () => {
    expect([receiver.receive(), receiver.receive(SEED), receiver.receive(PEEK)]).toEqual(Array(3).fill(Errno.EAGAIN));
    for (const flags of [8, 1 << 31, 2 ** 32, 2 ** 63]) expect(receiver.receive(flags)).toBe(Errno.EINVAL);
  });

  test('gives messages in their order, once', () => {
    for (const payload of ['a', 'bc', '']) sender.send({ destinations: [handle], payload });
    const sizes = [1, 2, 3].map(() => message(receiver.receive()).nBytes);
    expect(sizes).toEqual([1, 2, 0]);
    expect(receiver.receive()).toBe(Errno.EAGAIN);
  });

  test('tells who sent as the receiver sees them', () => {
    const far = world.open(Object.assign(new Client(), { shift: 7 }));
    client.files.set(far.fd, far.file);
    const node = far.transfer(8, INVALID);
    expect(node).toBe(8);
    far.send({ destinations: [8] });
    expect(message(far.receive()).credentials).toEqual([1007, 27, 307, 308]);
  });

  test('a slice that ends beyond max_offset is ERANGE, and stays', () => {
    sender.send({ destinations: [handle], payload: '123456789' });
    expect(receiver.receive(0, 15)).toBe(Errno.ERANGE);
    expect(receiver.receive(0, 0)).toBe(Errno.ERANGE);
    expect(message(receiver.receive(0, 16)).nBytes).toBe(9);
  });

  test('of a notification looks at no max_offset, and tells of nobody', () => {
    const node = sender.give(24, receiver);
    sender.destroy([24]);
    expect(message(receiver.receive(0, 0))).toEqual({
      type: NODE_DESTROY,
      flags: 0,
      destination: node,
      offset: INVALID,
      nBytes: 0,
      nHandles: 0,
      nFds: 0,
      nSecctx: 0,
      credentials: [0xffff_ffff, 0xffff_ffff, 0, 0],
    });
  });

  test('returns what was in flight, and keeps the slice until it is released', () => {
    sender.send({ destinations: [handle], payload: 'x', fds: [3] });
    expect(used()).toEqual({ slices: 1, handles: 1, inflightBytes: 16, inflightFds: 1 });
    const { offset } = message(receiver.receive());
    expect(used()).toEqual({ slices: 1, handles: 1, inflightBytes: 0, inflightFds: 0 });
    expect(receiver.u64(Command.SLICE_RELEASE, Number(offset) + 8)).toBe(Errno.ENXIO);
    expect(receiver.u64(Command.SLICE_RELEASE, offset)).toBe(Errno.OK);
    expect(used()).toMatchObject({ slices: 0 });
    expect(receiver.u64(Command.SLICE_RELEASE, offset)).toBe(Errno.ENXIO);
  });

  test('a destroyed node that is carried reads as invalid, and its charge is returned', () => {
    const third = world.open(client);
    const theirs = third.give(40, sender);
    third.destroy([40]);
    sender.send({ destinations: [handle], handles: [theirs, 16] });
    const { offset, nHandles } = message(receiver.receive());
    expect(nHandles).toBe(2);
    expect([0, 8].map((at) => receiver.idAt(Number(offset) + at))).toEqual([INVALID, 11]);
    expect(used()).toMatchObject({ handles: 2 });
  });

  test('a node that is destroyed while it is carried is told of afterwards', () => {
    const third = world.open(client);
    const theirs = third.give(40, sender);
    sender.send({ destinations: [handle], handles: [theirs] });
    third.destroy([40]);
    const { offset } = message(receiver.receive());
    const id = receiver.idAt(offset);
    expect(id).toBe(11);
    expect(message(receiver.receive())).toMatchObject({ type: NODE_DESTROY, destination: id });
  });

  test('ids of handles are those of the receiver, and the same for the same node', () => {
    sender.send({ destinations: [handle], handles: [16, 16, handle] });
    const { offset } = message(receiver.receive());
    expect([0, 8, 16].map((at) => receiver.idAt(Number(offset) + at))).toEqual([11, 11, 8]);
  });

  test('where the system has no memory for ids, it says so', () => {
    sender.send({ destinations: [handle], handles: [16] });
    receiver.memory.isFull = true;
    expect(receiver.receive()).toBe(Errno.ENOMEM);
  });

  test('and keeps the message, as it was', () => {
    sender.send({ destinations: [handle], payload: 'x', handles: [16], fds: [3] });
    const before = receiver.file.status();
    receiver.memory.isFull = true;
    for (const flags of [0, PEEK, INSTALL_FDS]) expect(receiver.receive(flags)).toBe(Errno.ENOMEM);
    expect(receiver.file.status()).toEqual(before);
    receiver.memory.isFull = false;
    expect(message(receiver.receive())).toMatchObject({ nBytes: 1, nHandles: 1, nFds: 1 });
    expect(receiver.idAt(8)).toBe(11);
  });

  test('CONTINUE joins what one call sent to one peer', () => {
    const second = receiver.give(16, sender);
    sender.send({ destinations: [handle, second] });
    sender.send({ destinations: [handle] });
    const flags = [1, 2, 3].map(() => message(receiver.receive()).flags);
    expect(flags).toEqual([CONTINUE, 0, 0]);
  });

  test('CONTINUE is about the next message that can be delivered', () => {
    const RELEASE_HANDLES = 1;
    const [second, third] = [receiver.give(16, sender), receiver.give(24, sender)];
    sender.send({ destinations: [handle, second, third] });
    sender.send({ destinations: [handle, second] });
    receiver.destroy([16], RELEASE_HANDLES);
    const messages = [1, 2, 3].map(() => message(receiver.receive()));
    expect(messages.map(({ destination, flags }) => [destination, flags])).toEqual([
      [8, CONTINUE],
      [24, 0],
      [8, 0],
    ]);
  });
});

describe('PEEK', () => {
  test('shows a message and leaves it', () => {
    sender.send({ destinations: [handle], payload: 'x', handles: [16], fds: [3] });
    const peeked = [message(receiver.receive(PEEK)), message(receiver.receive(PEEK))];
    expect(peeked).toMatchObject([{ nBytes: 1, nHandles: 1, nFds: 1 }, { nBytes: 1 }]);
    expect(client.taken[0]?.holders).toBe(1);
    expect(used()).toMatchObject({ handles: 1 + 1 + 2, inflightBytes: 24 });
    expect(message(receiver.receive()).nBytes).toBe(1);
    expect(used()).toMatchObject({ handles: 1 + 3, inflightBytes: 0 });
  });

  test('takes handles of the quota, and says EDQUOT where none are left', () => {
    sender.send({ destinations: [handle], handles: [16] });
    receiver.reset({ flags: 0, max_handles: 2 });
    expect(receiver.receive(PEEK)).toBe(Errno.EDQUOT);
    expect(message(receiver.receive()).nHandles).toBe(1);
  });

  test('of a notification leaves it', () => {
    sender.give(24, receiver);
    sender.destroy([24]);
    const peeked = message(receiver.receive(PEEK));
    expect(message(receiver.receive())).toEqual(peeked);
    expect(receiver.receive()).toBe(Errno.EAGAIN);
  });

  test('of a seed leaves it', () => {
    sender.send({ flags: SendFlag.SEED, payload: 'seed' });
    expect([sender.receive(PEEK | SEED), sender.receive(SEED)]).toMatchObject([{ nBytes: 4 }, { nBytes: 4 }]);
    expect(sender.receive(SEED)).toBe(Errno.EAGAIN);
  });

  test('a slice that was only peeked is charged until its message is gone', () => {
    sender.send({ destinations: [handle] });
    const { offset } = message(receiver.receive(PEEK));
    expect(receiver.u64(Command.SLICE_RELEASE, offset)).toBe(Errno.OK);
    expect(used()).toMatchObject({ slices: 1 });
    expect(message(receiver.receive()).offset).toBe(offset);
    receiver.u64(Command.SLICE_RELEASE, offset);
    expect(used()).toMatchObject({ slices: 0 });
  });
});

describe('INSTALL_FDS', () => {
  const numbersAt = (offset: HandleId, count: number): number[] =>
    Array.from({ length: count }, (_, i) => receiver.memory.bytes.i32(Number(offset) + i * 4));

  test('installs what a message carries, and writes the numbers after the handles', () => {
    sender.send({ destinations: [handle], payload: '123', handles: [16], fds: [3, 4, 5] });
    const { offset, nFds } = message(receiver.receive(INSTALL_FDS));
    expect([nFds, client.installed]).toEqual([3, [70, 71, 72]]);
    expect(numbersAt(Number(offset) + 8 + 8, 3)).toEqual([70, 71, 72]);
    expect(client.taken[0]?.holders).toBe(0);
  });

  test('without it they are counted, and dropped', () => {
    sender.send({ destinations: [handle], fds: [3, 4] });
    expect(message(receiver.receive()).nFds).toBe(2);
    expect([client.installed, client.taken[0]?.holders]).toEqual([[], 0]);
  });

  test('where it fails, the message stays, with all it carries', () => {
    sender.send({ destinations: [handle], payload: 'x', handles: [16], fds: [3] });
    const before = receiver.file.status();
    for (const error of [Errno.EMFILE, Errno.EFAULT, Errno.EPERM]) {
      client.installError = error;
      expect(receiver.receive(INSTALL_FDS)).toBe(error);
    }
    expect(receiver.file.status()).toEqual(before);
    client.installError = Errno.OK;
    expect(message(receiver.receive(INSTALL_FDS))).toMatchObject({ nBytes: 1, nHandles: 1, nFds: 1 });
  });

  test('is looked at after max_offset and quota', () => {
    sender.send({ destinations: [handle], handles: [16], fds: [3] });
    client.installError = Errno.EMFILE;
    receiver.reset({ flags: 0, max_handles: 2 });
    expect(receiver.receive(INSTALL_FDS, 8)).toBe(Errno.ERANGE);
    expect(receiver.receive(INSTALL_FDS | PEEK)).toBe(Errno.EDQUOT);
    expect(receiver.receive(INSTALL_FDS)).toBe(Errno.EMFILE);
  });

  test('of a message that carries none, and of a notification, installs none', () => {
    client.installError = Errno.EMFILE;
    sender.send({ destinations: [handle] });
    sender.give(24, receiver);
    sender.destroy([24]);
    expect([receiver.receive(INSTALL_FDS), receiver.receive(INSTALL_FDS)]).toMatchObject([
      { type: DATA },
      { type: NODE_DESTROY },
    ]);
  });

  test('with PEEK installs each time', () => {
    sender.send({ destinations: [handle], fds: [3] });
    for (let i = 0; i < 2; i++) {
      client.installed = [];
      expect(message(receiver.receive(PEEK | INSTALL_FDS)).nFds).toBe(1);
      expect(client.installed).toEqual([70]);
    }
    expect(client.taken[0]?.holders).toBe(1);
  });

  test('where the numbers cannot be written, nothing is installed', () => {
    sender.send({ destinations: [handle], fds: [3] });
    receiver.memory.isFull = true;
    expect(receiver.receive(INSTALL_FDS)).toBe(Errno.ENOMEM);
    expect(client.installed).toEqual([]);
  });
});

describe('RECV of the 2019 header', () => {
  const [SEED_2019, INSTALL_2019, INSTALL_2017] = [1, 2, 4];

  test('knows three flags', () => {
    for (const flags of [8, 16, 2 ** 32]) expect(receiver.receive2019(flags)).toBe(Errno.EINVAL);
    for (const flags of [0, SEED_2019, INSTALL_2019, INSTALL_2017])
      expect(receiver.receive2019(flags)).toBe(Errno.EAGAIN);
  });

  test('gives the same message in another structure', () => {
    sender.send({ destinations: [handle], payload: 'hello', handles: [16] });
    expect(receiver.receive2019()).toEqual({
      type: DATA,
      flags: 0,
      destination: 8,
      offset: 0,
      nBytes: 5,
      nHandles: 1,
      nFds: 0,
    });
    expect(receiver.text(0, 5)).toBe('hello');
    expect(receiver.receive2019()).toBe(Errno.EAGAIN);
  });

  test('tells of descriptors only where it installs them', () => {
    for (let i = 0; i < 3; i++) sender.send({ destinations: [handle], fds: [3, 4] });
    expect(message(receiver.receive2019()).nFds).toBe(0);
    expect(client.installed).toEqual([]);
    for (const flag of [INSTALL_2019, INSTALL_2017]) {
      client.installed = [];
      expect(message(receiver.receive2019(flag)).nFds).toBe(2);
      expect(client.installed).toEqual([70, 71]);
    }
    expect(client.taken.map(({ holders }) => holders)).toEqual([0, 0, 0]);
  });

  test('takes the seed by its own flag', () => {
    sender.send({ flags: SendFlag.SEED, payload: 'seed' });
    expect(sender.receive2019(INSTALL_2019)).toBe(Errno.EAGAIN);
    expect(message(sender.receive2019(SEED_2019))).toMatchObject({ nBytes: 4, destination: INVALID });
    expect(sender.receive2019(SEED_2019)).toBe(Errno.EAGAIN);
  });

  test('has CONTINUE as its only flag: a security context is not told of', () => {
    receiver.reset({ flags: 0, peer_flags: 1 });
    client.secctx = Buffer.from('label');
    sender.send({ destinations: [handle, receiver.give(16, sender)] });
    sender.send({ destinations: [handle] });
    const flags = [message(receiver.receive2019()).flags, message(receiver.receive2019()).flags];
    expect(flags).toEqual([1, 0]);
    expect(message(receiver.receive()).flags).toBe(HAS_SECCTX);
  });

  test('gives notifications', () => {
    const node = sender.give(24, receiver);
    sender.destroy([24]);
    expect(message(receiver.receive2019())).toMatchObject({ type: NODE_DESTROY, destination: node, offset: INVALID });
    receiver.u64(Command.HANDLE_RELEASE, node);
    sender.u64(Command.HANDLE_RELEASE, handle);
    expect(message(receiver.receive2019())).toMatchObject({ type: NODE_RELEASE, destination: 8 });
  });

  test('looks at max_offset', () => {
    sender.send({ destinations: [handle], payload: '123456789' });
    expect(receiver.receive2019(0, 15)).toBe(Errno.ERANGE);
  });
});
