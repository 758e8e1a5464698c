import { describe, expect, test } from 'vitest';
import { Bytes } from '../../../../src/base/bytes.js';
import { Errno } from '../../../../src/base/errno.js';
import { DEFAULT_LIMITS } from '../../../../src/bus/quota.js';
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
import { readVectors } from '../../../../src/bus1/2026/vectors.js';
import { Command as Command2016 } from '../../../../src/bus1/bus1-abi.js';
import { Bus1Device } from '../../../../src/bus1/bus1-device.js';
import { type OpenFile, Poll } from '../../../../src/device.js';
import { BASE, FakeCaller } from '../../../support/fake-caller.js';

const ENTRY = TransferEntry.sizeof;
/** Where the tests put what they point to, in the memory of the caller. */
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

const log = { warn: () => {}, error: () => {} } as never;
const memory = { address: 0, fd: -1, write: () => true, discard: () => {}, closeFd: () => {}, release: () => {} };

const newDevice = (): Bus1Device =>
  new Bus1Device({
    limits: DEFAULT_LIMITS,
    attributes: { mode: 0o666, uid: 0, gid: 0 },
    createMemory: () => memory,
    log,
  });

/** A client with one open file. */
class Client {
  readonly caller: FakeCaller;
  readonly file: OpenFile;
  wakes = 0;

  constructor(device: Bus1Device, options: ConstructorParameters<typeof FakeCaller>[0] = {}) {
    this.caller = new FakeCaller(options);
    const file = device.open(this.caller, new Set());
    if (typeof file === 'number') throw new Error(`open failed with ${file}`);
    this.file = file;
    file.onPollChange = () => this.wakes++;
  }

  /** An ioctl whose structure has these fields. */
  command(number: number, layout: Readonly<Record<string, number>>, fields: Readonly<Record<string, number>>): Errno {
    const argument = new Bytes(new ArrayBuffer(layout['sizeof'] as number));
    for (const [name, value] of Object.entries(fields)) setField(argument, layout[name] as number, value);
    const before = argument.u8.slice();
    const error = this.file.ioctl(number, argument, this.caller) as Errno;
    expect(argument.u8).toEqual(before);
    return error;
  }

  put(offset: number, layout: Readonly<Record<string, number>>, fields: Readonly<Record<string, number>>): void {
    this.caller.memory.zero(offset, offset + (layout['sizeof'] as number));
    for (const [name, value] of Object.entries(fields)) {
      setField(this.caller.memory, offset + (layout[name] as number), value);
    }
  }

  putIds(offset: number, ids: readonly number[], stride = 8): void {
    for (const [i, id] of ids.entries()) setField(this.caller.memory, offset + i * stride, id);
  }

  putEntries(offset: number, entries: readonly (readonly [flags: number, id: number])[]): void {
    for (const [i, [flags, id]] of entries.entries()) this.put(offset + i * ENTRY, TransferEntry, { flags, id });
  }

  ids(offset: number, count: number): number[] {
    const { memory } = this.caller;
    return Array.from({ length: count }, (_, i) => memory.u64(offset + i * ENTRY + TransferEntry.id));
  }

