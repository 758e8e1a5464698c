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

  test('of more files than a user may have is refused before anything is looked at; others have theirs', () => {
    const small = new World({ peers: 2 });
    const [a, b] = [small.open(), small.open()];
    const client = Object.assign(new Client(), { identityError: Errno.ENFILE });
    for (let i = 0; i < 2; i++) expect(small.tryOpen(client)).toBe(Errno.EMFILE);
    expect(small.lines.map(({ msg }) => msg)).toEqual([
      'quota exceeded: thread 301 (uid 1000, client) asked for 1 more peers of uid 1000, whose user has 2 of 2 in use; raise it ' +
        'with --max-peers',
    ]);
    small.open(new Client(1001));
    a.close();
    expect(small.open().file.peer.user).toBe(b.file.peer.user);
  });

  test('of more than half of what the others leave is refused', () => {
    const small = new World({}, { peers: 10 });
    const count = (uid: number): number => {
      const client = new Client(uid);
      for (let n = 0; ; n++) if (small.tryOpen(client) === Errno.EMFILE) return n;
    };
    expect([count(1), count(2), count(3), count(4), count(5)]).toEqual([5, 2, 1, 1, 0]);
    expect(small.lines[0]?.msg).toContain('all users have 5 of 10 in use');
    expect(small.lines[0]?.msg).toContain('vm.max_map_count');
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

test('status tells what each user and all of them use, and may use', () => {
  const small = new World({ peers: 7, heldBytes: 100_000 }, { peers: 70, heldBytes: 900_000 });
  const a = small.open(new Client(1000));
  a.send({ destinations: [8], payload: 'x'.repeat(5000), handles: [16] });
  small.descriptors.charge(1000, 3);
  small.open(new Client(1001));
  const { users, totals } = small.device.status();
  expect(users).toEqual([
    {
      uid: 1000,
      peers: { used: 1, max: 7 },
      slices: { used: 1, max: 16384 },
      handles: { used: 3, max: 65536 },
      inflightBytes: { used: 5008, max: 16 << 20 },
      inflightFds: { used: 0, max: 4096 },
      heldBytes: { used: 8192, max: 100_000 },
      descriptors: 3,
    },
    expect.objectContaining({ uid: 1001, peers: { used: 1, max: 7 }, descriptors: 0 }),
  ]);
  expect(totals).toMatchObject({
    peers: { used: 2, max: 70 },
    slices: { used: 1 },
    handles: { used: 3 },
    heldBytes: { used: 8192, max: 900_000 },
    warmBytes: { used: 0 },
    descriptors: { used: 3 },
  });
  a.close();
  expect(small.device.status()).toMatchObject({ users: [{ uid: 1001 }], totals: { heldBytes: { used: 0 } } });
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
