import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../../src/base/errno.js';
import type { Limits } from '../../../../../src/bus1/2026/model/account.js';
import { Bus } from '../../../../../src/bus1/2026/model/bus-2026.js';
import { type Message, MessageType } from '../../../../../src/bus1/2026/model/message-2026.js';
import { Multicast } from '../../../../../src/bus1/2026/model/multicast.js';
import { Handle, type Node } from '../../../../../src/bus1/2026/model/node-2026.js';
import type { Peer } from '../../../../../src/bus1/2026/model/peer-2026.js';
import { TransferTransaction } from '../../../../../src/bus1/2026/model/transfer.js';
import { budgets } from '../../../../support/budgets.js';

const LIMITS: Limits = { objects: 60, bytes: 500 };
const PLENTY: Limits = { objects: 1e6, bytes: 1e6 };

function addPeer(bus: Bus, uid = 0, wake = () => {}): Peer {
  const credentials = { uid, gid: 0, pid: 1, tid: 1 };
  return bus.addPeer(
    { identity: { credentials, seenFrom: () => credentials }, viewpoint: { release: () => {} } },
    wake,
  );
}

/** A new node of one peer and a handle to it of another, by id, or an errno. */
function create(from: Peer, to: Peer = from): { node: number; handle: number } | Errno {
  const transaction = new TransferTransaction(from, to);
  const node = transaction.create();
  const handle = typeof node === 'number' ? node : transaction.give(node);
  if (typeof node === 'number' || typeof handle === 'number') {
    transaction.abort();
    return (typeof node === 'number' ? node : handle) as Errno;
  }
  transaction.commit();
  return { node: node.id, handle: handle.id };
}

function mustCreate(from: Peer, to?: Peer): { node: number; handle: number } {
  const made = create(from, to);
  if (typeof made === 'number') throw new Error(`errno ${made}`);
  return made;
}

/** The id of a new handle, or a negative errno. */
function copy(from: Peer, id: number, to: Peer): number {
  const transaction = new TransferTransaction(from, to);
  const node = transaction.find(id);
  const handle = typeof node === 'number' ? node : transaction.give(node);
  if (typeof handle === 'number') {
    transaction.abort();
    return -handle;
  }
  transaction.commit();
  return handle.id;
}

function send(from: Peer, to: readonly number[], carried: readonly number[] = [], payload = new Uint8Array(0)): Errno {
  const transaction = new Multicast(from, payload);
  let error: Errno = Errno.OK;
  for (const id of carried) error ||= transaction.carry(id);
  for (const id of to) error ||= transaction.address(id);
  if (error === Errno.OK) transaction.commit();
  else transaction.abort();
  return error;
}

/** What RECV tells. */
function receive(peer: Peer): { type: number; id: number; handles: number[] } | undefined {
  const message = peer.next();
  if (message === undefined) return undefined;
  const { type, subject, cargo } = message;
  const { id } = subject;
  peer.take(message);
  return { type, id, handles: cargo?.handles.map((handle) => handle.id) ?? [] };
}

const queueOf = (peer: Peer): Message[] => {
  const messages: Message[] = [];
  for (let message = peer.next(); message !== undefined; message = message.next) messages.push(message);
  return messages;
};

/** A bus of peers of two users, with all that must hold at any time. */
class World {
  readonly bus = new Bus(LIMITS, budgets());
  readonly peers: Peer[] = [];
  readonly wakes = new Map<Peer, number>();
  /** What each peer ever had, by id. */
  readonly ids = new Map<Peer, Map<number, Node | Handle>>();
  private sequence = 0;
  /** The number of the last message that each has received. */
  private readonly received = new Map<Peer, number>();

  open(uid: number): void {
    const peer = addPeer(this.bus, uid, () => this.wakes.set(peer, (this.wakes.get(peer) ?? 0) + 1));
    this.ids.set(peer, new Map());
    this.peers.push(peer);
  }

  peer(i: number): Peer {
    return this.peers[i % this.peers.length] as Peer;
  }

  /** Ids that the peer has, one that it never will, and maybe some twice. */
  pick(peer: Peer, choices: readonly number[]): number[] {
    const ids = [...Array.from(peer.entries(), ({ id }) => id), 2];
    return choices.map((choice) => ids[choice % ids.length] as number);
  }

  send(from: Peer, to: readonly number[], carried: readonly number[], size: number): void {
    const payload = new Uint8Array(4 + size);
    payload.set(new Uint8Array(new Uint32Array([++this.sequence]).buffer));
    const isKnown = [...carried, ...to].every((id) => from.handle(id) !== undefined);
    const error = send(from, to, carried, payload);
    assert(isKnown ? error === Errno.OK || error === Errno.EDQUOT : error !== Errno.OK);
  }