  transfer(entries: readonly (readonly [flags: number, id: number])[], to = ALL_ONES): Errno {
    this.putEntries(AT.src, entries);
    return this.command(Command.TRANSFER, Transfer, {
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
    this.putIds(AT.ids, destinations);
    this.putEntries(
      AT.src,
      transfers.map((id) => [0, id]),
    );
    this.caller.memory.u8.set(Buffer.from(text), AT.data);
    this.putVecs([[address(AT.data), text.length]]);
    this.put(AT.message, MessageStruct, {
      n_transfers: transfers.length,
      ptr_transfers: address(AT.src),
      n_data: text.length,
      n_data_vecs: 1,
      ptr_data_vecs: address(AT.vecs),
    });
    return this.sendMessage(destinations.length, errors);
  }

  sendMessage(n_destinations = 0, ptr_errors = 0): Errno {
    return this.command(Command.SEND, Send, {
      n_destinations,
      ptr_destinations: address(AT.ids),
      ptr_errors,
      ptr_message: address(AT.message),
    });
  }

  putVecs(vecs: readonly (readonly [address: number, length: number])[]): void {
    for (const [i, [base, length]] of vecs.entries()) {
      setField(this.caller.memory, AT.vecs + i * 16, base);
      setField(this.caller.memory, AT.vecs + i * 16 + 8, length);
    }
  }

  receive(room: Readonly<Record<string, number>> = {}): Errno {
    this.putVecs([[address(AT.data), 0x1000]]);
    this.put(AT.message, MessageStruct, {
      type: ALL_ONES,
      n_transfers: 16,
      ptr_transfers: address(AT.dst),
      n_data: 0x1000,
      n_data_vecs: 1,
      ptr_data_vecs: address(AT.vecs),
      ...room,
    });
    return this.command(Command.RECV, Recv, { ptr_metadata: address(AT.metadata), ptr_message: address(AT.message) });
  }

  message(field: keyof typeof MessageStruct): number {
    return this.caller.memory.u64(AT.message + MessageStruct[field]);
  }

  metadata(field: keyof typeof Metadata): number {
    return this.caller.memory.u64(AT.metadata + Metadata[field]);
  }

  text(): string {
    return this.caller.memory.text(AT.data, AT.data + this.message('n_data'));
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
    const client = new Client(newDevice());
    const { handle } = client.create();
    expect(client.transfer([[0, handle], CREATE, [0, handle], CREATE, [0, handle]])).toBe(Errno.OK);
    expect(client.ids(AT.src, 5)).toEqual([3, 7, 3, 13, 3]);
    expect(client.ids(AT.dst, 5)).toEqual([5, 9, 11, 15, 17]);
  });

  test('writes to the source only where it made something', () => {
    const client = new Client(newDevice());
    const { handle } = client.create();
    const end = client.caller.readOnly - BASE + 4096;
    const transfer = (offset: number): Errno => {
      client.putEntries(offset, [[0, handle], CREATE, CREATE, [0, handle]]);
      const arrays = { ptr_src: address(offset), ptr_dst: address(AT.dst) };
      return client.command(Command.TRANSFER, Transfer, { to: ALL_ONES, n_transfers: 4, ...arrays });
    };
    expect(transfer(end - ENTRY)).toBe(Errno.OK);
    expect(transfer(end - 4096 - 3 * ENTRY)).toBe(Errno.OK);
    expect(transfer(end - 2 * ENTRY)).toBe(Errno.EFAULT);
    expect(transfer(end - 4096 - 2 * ENTRY)).toBe(Errno.EFAULT);
  });

  test.each([
    ['a flag that does not exist', 2, Errno.EINVAL],
    ['an id for what is to be made', 1, Errno.EINVAL],
    ['a handle that does not exist', 0, Errno.EBADRQC],
  ] as const)('with %s tells what came before and makes nothing', (_, flags, error) => {
    const client = new Client(newDevice());
    expect(client.transfer([CREATE, CREATE, [flags, 99], CREATE])).toBe(error);
    expect(client.ids(AT.src, 3)).toEqual([1, 5, 99]);
    expect(client.ids(AT.dst, 3)).toEqual([3, 7, 0]);
    expect(client.create()).toEqual({ node: 9, handle: 11 });
    client.putIds(AT.ids, [1]);
    expect(client.command(Command.RELEASE, Release, { n_ids: 1, ptr_ids: address(AT.ids) })).toBe(Errno.EBADRQC);
  });

  test('more than a user may have is refused before anything is read', () => {
    const client = new Client(newDevice());
    const fields = {
      to: ALL_ONES,
      n_transfers: LIMITS.objects + 1,
      ptr_src: address(AT.src),
      ptr_dst: address(AT.dst),
    };
    expect(client.command(Command.TRANSFER, Transfer, fields)).toBe(Errno.EDQUOT);
    expect(client.command(Command.TRANSFER, Transfer, { ...fields, n_transfers: 2 ** 63 })).toBe(Errno.EDQUOT);
    expect(client.caller.touches).toBe(0);
  });
});

describe('RELEASE', () => {
  test('looks at the ids in order', () => {
    const client = new Client(newDevice());
    const { node } = client.create();
    const { size } = client.caller.memory;
    const release = (n_ids: number, offset: number): Errno =>
      client.command(Command.RELEASE, Release, { n_ids, ptr_ids: address(offset) });
    client.putIds(size - 8, [node]);
    expect(release(2, size - 8)).toBe(Errno.EFAULT);
    client.putIds(size - 8, [node + 1]);
    expect(release(2, size - 8)).toBe(Errno.EBADRQC);
    expect(release(LIMITS.objects + 1, AT.ids)).toBe(Errno.EINVAL);
    client.putIds(AT.ids, [node, node, node]);
    expect(release(3, AT.ids)).toBe(Errno.OK);
    expect(release(1, AT.ids)).toBe(Errno.EBADRQC);
  });
});

