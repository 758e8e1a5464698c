import { pino } from 'pino';
import { Bytes } from '../../src/base/bytes.js';
import { Errno } from '../../src/base/errno.js';
import type { MappedMemory } from '../../src/bus/pool.js';
import type { Budgets, UserLimits } from '../../src/bus/quota.js';
import {
  Command,
  HandleTransfer,
  NodesDestroy,
  PeerReset,
  Recv,
  Recv2019,
  readHandleId,
  Send,
  writeHandleId,
} from '../../src/bus1/bus1-abi.js';
import { Bus1Device } from '../../src/bus1/bus1-device.js';
import type { Bus1File } from '../../src/bus1/bus1-file.js';
import type { HandleId } from '../../src/bus1/model/handle-id.js';
import type {
  Caller,
  Credentials,
  HeldFiles,
  Identity,
  MemoryPart,
  MemoryRange,
  OpenFile,
  Viewpoint,
} from '../../src/device.js';
import { accounts, budgets, LIMITS } from './budgets.js';

/** What is thrown, which must be something: an error, or what is thrown through a command. */
export function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (thrown) {
    return thrown;
  }
  throw new Error('nothing was thrown');
}

/** An address at which no client has memory. */
export const BAD_ADDRESS = 0x1000;
const ALL_ONES = 2n ** 64n - 1n;
const ID_SIZE = 8;
const IOVEC_SIZE = 16;
const COMPAT_IOVEC_SIZE = 8;

/** Where pools are said to be: so far apart that an address tells which it is. */
const POOL_DISTANCE = 2 ** 40;
const pools = new Map<number, FakeMemory>();

/** As much of a pool's memory as the tests write to. */
export class FakeMemory implements MappedMemory {
  readonly fd = -1;
  readonly address = (pools.size + 1) * POOL_DISTANCE;
  readonly bytes = new Bytes(new ArrayBuffer(64 * 1024));
  private holders = 1;
  /** Whether the system has no memory for it. */
  isFull = false;

  constructor() {
    pools.set(this.address, this);
  }

  closeFd(): void {}

  write(offset: number, bytes: Uint8Array): boolean {
    if (!this.isFull) this.bytes.u8.set(bytes, offset);
    return !this.isFull;
  }

  discard(): void {}

  get isReleased(): boolean {
    return this.holders === 0;
  }

  retain(): void {
    this.holders++;
  }

  release(): void {
    this.holders--;
  }
}

/** Descriptors that somebody holds, and how many do. */
export class FakeFiles implements HeldFiles {
  readonly count: number;
  holders = 1;

  constructor(count: number) {
    this.count = count;
  }

  retain(): void {
    this.holders++;
  }

  release(): void {
    this.holders--;
  }
}

/** One that sees everybody as so much more than they are. */
export class FakeViewpoint implements Viewpoint {
  readonly shift: number;
  isReleased = false;

  constructor(shift: number) {
    this.shift = shift;
  }

  release(): void {
    this.isReleased = true;
  }
}

class FakeIdentity implements Identity {
  readonly credentials: Credentials;

  constructor(credentials: Credentials) {
    this.credentials = credentials;
  }

  seenFrom(viewpoint: Viewpoint): Credentials {
    const { shift } = viewpoint as FakeViewpoint;
    const { uid, gid, pid, tid } = this.credentials;
    return { uid: uid + shift, gid: gid + shift, pid: pid + shift, tid: tid + shift };
  }
}

/** A client without a kernel: it has memory, descriptors and an identity, and can be told to lack any of them. */
export class Client implements Caller {
  uid: number;
  gid = 20;
  pid = 300;
  tid = 301;
  is32Bit = false;
  readonly viewpoints: FakeViewpoint[] = [];
  shift = 0;
  /** Instead of who it is. */
  identityError: Errno = Errno.OK;
  viewpointError: Errno = Errno.OK;
  secctx: Uint8Array | undefined | Errno;
  secctxReads = 0;
  /** Its descriptors that are open files of the bus; all others are files of somebody else, as far as they are not negative. */
  readonly files = new Map<number, OpenFile>();
  readonly taken: FakeFiles[] = [];
  takeError: Errno = Errno.OK;
  /** What fails when descriptors are installed. */
  installError: Errno = Errno.OK;
  installed: readonly number[] = [];
  /** What the next access to its memory of a kind throws. */
  readonly throws: { read?: unknown; write?: unknown; gather?: unknown } = {};
  private readonly memory = new Map<number, Uint8Array>();
  private nextAddress = 0x10_0000;
  private scratchBytes = new Bytes(new ArrayBuffer(64));