  receive(peer: Peer): void {
    const message = peer.next();
    if (message === undefined) return;
    const { type, subject, cargo } = message;
    const { id } = subject;
    peer.take(message);
    assert.equal(peer.has(id), type === MessageType.USER);
    if (cargo === undefined) return;
    const [number = 0] = new Uint32Array(cargo.payload.slice(0, 4).buffer);
    assert(number >= (this.received.get(peer) ?? 0));
    this.received.set(peer, number);
    for (const handle of cargo.handles) assert(peer.handle(handle.id) === handle);
  }

  release(peer: Peer, ids: readonly number[]): void {
    const expected = ids.every((id) => peer.has(id)) ? Errno.OK : Errno.EBADRQC;
    assert.equal(peer.release(ids), expected);
    if (expected === Errno.OK) for (const id of ids) assert(!peer.has(id));
  }

  close(i: number): void {
    if (this.peers.length === 0) return;
    const peer = this.peer(i);
    this.peers.splice(this.peers.indexOf(peer), 1);
    this.bus.removePeer(peer);
    assert.equal([...peer.entries(), ...queueOf(peer)].length, 0);
    assert.deepEqual(peer.quotas.used(), { objects: 0, bytes: 0 });
  }

  /** With assert, which is much faster than expect. */
  check(): void {
    for (const peer of this.peers) this.checkPeer(peer);
    for (const uid of [0, 1]) {
      const peers = this.peers.filter(({ account }) => account.uid === uid);
      const sum = (of: (peer: Peer) => number): number => peers.reduce((total, peer) => total + of(peer), 0);
      const used = peers[0]?.account.quotas.used() ?? { objects: 0, bytes: 0 };
      assert.equal(
        used.objects,
        sum((peer) => peer.quotas.objects.used),
      );
      assert.equal(
        used.bytes,
        sum((peer) => peer.quotas.bytes.used),
      );
      assert(used.objects <= LIMITS.objects && used.bytes <= LIMITS.bytes);
    }
  }

  private checkPeer(peer: Peer): void {
    const entries = [...peer.entries()];
    const queue = queueOf(peer);
    const carried = new Set<Handle>();
    let objects = entries.length;
    let bytes = 0;
    for (const { type, subject, cargo } of queue) {
      if (cargo !== undefined) {
        objects += cargo.objects;
        bytes += cargo.payload.length;
        for (const handle of cargo.handles) carried.add(handle);
        assert(peer.has(subject.id));
        assert([...(subject as Node).queued].includes(cargo));
      } else if (type === MessageType.NODE_RELEASE) {
        // a message that brings the handle comes before what is said of it
        assert(carried.has(subject as Handle) || peer.has(subject.id));
        assert(!(subject as Handle).node.isLive);
      } else {
        assert.equal((subject as Node).handles.length, 0);
        assert(peer.has(subject.id));
      }
    }
    assert.deepEqual(peer.quotas.used(), { objects, bytes });
    assert.equal(peer.isReadable, queue.length > 0);
    assert.equal(peer.queued, queue.length);
    for (const entry of entries) this.checkEntry(peer, entry);
    for (const handle of carried) this.checkHandle(peer, handle);
  }

  private checkEntry(peer: Peer, entry: Node | Handle): void {
    assert(entry.id % 2 === 1 && entry.id < peer.idAfter(0));
    const objects = this.ids.get(peer);
    assert((objects?.get(entry.id) ?? entry) === entry, 'an id was given twice');
    objects?.set(entry.id, entry);
    if (entry instanceof Handle) return this.checkHandle(peer, entry);
    assert(entry.owner === peer && entry.isLive);
    // who has nobody left is told so, and only who has
    assert.equal(entry.notification !== undefined, entry.handles.length === 0);
  }

  private checkHandle(peer: Peer, handle: Handle): void {
    assert(handle.holder === peer);
    assert([...handle.node.handles].includes(handle));
    // whose node is gone is told so, and only whose is
    assert.equal(handle.notification !== undefined, !handle.node.isLive);
  }
}