describe('SEND', () => {
  test('needs no place for errors', () => {
    const client = new Client(newDevice());
    const { handle } = client.create();
    client.caller.memory.setI32(AT.errors, -1);
    expect(client.send([handle], { text: 'told' })).toBe(Errno.OK);
    expect(client.caller.memory.i32(AT.errors)).toBe(0);
    expect(client.send([handle], { text: 'not told', errors: 0 })).toBe(Errno.OK);
    expect([client.receive(), client.text()]).toEqual([Errno.OK, 'told']);
    expect([client.receive(), client.text()]).toEqual([Errno.OK, 'not told']);
    expect(client.wakes).toBe(1);
  });

  test('reports what fails first', () => {
    const client = new Client(newDevice());
    const { handle } = client.create();
    expect(client.send([handle, 99], { errors: client.caller.readOnly })).toBe(Errno.EFAULT);
    expect(client.send([99, handle], { errors: client.caller.readOnly })).toBe(Errno.EBADRQC);
    expect(client.send([99], { transfers: [98] })).toBe(Errno.EBADRQC);
    expect(client.receive()).toBe(Errno.EAGAIN);
  });

  test('more than anybody could get is refused before it is read', () => {
    const client = new Client(newDevice());
    const { handle } = client.create();
    const tryWith = (fields: Readonly<Record<string, number>>): Errno => {
      client.put(AT.message, MessageStruct, fields);
      client.caller.touches = 0;
      const error = client.sendMessage();
      expect(client.caller.touches).toBe(1); // the structure itself
      return error;
    };
    expect(tryWith({ n_data: LIMITS.bytes + 1 })).toBe(Errno.EDQUOT);
    expect(tryWith({ n_data: 0x7fff_f001 })).toBe(Errno.EMSGSIZE);
    expect(tryWith({ n_transfers: LIMITS.objects + 1 })).toBe(Errno.EDQUOT);
    expect(tryWith({ n_data_vecs: 2 ** 32 })).toBe(Errno.EFAULT);
    expect(tryWith({ n_data_vecs: 1025 })).toBe(Errno.EINVAL);
    expect(tryWith({ n_data: 1 })).toBe(Errno.EMSGSIZE);
    const count = LIMITS.objects / 4;
    client.put(AT.message, MessageStruct, { n_transfers: 3, ptr_transfers: address(AT.src) });
    client.putEntries(
      AT.src,
      [handle, handle, handle].map((id) => [0, id]),
    );
    client.caller.touches = 0;
    expect(client.sendMessage(count + 1)).toBe(Errno.EDQUOT);
    expect(client.caller.touches).toBe(2);
    expect(client.sendMessage(count)).toBe(Errno.EBADRQC);
  });

  test('takes the vectors of 32-bit programs', () => {
    const client = new Client(newDevice(), { is32Bit: true });
    const { handle } = client.create();
    const { memory } = client.caller;
    memory.u8.set(Buffer.from('abcdef'), AT.data);
    const setVecs = (vecs: readonly (readonly [base: number, length: number])[]): void => {
      for (const [i, [base, length]] of vecs.entries()) {
        memory.setU32(AT.vecs + i * 8, base);
        memory.setU32(AT.vecs + i * 8 + 4, length);
      }
    };
    setVecs([
      [address(AT.data + 3), 3],
      [address(AT.data), 3],
    ]);
    const fields = { n_data: 6, n_data_vecs: 2, ptr_data_vecs: address(AT.vecs) };
    client.putIds(AT.ids, [handle]);
    client.put(AT.message, MessageStruct, fields);
    expect(client.sendMessage(1)).toBe(Errno.OK);
    setVecs([
      [address(AT.data), 0x8000_0000],
      [address(AT.data), 3],
    ]);
    expect(client.sendMessage(1)).toBe(Errno.EINVAL);
    setVecs([
      [address(AT.data + 100), 1],
      [address(AT.data + 200), 5],
    ]);
    client.put(AT.message, MessageStruct, { ...fields, type: ALL_ONES });
    const recv = { ptr_metadata: address(AT.metadata), ptr_message: address(AT.message) };
    expect(client.command(Command.RECV, Recv, recv)).toBe(Errno.OK);
    expect(memory.text(AT.data + 100, AT.data + 101)).toBe('d');
    expect(memory.text(AT.data + 200, AT.data + 205)).toBe('efabc');
  });
});