  constructor(uid = 1000) {
    this.uid = uid;
  }

  // ---- its memory

  /** Puts bytes somewhere, with nothing readable right after them. Returns where. */
  put(bytes: Uint8Array): number {
    const address = this.nextAddress;
    this.memory.set(address, bytes);
    this.nextAddress += bytes.length + 4096;
    return address;
  }

  putIds(ids: readonly HandleId[]): number {
    const bytes = new Bytes(new ArrayBuffer(ids.length * ID_SIZE));
    for (const [i, id] of ids.entries()) writeHandleId(bytes, i * ID_SIZE, id);
    return this.put(bytes.u8);
  }

  putInts(values: readonly number[]): number {
    const bytes = new Bytes(new ArrayBuffer(values.length * 4));
    for (const [i, value] of values.entries()) bytes.setI32(i * 4, value);
    return this.put(bytes.u8);
  }

  putVectors(vectors: readonly MemoryRange[]): number {
    const size = this.is32Bit ? COMPAT_IOVEC_SIZE : IOVEC_SIZE;
    const bytes = new Bytes(new ArrayBuffer(vectors.length * size));
    for (const [i, { address, length }] of vectors.entries()) {
      if (this.is32Bit) {
        bytes.setU32(i * size, address);
        bytes.setU32(i * size + 4, length);
      } else {
        bytes.setU64(i * size, address);
        if (length < 0) bytes.setBigU64(i * size + 8, BigInt.asUintN(64, BigInt(length)));
        else bytes.setU64(i * size + 8, length);
      }
    }
    return this.put(bytes.u8);
  }

  ints(address: number): number[] {
    const bytes = this.memory.get(address) ?? new Uint8Array();
    return Array.from({ length: bytes.length / 4 }, (_, i) => Buffer.from(bytes).readInt32LE(i * 4));
  }

  /** The readable bytes from an address on, at most so many. */
  private at(address: number, length: number): Uint8Array {
    for (const [start, bytes] of this.memory) {
      if (address >= start && address < start + bytes.length)
        return bytes.subarray(address - start).subarray(0, length);
    }
    return new Uint8Array();
  }

  scratch(size: number): Bytes {
    if (size <= this.scratchBytes.size) return this.scratchBytes;
    const larger = new Bytes(new ArrayBuffer(size));
    larger.u8.set(this.scratchBytes.u8);
    this.scratchBytes = larger;
    return larger;
  }

  private throwOnce(kind: keyof typeof this.throws): void {
    const thrown = this.throws[kind];
    delete this.throws[kind];
    if (thrown !== undefined) throw thrown;
  }

  read(offset: number, ranges: readonly MemoryRange[]): number {
    this.throwOnce('read');
    let total = 0;
    for (const { address, length } of ranges) {
      const bytes = this.at(address, length);
      this.scratchBytes.u8.set(bytes, offset + total);
      total += bytes.length;
      if (bytes.length < length) break;
    }
    return total;
  }

  write(address: number, source: Bytes, length: number): Errno {
    this.throwOnce('write');
    const bytes = this.at(address, length);
    bytes.set(source.u8.subarray(0, bytes.length));
    return bytes.length === length ? Errno.OK : Errno.EFAULT;
  }

  gather(total: number, count: number, targets: readonly number[]): Errno {
    this.throwOnce('gather');
    if (total === 0 || targets.length === 0) return Errno.OK;
    const payload = new Uint8Array(total);
    let end = 0;
    for (let i = 0; i < count; i++) {
      const length = this.scratchBytes.u64(i * IOVEC_SIZE + 8);
      const bytes = this.at(this.scratchBytes.u64(i * IOVEC_SIZE), length);
      if (bytes.length < length) return Errno.EFAULT;
      payload.set(bytes, end);
      end += length;
    }
    for (const target of targets) {
      const base = Math.floor(target / POOL_DISTANCE) * POOL_DISTANCE;
      pools.get(base)?.bytes.u8.set(payload, target - base);
    }
    return Errno.OK;
  }