const choice = fc.nat(7);
const choices = fc.array(choice, { maxLength: 4 });
const step = fc.oneof(
  fc.record({ kind: fc.constant('open' as const), uid: fc.nat(1) }),
  fc.record({ kind: fc.constant('create' as const), from: choice, to: choice }),
  fc.record({ kind: fc.constant('create' as const), from: choice, to: choice }),
  fc.record({ kind: fc.constant('copy' as const), from: choice, to: choice, id: choice }),
  fc.record({ kind: fc.constant('send' as const), from: choice, to: choices, carried: choices, size: fc.nat(60) }),
  fc.record({ kind: fc.constant('send' as const), from: choice, to: choices, carried: choices, size: fc.nat(60) }),
  fc.record({ kind: fc.constant('receive' as const), peer: choice }),
  fc.record({ kind: fc.constant('receive' as const), peer: choice }),
  fc.record({ kind: fc.constant('release' as const), peer: choice, ids: choices }),
  fc.record({ kind: fc.constant('close' as const), peer: choice }),
);

describe('Bus of 2026', () => {
  test('whatever is done, ids, lives, queues and quotas are in order, and nothing is left in the end', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
        const world = new World();
        for (const uid of [0, 1, 0]) world.open(uid);
        for (const each of steps) {
          if (world.peers.length === 0) world.open(0);
          const wasReadable = new Map(world.peers.map((peer) => [peer, peer.isReadable]));
          world.wakes.clear();
          switch (each.kind) {
            case 'open':
              world.open(each.uid);
              break;
            case 'create':
              create(world.peer(each.from), world.peer(each.to));
              break;
            case 'copy': {
              const from = world.peer(each.from);
              const [id = 0] = world.pick(from, [each.id]);
              const isKnown = from.handle(id) !== undefined;
              const result = copy(from, id, world.peer(each.to));
              assert.equal(result === -Errno.EBADRQC, !isKnown);
              break;
            }
            case 'send': {
              const from = world.peer(each.from);
              world.send(from, world.pick(from, each.to), world.pick(from, each.carried), each.size);
              break;
            }
            case 'receive':
              world.receive(world.peer(each.peer));
              break;
            case 'release': {
              const peer = world.peer(each.peer);
              world.release(peer, world.pick(peer, each.ids));
              break;
            }
            case 'close':
              world.close(each.peer);
          }
          world.check();
          for (const peer of world.peers) {
            if (peer.isReadable && wasReadable.get(peer) === false) assert((world.wakes.get(peer) ?? 0) > 0);
          }
        }
        while (world.peers.length > 0) world.close(0);
      }),
      { numRuns: 300 },
    );
  });

  test('ids are odd, counted per peer and never given twice', () => {
    const bus = new Bus(PLENTY, budgets());
    const [a, b] = [addPeer(bus), addPeer(bus)];
    expect(create(a)).toEqual({ node: 1, handle: 3 });
    expect(create(a, b)).toEqual({ node: 5, handle: 1 });
    expect(copy(a, 3, a)).toBe(7);
    expect(a.release([1, 3, 5, 7])).toBe(Errno.OK);
    expect(create(a)).toEqual({ node: 9, handle: 11 });
  });

  test('a transaction that is given up has taken ids and nothing else', () => {
    const bus = new Bus(PLENTY, budgets());
    const [a, b] = [addPeer(bus), addPeer(bus)];
    const transaction = new TransferTransaction(a, b);
    const node = transaction.create();
    if (typeof node === 'number') throw new Error('no node');
    transaction.give(node);
    expect(transaction.find(node.id)).toBe(Errno.EBADRQC);
    transaction.abort();
    expect([a.quotas.used().objects, b.quotas.used().objects, a.account.quotas.used().objects]).toEqual([0, 0, 0]);
    expect([a.has(1), b.has(1)]).toEqual([false, false]);
    expect(create(a, b)).toEqual({ node: 3, handle: 3 });
  });

  test('a transaction that is withdrawn has not even taken ids', () => {
    const bus = new Bus(PLENTY, budgets());
    const a = addPeer(bus);
    const transaction = new TransferTransaction(a, a);
    const node = transaction.create();
    expect(node).toMatchObject({ id: 1 });
    expect(transaction.give(node as Node)).toMatchObject({ id: 3 });
    transaction.withdraw();
    expect(a.quotas.used().objects).toBe(0);
    expect(create(a)).toEqual({ node: 1, handle: 3 });
  });

  test('each RELEASE tells of nodes before it tells of handles', () => {
    const bus = new Bus(PLENTY, budgets());
    const [a, b] = [addPeer(bus), addPeer(bus)];
    const held = mustCreate(a, b);
    const own = mustCreate(b, a);
    expect(b.release([held.handle, own.node])).toBe(Errno.OK);
    expect(receive(a)).toEqual({ type: MessageType.NODE_RELEASE, id: own.handle, handles: [] });
    expect(receive(a)).toEqual({ type: MessageType.HANDLE_RELEASE, id: held.node, handles: [] });
    expect(receive(a)).toBeUndefined();
  });

  test('what is said of a carried handle comes behind all messages of its transaction', () => {
    const bus = new Bus(PLENTY, budgets());
    const [a, b, c] = [addPeer(bus), addPeer(bus), addPeer(bus)];
    const gone = mustCreate(a, b);
    const first = mustCreate(c, b);
    const second = mustCreate(c, b);
    a.release([gone.node]);
    expect(send(b, [first.handle, second.handle], [gone.handle])).toBe(Errno.OK);
    expect([receive(c), receive(c), receive(c), receive(c), receive(c)]).toEqual([
      { type: MessageType.USER, id: first.node, handles: [5] },
      { type: MessageType.USER, id: second.node, handles: [7] },
      { type: MessageType.NODE_RELEASE, id: 5, handles: [] },
      { type: MessageType.NODE_RELEASE, id: 7, handles: [] },
      undefined,
    ]);
  });

  test('all receivers of a message share one payload', () => {
    const bus = new Bus(PLENTY, budgets());
    const peers = [addPeer(bus), addPeer(bus), addPeer(bus)];
    const sender = addPeer(bus);
    const payload = new Uint8Array(10);
    const destinations = peers.map((peer) => mustCreate(peer, sender).handle);
    expect(send(sender, destinations, [], payload)).toBe(Errno.OK);
    expect(peers.map((peer) => peer.next()?.cargo?.payload === payload)).toEqual([true, true, true]);
    expect(peers.map((peer) => peer.quotas.used().bytes)).toEqual([10, 10, 10]);
  });

  test('another user may take half of what is left, and gives it back', () => {
    const bus = new Bus({ objects: 100, bytes: 1000 }, budgets());
    const [own, foreign] = [addPeer(bus, 0), addPeer(bus, 1)];
    const { handle } = mustCreate(own, foreign);
    const objects = [...Array(200)].findIndex(() => send(foreign, [handle]) !== Errno.OK);
    expect(objects).toBe(49); // a node is there already
    expect(send(own, [copy(foreign, handle, own)])).toBe(Errno.OK);
    while (receive(own) !== undefined) {}
    expect(send(foreign, [handle], [], new Uint8Array(501))).toBe(Errno.EDQUOT);
    expect(send(foreign, [handle], [], new Uint8Array(500))).toBe(Errno.OK);
    receive(own);
    expect(send(foreign, [handle], [], new Uint8Array(500))).toBe(Errno.OK);
  });

  test('whoever gets a handle pays for it', () => {
    const bus = new Bus({ objects: 10, bytes: 0 }, budgets());
    const [giver, receiver] = [addPeer(bus, 0), addPeer(bus, 1)];
    const { handle } = mustCreate(giver);
    for (let i = 0; i < 10; i++) expect(copy(giver, handle, receiver)).toBe(2 * i + 1);
    expect(copy(giver, handle, receiver)).toBe(-Errno.EDQUOT);
    expect(create(giver, receiver)).toBe(Errno.EDQUOT);
    expect([giver, receiver].map((peer) => peer.quotas.used().objects)).toEqual([2, 10]);
    expect(copy(giver, handle, giver)).toBe(7);
  });

  test('a message that goes to one who is full goes to nobody, and is charged to nobody', () => {
    const bus = new Bus({ objects: 10, bytes: 100 }, budgets());
    const [a, b, sender] = [addPeer(bus, 0), addPeer(bus, 1), addPeer(bus, 2)];
    const destinations = [mustCreate(a, sender).handle, mustCreate(b, sender).handle];
    while (create(b) !== Errno.EDQUOT) {}
    const before = [a, b, sender].map((peer) => peer.quotas.used());
    expect(send(sender, destinations)).toBe(Errno.EDQUOT);
    expect([a, b, sender].map((peer) => peer.quotas.used())).toEqual(before);
    expect([a.isReadable, b.isReadable]).toEqual([false, false]);
  });

  test('what is sent to a node that is gone vanishes, whoever is full', () => {
    const bus = new Bus({ objects: 10, bytes: 100 }, budgets());
    const [a, b] = [addPeer(bus, 0), addPeer(bus, 1)];
    const { node, handle } = mustCreate(a, b);
    a.release([node]);
    while (create(a) !== Errno.EDQUOT) {}
    expect(send(b, [handle], [handle], new Uint8Array(99))).toBe(Errno.OK);
    expect(queueOf(a)).toEqual([]);
  });
});
