import { describe, expect, test } from 'vitest';
import { Bytes } from '../../../../src/base/bytes.js';
import { Errno } from '../../../../src/base/errno.js';
import {
  Command,
  MessageStruct,
  Metadata,
  Recv,
  Release,
  Send,
  Transfer,
  TransferEntry,
} from '../../../../src/bus1/2026/abi-2026.js';
import { LIMITS } from '../../../../src/bus1/2026/model/account.js';
import { MessageType } from '../../../../src/bus1/2026/model/message-2026.js';
import { placeVectors, readVectors } from '../../../../src/bus1/2026/vectors.js';
import { Command as Command2016 } from '../../../../src/bus1/bus1-abi.js';
import { type MemoryPart, type MemoryRange, Poll, Suspension } from '../../../../src/device.js';
import { BAD_ADDRESS, Client, type Connection, World } from '../../../support/client.js';

const ENTRY = TransferEntry.sizeof;
/** Where the memory of a client starts. */
const BASE = 0x10_0000;
/** Where the tests put what they point to, in the memory of the client. */
const AT = {
  message: 0,
  metadata: 0x100,
  vecs: 0x200,
  src: 0x1000,
  dst: 0x2000,
  ids: 0x3000,
  errors: 0x4000,
  data: 0x5000,
};
const address = (offset: number): number => BASE + offset;

/** A program with one open file, whose memory can be late. */
class Program extends Client {
  readonly connection: Connection;
  readonly bytes = new Bytes(new ArrayBuffer(0x8000));
  /** How often its memory was touched. */
  touches = 0;
  /** The operation on its memory, by how many came before it, in which the next call is suspended once. */
  suspendAt = Number.NaN;
  /** What happens while it is. */
  meanwhile: () => void = () => {};
  /** Where the last scatter() wrote parts to, and how much. */
  scattered: (readonly [address: number, size: number])[] = [];
  private readonly done = new Map<string, unknown>();

  /** `shift` is how much more than they are it sees others as. */
  constructor(world: World, uid = 1000, shift = 0) {
    super(uid);
    this.shift = shift;
    expect(this.put(this.bytes.u8)).toBe(BASE);
    this.connection = world.open(this);
  }

  override read(offset: number, ranges: readonly MemoryRange[]): number {
    if (ranges.every(({ length }) => length === 0)) return 0;
    return this.step(`read ${offset} ${ranges.length}`, () => super.read(offset, ranges));
  }

  override write(address: number, source: Bytes, length: number): Errno {
    return this.step(`write ${source.u8.subarray(0, length)}`, () => super.write(address, source, length));
  }

  override fetch(total: number, count: number, vecs: number): Uint8Array | Errno {
    const fetch = () => super.fetch(total, count, vecs);
    return total === 0 ? fetch() : this.step('fetch', fetch);
  }

  override scatter(payload: Uint8Array, count: number, vecs: number, parts: readonly MemoryPart[]): Errno {
    this.scattered = parts.map(({ address, bytes }) => [address, bytes.length]);
    const content = [payload, ...parts.map(({ bytes }) => bytes)].join(' ');
    return this.step(`scatter ${content}`, () => super.scatter(payload, count, vecs, parts));
  }

  private step<Result>(name: string, run: () => Result): Result {
    if (this.done.has(name)) return this.done.get(name) as Result;
    const result = run();
    this.done.set(name, result);
    if (this.touches++ !== this.suspendAt) return result;
    throw new Suspension();
  }

  private run(number: number, argument: Bytes): Errno {
    this.touches = 0;
    this.done.clear();
    for (;;) {
      try {
        return this.connection.file.ioctl(number, argument, this);
      } catch (thrown) {
        if (!(thrown instanceof Suspension)) throw thrown;
        this.meanwhile();
      }
    }
  }

  /** An ioctl whose structure has these fields. */
  ioctl(number: number, layout: Readonly<Record<string, number>>, fields: Readonly<Record<string, number>>): Errno {
    const argument = new Bytes(new ArrayBuffer(layout['sizeof'] as number));
    for (const [name, value] of Object.entries(fields)) setField(argument, layout[name] as number, value);
    const before = argument.u8.slice();
    const error = this.run(number, argument);
    expect(argument.u8).toEqual(before);
    return error;
  }

