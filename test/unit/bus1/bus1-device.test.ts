import { beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Command } from '../../../src/bus1/bus1-abi.js';
import { Poll } from '../../../src/device.js';
import { Client, type Connection, World } from '../../support/client.js';

let world: World;

beforeEach(() => {
  world = new World();
});

const readable = Poll.OUT | Poll.WRNORM | Poll.IN | Poll.RDNORM;

describe('open', () => {
  test('makes a peer with a pool of its own', () => {
    const client = new Client();
    const [a, b] = [world.open(client), world.open(client)];
    expect(a.memory).not.toBe(b.memory);
    expect(world.device.status()).toMatchObject({
      counters: { opened: 2, ioctls: 0, failed: 0 },
      peers: [
        { id: 1, pid: 300, uid: 1000, command: 'client', connected: true },
        { id: 2, pid: 300, uid: 1000 },
      ],
    });
  });

  test.each([
    ['who it is', { identityError: Errno.ENFILE }],
    ['where it is', { viewpointError: Errno.ENFILE }],
  ])('of a caller of which cannot be told %s is refused', (_, errors) => {
    const client = Object.assign(new Client(), errors);
    expect(world.tryOpen(client)).toBe(Errno.ENFILE);
    expect(client.viewpoints.every(({ isReleased }) => isReleased)).toBe(true);
    expect(world.device.status().peers).toEqual([]);
  });

  test('where there is no memory is refused, keeps nothing, and is logged once', () => {
    const client = new Client();
    world.memoryError = Errno.ENOMEM;
    for (let i = 0; i < 2; i++) expect(world.tryOpen(client)).toBe(Errno.ENOMEM);
    expect(client.viewpoints.map(({ isReleased }) => isReleased)).toEqual([true, true]);
    expect(world.lines).toMatchObject([{ level: 50, msg: expect.stringContaining('vm.max_map_count') }]);
    world.memoryError = Errno.OK;
    expect(world.tryOpen(client)).not.toBeTypeOf('number');
  });

  test('the last close gives everything back', () => {
    const client = new Client();
    const a = world.open(client);
    a.transfer(8, a.fd);
    a.close();
    expect([a.memory.isReleased, client.viewpoints[0]?.isReleased]).toEqual([true, true]);
    expect(world.device.status().peers).toEqual([]);
  });
});

describe('opens of one inode', () => {
  const ROOT = 0;
  let user: Client;
  let stranger: Client;

  beforeEach(() => {
    user = new Client(1000);
    stranger = new Client(1001);
  });

  test('are peers of their own in one pool, which lasts as long as one of them', () => {
    const a = world.open(user);
    const b = world.open(user, [a]);
    expect(b.memory).toBe(a.memory);
    expect(a.file.peer).not.toBe(b.file.peer);
    a.close();
    expect(b.memory.isReleased).toBe(false);
    b.close();
    expect(b.memory.isReleased).toBe(true);
  });

  test('are for one user alone; one line says so', () => {
    const a = world.open(user);
    for (let i = 0; i < 2; i++) expect(world.tryOpen(stranger, [a])).toBe(Errno.EBUSY);
    expect(world.tryOpen(new Client(ROOT), [a])).toBe(Errno.EBUSY);
    expect(stranger.viewpoints.map(({ isReleased }) => isReleased)).toEqual([true, true]);
    expect(world.lines).toMatchObject([{ level: 40, uid: 1001, owner: 1000 }]);
    a.close();
    expect(a.memory.isReleased).toBe(true);
  });

  test("root's that was not used gives way", () => {
    const root = world.open(new Client(ROOT));
    const a = world.open(user, [root]);
    expect(a.memory).toBe(root.memory);
    expect(world.tryOpen(stranger, [root, a])).toBe(Errno.EBUSY);
    const b = world.open(user, [root, a]);
    // who lost the pool can do nothing more, and nobody can do anything to it
    expect(root.u64(Command.PEER_DISCONNECT, 0)).toBe(Errno.EBUSY);
    user.files.set(root.fd, root.file);
    expect(a.transfer(8, root.fd)).toEqual({ error: Errno.EBUSY });
    user.files.set(b.fd, b.file);
    expect(a.transfer(8, b.fd)).toBe(11);
  });

  test("root's that was used, or another user's, does not", () => {
    const root = world.open(new Client(ROOT));
    const second = world.open(new Client(ROOT), [root]);
    second.receive();
    expect(world.tryOpen(user, [root, second])).toBe(Errno.EBUSY);
    const other = world.open(user);
    expect(world.tryOpen(stranger, [other])).toBe(Errno.EBUSY);
  });
});

test('a file that is released is no peer any more, whatever comes late', () => {
  const a = world.open();
  a.close();
  expect(a.receive()).toBe(Errno.ESHUTDOWN);
  expect(a.send({ destinations: [8] })).toBe(Errno.ESHUTDOWN);
});

describe('counters', () => {
  test('count calls, and those that failed but for want of a message', () => {
    const client = new Client();
    const a = world.open(client);
    a.receive();
    a.receive(2 ** 40);
    a.transfer(8, a.fd);
    expect(world.device.status().counters).toEqual({ opened: 1, ioctls: 3, failed: 1 });
  });
});

describe('poll', () => {
  let a: Connection;

  beforeEach(() => {
    const client = new Client();
    a = world.open(client);
  });

  test('is readable while there is a message', () => {
    expect(a.file.poll()).toBe(Poll.OUT | Poll.WRNORM);
    a.send({ destinations: [8] });
    expect(a.file.poll()).toBe(readable);
    a.receive();
    expect(a.file.poll()).toBe(Poll.OUT | Poll.WRNORM);
  });

  test('is not readable for what can never be delivered', () => {
    a.send({ destinations: [8] });
    const RELEASE_HANDLES = 1;
    a.destroy([8], RELEASE_HANDLES);
    expect([a.file.poll(), a.receive()]).toEqual([Poll.OUT | Poll.WRNORM, Errno.EAGAIN]);
  });
});

test('stat(2) tells of the device a module would have made, and of a pool of 512 MiB', () => {
  expect(world.device).toMatchObject({
    rdev: { major: 10, minor: 58 },
    memorySize: 512 * 1024 * 1024,
    isVolatile: false,
  });
  expect(world.device.attributes()).toEqual({ mode: 0o666, uid: 0, gid: 0 });
});

test('a quota that was exceeded is logged with the peers by name', () => {
  const small = new World({ slices: 1 });
  const a = small.open();
  a.send({ destinations: [8] });
  expect(a.send({ destinations: [8] })).toBe(Errno.EDQUOT);
  expect(small.lines).toMatchObject([
    { msg: expect.stringMatching(/^quota exceeded: peer 1 \(uid 1000, pid 300, client\) asked/) },
  ]);
});