  fetch(total: number, count: number, vecs: number): Uint8Array | Errno {
    const payload = new Uint8Array(total);
    let end = 0;
    for (let i = 0; i < count && end < total; i++) {
      const length = Math.min(total - end, this.scratchBytes.u64(vecs + i * IOVEC_SIZE + 8));
      const bytes = this.at(this.scratchBytes.u64(vecs + i * IOVEC_SIZE), length);
      payload.set(bytes, end);
      if (bytes.length < length) return Errno.EFAULT;
      end += length;
    }
    return payload;
  }

  scatter(payload: Uint8Array, count: number, vecs: number, parts: readonly MemoryPart[]): Errno {
    let end = 0;
    for (let i = 0; i < count && end < payload.length; i++) {
      const length = Math.min(payload.length - end, this.scratchBytes.u64(vecs + i * IOVEC_SIZE + 8));
      const bytes = this.at(this.scratchBytes.u64(vecs + i * IOVEC_SIZE), length);
      bytes.set(payload.subarray(end, end + bytes.length));
      if (bytes.length < length) return Errno.EFAULT;
      end += length;
    }
    for (const { address, bytes } of parts) {
      const target = this.at(address, bytes.length);
      target.set(bytes.subarray(0, target.length));
      if (target.length < bytes.length) return Errno.EFAULT;
    }
    return end === payload.length ? Errno.OK : Errno.EFAULT;
  }

  // ---- who it is

  command(): string {
    return 'client';
  }

  identity(): Identity | Errno {
    const { uid, gid, pid, tid } = this;
    return this.identityError === Errno.OK ? new FakeIdentity({ uid, gid, pid, tid }) : this.identityError;
  }

  viewpoint(): Viewpoint | Errno {
    if (this.viewpointError !== Errno.OK) return this.viewpointError;
    const viewpoint = new FakeViewpoint(this.shift);
    this.viewpoints.push(viewpoint);
    return viewpoint;
  }

  securityContext(): Uint8Array | undefined | Errno {
    this.secctxReads++;
    return this.secctx;
  }

  isInOurPidNamespace(): boolean {
    return true;
  }

  // ---- its descriptors

  openFile(fd: number): OpenFile | Errno {
    return fd < 0 ? Errno.EBADF : (this.files.get(fd) ?? Errno.EOPNOTSUPP);
  }

  takeFiles(numbers: readonly number[]): HeldFiles | Errno {
    for (const number of numbers) {
      if (number < 0) return Errno.EBADF;
      if (this.files.has(number)) return Errno.EOPNOTSUPP;
    }
    if (this.takeError !== Errno.OK) return this.takeError;
    const files = new FakeFiles(numbers.length);
    this.taken.push(files);
    return files;
  }

  installFiles(files: HeldFiles, complete: (numbers: readonly number[]) => Errno): Errno {
    if (this.installError !== Errno.OK) return this.installError;
    const numbers = Array.from({ length: files.count }, (_, i) => 70 + i);
    const error = complete(numbers);
    if (error === Errno.OK) this.installed = numbers;
    return error;
  }
}

/** A SEND as a program writes it. Lists become arrays in its memory; numbers are addresses or counts as they are. */
export interface SendArguments {
  readonly flags?: number;
  readonly destinations?: readonly HandleId[] | { readonly address: number; readonly count: number };
  readonly payload?: string;
  readonly vectors?: readonly MemoryRange[] | { readonly address: number; readonly count: number };
  readonly handles?: readonly HandleId[] | { readonly address: number; readonly count: number };
  readonly fds?: readonly number[] | { readonly address: number; readonly count: number };
  readonly errors?: number;
}