  store(offset: number, layout: Readonly<Record<string, number>>, fields: Readonly<Record<string, number>>): void {
    this.bytes.zero(offset, offset + (layout['sizeof'] as number));
    for (const [name, value] of Object.entries(fields)) {
      setField(this.bytes, offset + (layout[name] as number), value);
    }
  }

  storeIds(offset: number, ids: readonly number[], stride = 8): void {
    for (const [i, id] of ids.entries()) setField(this.bytes, offset + i * stride, id);
  }

  storeEntries(offset: number, entries: readonly (readonly [flags: number, id: number])[]): void {
    for (const [i, [flags, id]] of entries.entries()) this.store(offset + i * ENTRY, TransferEntry, { flags, id });
  }

  ids(offset: number, count: number): number[] {
    const { bytes } = this;
    return Array.from({ length: count }, (_, i) => bytes.u64(offset + i * ENTRY + TransferEntry.id));
  }

  transfer(entries: readonly (readonly [flags: number, id: number])[], to = ALL_ONES): Errno {
    this.storeEntries(AT.src, entries);
    return this.ioctl(Command.TRANSFER, Transfer, {
      to,
      n_transfers: entries.length,
      ptr_src: address(AT.src),
      ptr_dst: address(AT.dst),
    });
  }

  create(): { node: number; handle: number } {
    expect(this.transfer([CREATE])).toBe(Errno.OK);
    return { node: this.ids(AT.src, 1)[0] as number, handle: this.ids(AT.dst, 1)[0] as number };
  }

  send(
    destinations: readonly number[],
    { transfers = [] as number[], text = '', errors = address(AT.errors) } = {},
  ): Errno {
    this.storeIds(AT.ids, destinations);
    this.storeEntries(
      AT.src,
      transfers.map((id) => [0, id]),
    );
    this.bytes.u8.set(Buffer.from(text), AT.data);
    this.storeVecs([[address(AT.data), text.length]]);
    this.store(AT.message, MessageStruct, {
      n_transfers: transfers.length,
      ptr_transfers: address(AT.src),
      n_data: text.length,
      n_data_vecs: 1,
      ptr_data_vecs: address(AT.vecs),
    });
    return this.sendMessage(destinations.length, errors);
  }

  sendMessage(n_destinations = 0, ptr_errors = 0): Errno {
    return this.ioctl(Command.SEND, Send, {
      n_destinations,
      ptr_destinations: address(AT.ids),
      ptr_errors,
      ptr_message: address(AT.message),
    });
  }

  storeVecs(vecs: readonly (readonly [address: number, length: number])[]): void {
    for (const [i, [base, length]] of vecs.entries()) {
      if (this.is32Bit) {
        this.bytes.setU32(AT.vecs + i * 8, base);
        this.bytes.setU32(AT.vecs + i * 8 + 4, length);
      } else {
        setField(this.bytes, AT.vecs + i * 16, base);
        setField(this.bytes, AT.vecs + i * 16 + 8, length);
      }
    }
  }

  receive(room: Readonly<Record<string, number>> = {}): Errno {
    this.storeVecs([[address(AT.data), 0x1000]]);
    this.store(AT.message, MessageStruct, {
      type: ALL_ONES,
      n_transfers: 16,
      ptr_transfers: address(AT.dst),
      n_data: 0x1000,
      n_data_vecs: 1,
      ptr_data_vecs: address(AT.vecs),
      ...room,
    });
    return this.ioctl(Command.RECV, Recv, { ptr_metadata: address(AT.metadata), ptr_message: address(AT.message) });
  }

  release(ids: readonly number[]): Errno {
    this.storeIds(AT.ids, ids);
    return this.ioctl(Command.RELEASE, Release, { n_ids: ids.length, ptr_ids: address(AT.ids) });
  }

  message(field: keyof typeof MessageStruct): number {
    return this.bytes.u64(AT.message + MessageStruct[field]);
  }

  metadata(field: keyof typeof Metadata): number {
    return this.bytes.u64(AT.metadata + Metadata[field]);
  }

  text(): string {
    return this.bytes.text(AT.data, AT.data + this.message('n_data'));
  }
}