describe('RECV', () => {
  test('tells who sent it as the receiver sees it', () => {
    const device = newDevice();
    const receiver = new Client(device, { uid: 7 });
    const sender = new Client(device, { uid: 42 });
    receiver.caller.files.set(5, sender.file);
    expect(receiver.transfer([CREATE], 5)).toBe(Errno.OK);
    expect(sender.send([1], { text: 'hello' })).toBe(Errno.OK);
    expect(receiver.receive()).toBe(Errno.OK);
    expect([receiver.text(), receiver.metadata('id'), receiver.metadata('account')]).toEqual(['hello', 1, 1042]);
    expect([receiver.message('type'), receiver.message('ptr_data_vecs')]).toEqual([MessageType.USER, address(AT.vecs)]);
  });

  test('keeps a message that does not fit, and says what it needs', () => {
    const client = new Client(newDevice());
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
    const client = new Client(newDevice());
    const { readOnly } = client.caller;
    const { node, handle } = client.create();
    client.send([handle], { transfers: [handle], text: 'abc' });
    expect(client.receive({ ptr_transfers: readOnly })).toBe(Errno.EFAULT);
    expect(client.receive({ ptr_data_vecs: client.caller.end })).toBe(Errno.EFAULT);
    for (const [ptr_metadata, ptr_message] of [
      [readOnly, address(AT.message)],
      [address(AT.metadata), readOnly],
    ] as const) {
      client.receive({ flags: 1 }); // puts everything where it belongs
      const room = { type: ALL_ONES, n_transfers: 1, ptr_transfers: address(AT.dst), n_data: 3, n_data_vecs: 1 };
      for (const offset of [AT.message, readOnly - BASE]) {
        client.put(offset, MessageStruct, { ...room, ptr_data_vecs: address(AT.vecs) });
      }
      expect(client.command(Command.RECV, Recv, { ptr_metadata, ptr_message })).toBe(Errno.EFAULT);
    }
    expect(client.file.poll() & Poll.IN).toBe(Poll.IN);
    expect(client.receive()).toBe(Errno.OK);
    expect([client.text(), client.metadata('id'), ...client.ids(AT.dst, 1)]).toEqual(['abc', node, 5]);
  });

  test('keeps all bits of pointers that it does not need', () => {
    const client = new Client(newDevice());
    const { handle } = client.create();
    client.send([handle], { text: 'abc' });
    client.receive({ flags: 1 });
    client.put(AT.message, MessageStruct, {
      type: ALL_ONES,
      n_data: 3,
      n_data_vecs: 1,
      ptr_data_vecs: address(AT.vecs),
    });
    client.caller.memory.setBigU64(AT.message + MessageStruct.ptr_transfers, 0xdead_beef_dead_beefn);
    const recv = { ptr_metadata: address(AT.metadata), ptr_message: address(AT.message) };
    expect(client.command(Command.RECV, Recv, recv)).toBe(Errno.OK);
    expect(client.caller.memory.bigU64(AT.message + MessageStruct.ptr_transfers)).toBe(0xdead_beef_dead_beefn);
  });
});

test('vectors count for as much as one system call copies', () => {
  const { caller } = new Client(newDevice());
  const setVecs = (length: number): void => {
    for (let i = 0; i < 2; i++) {
      setField(caller.memory, i * 16, BASE);
      setField(caller.memory, i * 16 + 8, length);
    }
  };
  setVecs(0x7fff_f000);
  expect(readVectors(caller, BASE, 2, 0x7fff_f000)).toBe(Errno.OK);
  expect(readVectors(caller, BASE, 2, 0x7fff_f001)).toBe(Errno.EMSGSIZE);
  setVecs(2 ** 47);
  expect(readVectors(caller, BASE, 2, 0)).toBe(Errno.EFAULT);
  setVecs(2 ** 63);
  expect(readVectors(caller, BASE, 2, 0)).toBe(Errno.EINVAL);
});

describe('a file', () => {
  const query = (client: Client): Errno =>
    client.command(Command2016.PEER_QUERY, { sizeof: 32, flags: 0 }, { flags: 2 });

  test('speaks the ABI of its first command', () => {
    const device = newDevice();
    const [old, young] = [new Client(device), new Client(device)];
    expect(query(old)).toBe(Errno.EINVAL);
    expect(old.receive()).toBe(Errno.ENOTTY);
    expect(young.receive()).toBe(Errno.EAGAIN);
    expect(query(young)).toBe(Errno.ENOTTY);
  });

  test('speaks none before, and shows in the status which one then', () => {
    const device = newDevice();
    const [fresh, old, young] = [new Client(device), new Client(device), new Client(device)];
    fresh.command(0x5401, { sizeof: 8 }, {});
    query(old);
    const { handle } = young.create();
    young.send([handle], { transfers: [handle, handle], text: 'abc' });
    expect(device.status().peers).toMatchObject([
      { abi: undefined, nodes: 0, handles: 0 },
      { abi: '2016', used: { slices: 0 } },
      { abi: '2026', nodes: 1, handles: 1, queued: 1, used: { objects: 5, bytes: 3 } },
    ]);
    young.file.release();
    expect(device.status().peers.length).toBe(2);
  });
});