/** A message as RECV tells of it. */
export interface Received {
  readonly type: number;
  readonly flags: number;
  readonly destination: HandleId;
  readonly offset: HandleId;
  readonly nBytes: number;
  readonly nHandles: number;
  readonly nFds: number;
  readonly nSecctx?: number;
  readonly credentials?: readonly number[];
}

/** An open file of the bus, and the program that has it. */
export class Connection {
  readonly file: Bus1File;
  readonly client: Client;
  readonly memory: FakeMemory;
  /** Its number among the client's descriptors. */
  readonly fd: number;
  wakes = 0;

  constructor(file: Bus1File, client: Client) {
    this.file = file;
    this.client = client;
    this.memory = file.memory as FakeMemory;
    this.fd = 10 + client.files.size;
    client.files.set(this.fd, file);
    file.onPollChange = () => {
      this.wakes++;
    };
  }

  command(number: number, argument: Bytes): Errno {
    return this.file.ioctl(number, argument, this.client);
  }

  /** A command whose argument is one u64. */
  u64(number: number, value: HandleId): Errno {
    const argument = new Bytes(new ArrayBuffer(8));
    writeHandleId(argument, 0, value);
    return this.command(number, argument);
  }

  sendArgument(what: SendArguments): Bytes {
    const { client } = this;
    const argument = new Bytes(new ArrayBuffer(Send.sizeof));
    const put = <Item>(
      pointer: number,
      count: number,
      list: readonly Item[] | { readonly address: number; readonly count: number } | undefined,
      store: (items: readonly Item[]) => number,
    ): void => {
      if (list === undefined) return;
      const isArray = 'length' in list;
      argument.setU64(pointer, isArray ? store(list) : list.address);
      argument.setU64(count, isArray ? list.length : list.count);
    };
    argument.setU64(Send.flags, what.flags ?? 0);
    const payload = what.payload === undefined ? undefined : Buffer.from(what.payload);
    const vectors = payload && [{ address: client.put(payload), length: payload.length }];
    put(Send.ptr_destinations, Send.n_destinations, what.destinations, (ids) => client.putIds(ids));
    put(Send.ptr_vecs, Send.n_vecs, what.vectors ?? vectors, (ranges) => client.putVectors(ranges));
    put(Send.ptr_handles, Send.n_handles, what.handles, (ids) => client.putIds(ids));
    put(Send.ptr_fds, Send.n_fds, what.fds, (numbers) => client.putInts(numbers));
    argument.setU64(Send.ptr_errors, what.errors ?? 0);
    return argument;
  }

  send(what: SendArguments): Errno {
    return this.command(Command.SEND, this.sendArgument(what));
  }

  /** RECV of the header of 2016. */
  receive(flags = 0, maxOffset: HandleId = ALL_ONES): Received | Errno {
    const argument = new Bytes(new ArrayBuffer(Recv.sizeof));
    argument.u8.fill(0xa5);
    argument.setU64(Recv.flags, flags);
    writeHandleId(argument, Recv.max_offset, maxOffset);
    const error = this.command(Command.RECV, argument);
    if (error !== Errno.OK) return error;
    return {
      ...received(argument, Recv),
      nSecctx: argument.u64(Recv.n_secctx),
      credentials: [Recv.uid, Recv.gid, Recv.pid, Recv.tid].map((at) => argument.u32(at)),
    };
  }

  /** RECV of the header of 2019. */
  receive2019(flags = 0, maxOffset: HandleId = ALL_ONES): Received | Errno {
    const argument = new Bytes(new ArrayBuffer(Recv2019.sizeof));
    argument.u8.fill(0xa5);
    argument.setU64(Recv2019.flags, flags);
    writeHandleId(argument, Recv2019.max_offset, maxOffset);
    const error = this.command(Command.RECV_2019, argument);
    return error === Errno.OK ? received(argument, Recv2019) : error;
  }

  /** A text in the pool. */
  text(offset: HandleId, length: number): string {
    return this.memory.bytes.text(Number(offset), Number(offset) + length);
  }

  idAt(offset: HandleId): HandleId {
    return readHandleId(this.memory.bytes, Number(offset));
  }