const ALL_ONES = 2 ** 64;
const CREATE = [1, ALL_ONES] as const;

function setField(bytes: Bytes, offset: number, value: number): void {
  if (value === ALL_ONES) bytes.setAllOnes64(offset);
  else bytes.setBigU64(offset, BigInt(value));
}

describe('TRANSFER', () => {
  test('writes what it made, and leaves what it copied', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    expect(client.transfer([[0, handle], CREATE, [0, handle], CREATE, [0, handle]])).toBe(Errno.OK);
    expect(client.ids(AT.src, 5)).toEqual([3, 7, 3, 13, 3]);
    expect(client.ids(AT.dst, 5)).toEqual([5, 9, 11, 15, 17]);
  });

  test('writes to the source only from the first to the last that it made', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    client.transfer([[0, handle], CREATE, [0, handle], CREATE, [0, handle]]);
    expect(client.scattered).toEqual([
      [address(AT.src + ENTRY), 3 * ENTRY],
      [address(AT.dst), 5 * ENTRY],
    ]);
    client.transfer([[0, handle]]);
    expect(client.scattered[0]?.[1]).toBe(0);
  });

  test('into the array that it comes from leaves the handles there', () => {
    const client = new Program(new World());
    client.storeEntries(AT.src, [CREATE, CREATE]);
    const array = address(AT.src);
    const fields = { to: ALL_ONES, n_transfers: 2, ptr_src: array, ptr_dst: array };
    expect(client.ioctl(Command.TRANSFER, Transfer, fields)).toBe(Errno.OK);
    expect(client.ids(AT.src, 2)).toEqual([3, 7]);
  });

  test.each([
    ['a flag that does not exist', 2, Errno.EINVAL],
    ['an id for what is to be made', 1, Errno.EINVAL],
    ['a handle that does not exist', 0, Errno.EBADRQC],
  ] as const)('with %s tells what came before and makes nothing', (_, flags, error) => {
    const client = new Program(new World());
    expect(client.transfer([CREATE, CREATE, [flags, 99], CREATE])).toBe(error);
    expect(client.ids(AT.src, 3)).toEqual([1, 5, 99]);
    expect(client.ids(AT.dst, 3)).toEqual([3, 7, 0]);
    expect(client.create()).toEqual({ node: 9, handle: 11 });
    client.storeIds(AT.ids, [1]);
    expect(client.ioctl(Command.RELEASE, Release, { n_ids: 1, ptr_ids: address(AT.ids) })).toBe(Errno.EBADRQC);
  });

  test('more than a user may have is refused before anything is read', () => {
    const client = new Program(new World());
    const fields = {
      to: ALL_ONES,
      n_transfers: LIMITS.objects + 1,
      ptr_src: address(AT.src),
      ptr_dst: address(AT.dst),
    };
    expect(client.ioctl(Command.TRANSFER, Transfer, fields)).toBe(Errno.EDQUOT);
    expect(client.ioctl(Command.TRANSFER, Transfer, { ...fields, n_transfers: 2 ** 63 })).toBe(Errno.EDQUOT);
    expect(client.touches).toBe(0);
  });
});

describe('RELEASE', () => {
  test('looks at the ids in order', () => {
    const client = new Program(new World());
    const { node } = client.create();
    const { size } = client.bytes;
    const release = (n_ids: number, offset: number): Errno =>
      client.ioctl(Command.RELEASE, Release, { n_ids, ptr_ids: address(offset) });
    client.storeIds(size - 8, [node]);
    expect(release(2, size - 8)).toBe(Errno.EFAULT);
    client.storeIds(size - 8, [node + 1]);
    expect(release(2, size - 8)).toBe(Errno.EBADRQC);
    expect(release(LIMITS.objects + 1, AT.ids)).toBe(Errno.EINVAL);
    client.storeIds(AT.ids, [node, node, node]);
    expect(release(3, AT.ids)).toBe(Errno.OK);
    expect(release(1, AT.ids)).toBe(Errno.EBADRQC);
  });
});

describe('SEND', () => {
  test('needs no place for errors', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    client.bytes.setI32(AT.errors, -1);
    expect(client.send([handle], { text: 'told' })).toBe(Errno.OK);
    expect(client.bytes.i32(AT.errors)).toBe(0);
    expect(client.send([handle], { text: 'not told', errors: 0 })).toBe(Errno.OK);
    expect([client.receive(), client.text()]).toEqual([Errno.OK, 'told']);
    expect([client.receive(), client.text()]).toEqual([Errno.OK, 'not told']);
    expect(client.connection.wakes).toBe(1);
  });

  test('reports what fails first', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    expect(client.send([handle, 99], { errors: BAD_ADDRESS })).toBe(Errno.EFAULT);
    expect(client.send([99, handle], { errors: BAD_ADDRESS })).toBe(Errno.EBADRQC);
    expect(client.send([99], { transfers: [98] })).toBe(Errno.EBADRQC);
    expect(client.receive()).toBe(Errno.EAGAIN);
  });

  test('more than anybody could get is refused before it is read', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    const tryWith = (fields: Readonly<Record<string, number>>): Errno => {
      client.store(AT.message, MessageStruct, fields);
      client.touches = 0;
      const error = client.sendMessage();
      expect(client.touches).toBe(1); // the structure itself
      return error;
    };
    expect(tryWith({ n_data: LIMITS.bytes + 1 })).toBe(Errno.EDQUOT);
    expect(tryWith({ n_data: 0x7fff_f001 })).toBe(Errno.EMSGSIZE);
    expect(tryWith({ n_transfers: LIMITS.objects + 1 })).toBe(Errno.EDQUOT);
    expect(tryWith({ n_data_vecs: 2 ** 32 })).toBe(Errno.EFAULT);
    expect(tryWith({ n_data_vecs: 1025 })).toBe(Errno.EINVAL);
    expect(tryWith({ n_data: 1 })).toBe(Errno.EMSGSIZE);
    const count = LIMITS.objects / 4;
    client.store(AT.message, MessageStruct, { n_transfers: 3, ptr_transfers: address(AT.src) });
    client.storeEntries(
      AT.src,
      [handle, handle, handle].map((id) => [0, id]),
    );
    client.touches = 0;
    expect(client.sendMessage(count + 1)).toBe(Errno.EDQUOT);
    expect(client.touches).toBe(2);
    expect(client.sendMessage(count)).toBe(Errno.EBADRQC);
  });

  test('takes the vectors of 32-bit programs', () => {
    const client = new Program(new World());
    client.is32Bit = true;
    const { handle } = client.create();
    const memory = client.bytes;
    memory.u8.set(Buffer.from('abcdef'), AT.data);
    client.storeVecs([
      [address(AT.data + 3), 3],
      [address(AT.data), 3],
    ]);
    const fields = { n_data: 6, n_data_vecs: 2, ptr_data_vecs: address(AT.vecs) };
    client.storeIds(AT.ids, [handle]);
    client.store(AT.message, MessageStruct, fields);
    expect(client.sendMessage(1)).toBe(Errno.OK);
    client.storeVecs([
      [address(AT.data), 0x8000_0000],
      [address(AT.data), 3],
    ]);
    expect(client.sendMessage(1)).toBe(Errno.EINVAL);
    client.storeVecs([
      [address(AT.data + 100), 1],
      [address(AT.data + 200), 5],
    ]);
    client.store(AT.message, MessageStruct, { ...fields, type: ALL_ONES });
    const recv = { ptr_metadata: address(AT.metadata), ptr_message: address(AT.message) };
    expect(client.ioctl(Command.RECV, Recv, recv)).toBe(Errno.OK);
    expect(memory.text(AT.data + 100, AT.data + 101)).toBe('d');
    expect(memory.text(AT.data + 200, AT.data + 205)).toBe('efabc');
  });
});