  transfer(source: HandleId, destination: HandleId, flags = 0): HandleId | { readonly error: Errno } {
    const argument = new Bytes(new ArrayBuffer(HandleTransfer.sizeof));
    argument.setU64(HandleTransfer.flags, flags);
    writeHandleId(argument, HandleTransfer.src_handle, source);
    writeHandleId(argument, HandleTransfer.dst_fd, destination);
    writeHandleId(argument, HandleTransfer.dst_handle, 0x5555);
    const error = this.command(Command.HANDLE_TRANSFER, argument);
    return error === Errno.OK ? readHandleId(argument, HandleTransfer.dst_handle) : { error };
  }

  /** A handle of another connection of the same client to a node of this one. */
  give(id: HandleId, to: Connection): HandleId {
    this.client.files.set(to.fd, to.file);
    const handle = this.transfer(id, to.fd);
    if (typeof handle === 'object') throw new Error(`HANDLE_TRANSFER: errno ${handle.error}`);
    return handle;
  }

  destroy(ids: readonly HandleId[] | { readonly address: number; readonly count: number }, flags = 0): Errno {
    const argument = new Bytes(new ArrayBuffer(NodesDestroy.sizeof));
    argument.setU64(NodesDestroy.flags, flags);
    argument.setU64(NodesDestroy.ptr_nodes, 'length' in ids ? this.client.putIds(ids) : ids.address);
    argument.setU64(NodesDestroy.n_nodes, 'length' in ids ? ids.length : ids.count);
    return this.command(Command.NODES_DESTROY, argument);
  }

  /** PEER_RESET, or PEER_QUERY. What is not said is all ones, but for the flags. */
  reset(
    fields: Partial<Record<keyof typeof PeerReset, HandleId>>,
    command: number = Command.PEER_RESET,
  ): Errno | Bytes {
    const argument = new Bytes(new ArrayBuffer(PeerReset.sizeof));
    argument.u8.fill(0xff, PeerReset.peer_flags);
    for (const [name, value] of Object.entries(fields) as [keyof typeof PeerReset, HandleId][]) {
      if (name === 'flags' || name === 'peer_flags') writeHandleId(argument, PeerReset[name], value);
      else argument.setU32(PeerReset[name], Number(value));
    }
    const error = this.command(command, argument);
    return error === Errno.OK ? argument : error;
  }

  close(): void {
    this.file.release();
  }
}

const received = (argument: Bytes, layout: typeof Recv2019): Received => ({
  type: argument.u64(layout.type),
  flags: argument.u64(layout.msg_flags),
  destination: readHandleId(argument, layout.destination),
  offset: readHandleId(argument, layout.offset),
  nBytes: argument.u64(layout.n_bytes),
  nHandles: argument.u64(layout.n_handles),
  nFds: argument.u64(layout.n_fds),
});

export const INVALID = ALL_ONES;

/** A device, and who is told what by it. */
export class World {
  readonly lines: { readonly level: number; readonly msg: string }[] = [];
  readonly device: Bus1Device;
  readonly descriptors = accounts();
  /** Instead of memory for the next pools. */
  memoryError: Errno = Errno.OK;

  constructor(limits: Partial<UserLimits> = {}, ofAll: Partial<Record<keyof Budgets, number>> = {}) {
    this.device = new Bus1Device({
      limits: { ...LIMITS, ...limits },
      budgets: budgets(ofAll),
      descriptors: this.descriptors,
      attributes: { mode: 0o666, uid: 0, gid: 0 },
      createMemory: () => (this.memoryError === Errno.OK ? new FakeMemory() : this.memoryError),
      log: pino({}, { write: (line: string) => void this.lines.push(JSON.parse(line)) }),
    });
  }

  tryOpen(client: Client, siblings: readonly Connection[] = []): Connection | Errno {
    const file = this.device.open(client, new Set(siblings.map((each) => each.file)));
    return typeof file === 'number' ? file : new Connection(file as Bus1File, client);
  }

  open(client: Client = new Client(), siblings: readonly Connection[] = []): Connection {
    const connection = this.tryOpen(client, siblings);
    if (typeof connection === 'number') throw new Error(`open: errno ${connection}`);
    return connection;
  }
}