describe('RECV', () => {
  test('tells who sent it as the receiver sees it', () => {
    const world = new World();
    const receiver = new Program(world, 7, 1000);
    const sender = new Program(world, 42);
    receiver.files.set(5, sender.connection.file);
    expect(receiver.transfer([CREATE], 5)).toBe(Errno.OK);
    expect(sender.send([1], { text: 'hello' })).toBe(Errno.OK);
    expect(receiver.receive()).toBe(Errno.OK);
    expect([receiver.text(), receiver.metadata('id'), receiver.metadata('account')]).toEqual(['hello', 1, 1042]);
    expect([receiver.message('type'), receiver.message('ptr_data_vecs')]).toEqual([MessageType.USER, address(AT.vecs)]);
  });

  test('keeps a message that does not fit, and says what it needs', () => {
    const client = new Program(new World());
    const { node, handle } = client.create();
    client.send([handle], { transfers: [handle, handle], text: 'abc' });
    for (const room of [{ n_transfers: 1 }, { n_data: 2 }, { n_data: 0, n_data_vecs: 0 }, { n_data: 0x1001 }]) {
      expect(client.receive(room)).toBe(Errno.EMSGSIZE);
      expect([client.message('n_transfers'), client.message('n_data'), client.message('type')]).toEqual([
        2,
        3,
        ALL_ONES,
      ]);
    }
    expect(client.receive({ n_transfers: 2, n_data: 3 })).toBe(Errno.OK);
    expect([client.metadata('id'), ...client.ids(AT.dst, 2)]).toEqual([node, 5, 7]);
    expect(client.receive()).toBe(Errno.EAGAIN);
  });

  test('that cannot write all of it takes nothing', () => {
    const client = new Program(new World());
    const { node, handle } = client.create();
    client.send([handle], { transfers: [handle], text: 'abc' });
    expect(client.receive({ ptr_transfers: BAD_ADDRESS })).toBe(Errno.EFAULT);
    expect(client.receive({ ptr_data_vecs: BAD_ADDRESS })).toBe(Errno.EFAULT);
    // that there is no place for the ids comes before what is wrong with the vectors
    expect(client.receive({ n_data_vecs: 1025 })).toBe(Errno.EINVAL);
    expect(client.receive({ n_data_vecs: 1025, ptr_transfers: BAD_ADDRESS })).toBe(Errno.EFAULT);
    client.receive({ flags: 1, n_transfers: 1, n_data: 3 }); // puts everything where it belongs
    client.bytes.setU64(AT.message + MessageStruct.flags, 0);
    const recv = { ptr_metadata: BAD_ADDRESS, ptr_message: address(AT.message) };
    expect(client.ioctl(Command.RECV, Recv, recv)).toBe(Errno.EFAULT);
    expect(client.connection.file.poll() & Poll.IN).toBe(Poll.IN);
    expect(client.receive()).toBe(Errno.OK);
    expect([client.text(), client.metadata('id'), ...client.ids(AT.dst, 1)]).toEqual(['abc', node, 5]);
  });

  test('keeps all bits of pointers that it does not need', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    client.send([handle], { text: 'abc' });
    client.receive({ flags: 1 });
    client.store(AT.message, MessageStruct, {
      type: ALL_ONES,
      n_data: 3,
      n_data_vecs: 1,
      ptr_data_vecs: address(AT.vecs),
    });
    client.bytes.setBigU64(AT.message + MessageStruct.ptr_transfers, 0xdead_beef_dead_beefn);
    const recv = { ptr_metadata: address(AT.metadata), ptr_message: address(AT.message) };
    expect(client.ioctl(Command.RECV, Recv, recv)).toBe(Errno.OK);
    expect(client.bytes.bigU64(AT.message + MessageStruct.ptr_transfers)).toBe(0xdead_beef_dead_beefn);
  });
});

test('vectors count for as much as one system call copies', () => {
  const check = (length: number, size: number): Errno => {
    const client = new Program(new World());
    client.storeVecs([
      [BASE, length],
      [BASE, length],
    ]);
    return readVectors(client, placeVectors(client, address(AT.vecs), 2), size);
  };
  expect(check(0x7fff_f000, 0x7fff_f000)).toBe(Errno.OK);
  expect(check(0x7fff_f000, 0x7fff_f001)).toBe(Errno.EMSGSIZE);
  expect(check(2 ** 47, 0)).toBe(Errno.EFAULT);
  expect(check(2 ** 63, 0)).toBe(Errno.EINVAL);
});

describe('a call that is suspended', () => {
  const POINTS = [0, 1, 2, 3, 4];

  test.each(POINTS)('in operation %i has the same outcome', (suspendAt) => {
    for (const is32Bit of [false, true]) {
      const client = new Program(new World());
      client.suspendAt = suspendAt;
      const { node, handle } = client.create();
      expect([node, handle]).toEqual([1, 3]);
      expect(client.transfer([CREATE, [0, handle], [0, 99]])).toBe(Errno.EBADRQC);
      expect(client.transfer([[0, handle], CREATE])).toBe(Errno.OK);
      expect(client.ids(AT.dst, 2)).toEqual([11, 15]);
      client.is32Bit = is32Bit;
      expect(client.send([handle, 11], { transfers: [handle], text: 'hello' })).toBe(Errno.OK);
      expect(client.send([handle, 12])).toBe(Errno.EBADRQC);
      expect(client.receive({ n_data: 4 })).toBe(Errno.EMSGSIZE);
      expect(client.receive()).toBe(Errno.OK);
      expect([client.text(), client.metadata('id'), ...client.ids(AT.dst, 1)]).toEqual(['hello', node, 17]);
      expect(client.receive()).toBe(Errno.OK);
      expect([client.text(), ...client.ids(AT.dst, 1)]).toEqual(['hello', 19]);
      expect(client.receive()).toBe(Errno.EAGAIN);
      expect(client.release([node, handle, 11, 13, 15, 17, 19])).toBe(Errno.OK);
      expect(client.receive()).toBe(Errno.EAGAIN);
      expect(client.connection.file.status().used2026).toEqual({ objects: 0, bytes: 0 });
    }
  });

  test('has reserved nothing meanwhile', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    const seen: unknown[] = [];
    client.meanwhile = () => seen.push(client.connection.file.status().used2026);
    client.suspendAt = 3; // where errors are written
    expect(client.send([handle, handle], { transfers: [handle], text: 'abc' })).toBe(Errno.OK);
    client.suspendAt = 1; // where ids are written
    expect(client.transfer([CREATE])).toBe(Errno.OK);
    expect(seen).toEqual([
      { objects: 2, bytes: 0 },
      { objects: 6, bytes: 6 },
    ]);
  });

  test('gives nobody what somebody else has received meanwhile', () => {
    const client = new Program(new World());
    const { handle } = client.create();
    const other = new Program(new World());
    const thread = Object.assign(other, { connection: client.connection });
    client.send([handle], { text: 'first' });
    client.send([handle], { text: 'second' });
    client.suspendAt = 2;
    client.meanwhile = () => expect([thread.receive(), thread.text()]).toEqual([Errno.OK, 'first']);
    expect([client.receive(), client.text()]).toEqual([Errno.OK, 'second']);
    expect(client.receive()).toBe(Errno.EAGAIN);
  });
});

describe('a file', () => {
  const query = (client: Program): Errno =>
    client.ioctl(Command2016.PEER_QUERY, { sizeof: 32, flags: 0 }, { flags: 2 });

  test('speaks the ABI of its first command', () => {
    const world = new World();
    const [old, young] = [new Program(world), new Program(world)];
    expect(query(old)).toBe(Errno.EINVAL);
    expect(old.receive()).toBe(Errno.ENOTTY);
    expect(young.receive()).toBe(Errno.EAGAIN);
    expect(query(young)).toBe(Errno.ENOTTY);
    young.files.set(5, old.connection.file);
    expect(young.transfer([CREATE], 5)).toBe(Errno.EOPNOTSUPP);
  });

  test('speaks none before, and shows in the status which one then', () => {
    const world = new World();
    const [fresh, old, young] = [new Program(world), new Program(world), new Program(world)];
    fresh.ioctl(0x5401, { sizeof: 8 }, {});
    query(old);
    const { handle } = young.create();
    young.send([handle], { transfers: [handle, handle], text: 'abc' });
    expect(world.device.status().peers).toMatchObject([
      { abi: undefined, nodes: 0, handles: 0 },
      { abi: '2016', used: { slices: 0 } },
      { abi: '2026', nodes: 1, handles: 1, queued: 1, used2026: { objects: 5, bytes: 3 } },
    ]);
    young.connection.close();
    expect(world.device.status().peers.length).toBe(2);
  });
});
