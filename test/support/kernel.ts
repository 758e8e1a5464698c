import { type Logger, pino } from 'pino';
import { Bytes } from '../../src/base/bytes.js';
import { Errno } from '../../src/base/errno.js';
import type {
  Attributes,
  CallChannel,
  Caller,
  CallerSlot,
  DeviceNode,
  DirectoryNode,
  Node,
  OpenFile,
  Pending,
  PendingEnd,
  Suspension,
  TextNode,
} from '../../src/device.js';
import { Connection } from '../../src/fuse/connection.js';
import {
  Attr,
  AttrOut,
  EntryOut,
  FUSE_NOTIFY_POLL,
  FUSE_ROOT_ID,
  InHeader,
  IoctlIn,
  IoctlOut,
  Opcode,
  OpenOut,
  OutHeader,
  PollIn,
  PollOut,
  ReadIn,
  ReleaseIn,
} from '../../src/fuse/fuse-abi.js';
import { Session } from '../../src/fuse/session.js';
import { createEventfd } from '../../src/linux/eventfd.js';
import { close, F_GETFL, fcntl, O_NONBLOCK, read as readFile, write } from '../../src/linux/file.js';
import { systemCall } from '../../src/linux/libc.js';
import { NativeBuffer } from '../../src/linux/native-buffer.js';
import { FakeLedger } from './fake-ledger.js';

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;

const socketpair = systemCall<[domain: number, type: number, protocol: number, fds: number]>(
  'int socketpair(int domain, int type, int protocol, uintptr_t fds)',
);
const send = systemCall<[fd: number, buffer: number, length: number, flags: number]>(
  'int64_t send(int fd, uintptr_t buffer, size_t length, int flags)',
);
const receive = systemCall<[fd: number, buffer: number, length: number, flags: number]>(
  'int64_t recv(int fd, uintptr_t buffer, size_t length, int flags)',
);

/** Two descriptors of which each receives what is sent to the other, in packets, as /dev/fuse has it. */
export function packetPair(): readonly [number, number] {
  const fds = new NativeBuffer(8);
  const error = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.address);
  if (error < 0) throw new Error(`socketpair failed with errno ${-error}`);
  return [fds.i32(0), fds.i32(4)];
}

export function sendPacket(fd: number, bytes: Uint8Array): void {
  const buffer = new NativeBuffer(Math.max(1, bytes.length));
  buffer.u8.set(bytes);
  const sent = send(fd, buffer.address, bytes.length, MSG_DONTWAIT);
  if (sent !== bytes.length) throw new Error(`send: ${sent}`);
}

/** The packets that have arrived. */
export function receivePackets(fd: number): Bytes[] {
  const buffer = new NativeBuffer(256 * 1024);
  const packets: Bytes[] = [];
  for (;;) {
    const length = receive(fd, buffer.address, buffer.size, MSG_DONTWAIT);
    if (length === -Errno.EAGAIN) return packets;
    if (length <= 0) throw new Error(`recv: ${length}`);
    packets.push(new Bytes(buffer.u8.slice(0, length).buffer as ArrayBuffer));
  }
}

/** What a request says beside its body. */
export interface Header {
  readonly nodeid?: number;
  readonly unique?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
}

let lastUnique = 0;

function nextUnique(): number {
  lastUnique += 2; // the kernel's are even
  return lastUnique;
}

/** A request of `size` bytes in all, whose body `fill` writes. */
export function request(
  opcode: number,
  { nodeid = FUSE_ROOT_ID, unique = nextUnique(), uid = 0, gid = 0, pid = 1000 }: Header = {},
  size: number = InHeader.sizeof,
  fill: (bytes: Bytes) => void = () => {},
): Bytes {
  const bytes = new Bytes(new ArrayBuffer(size));
  bytes.setU32(InHeader.len, size);
  bytes.setU32(InHeader.opcode, opcode);
  bytes.setU64(InHeader.unique, unique);
  bytes.setU64(InHeader.nodeid, nodeid);
  bytes.setU32(InHeader.uid, uid);
  bytes.setU32(InHeader.gid, gid);
  bytes.setU32(InHeader.pid, pid);
  fill(bytes);
  return bytes;
}

/** A reply, or a notification, which has no number. */
export interface Answer {
  readonly unique: number;
  /** 0 or a positive errno. */
  readonly error: number;
  /** All of it, header included. */
  readonly bytes: Bytes;
}

const answerOf = (bytes: Bytes): Answer => {
  if (bytes.u32(OutHeader.len) !== bytes.size) throw new Error(`a reply of ${bytes.size} bytes says otherwise`);
  return { unique: bytes.u64(OutHeader.unique), error: 0 - bytes.i32(OutHeader.error), bytes };
};

export const isNotification = ({ unique, error }: Answer): boolean => unique === 0 && error === -FUSE_NOTIFY_POLL;

/** Who made a call, as a session says; nothing else is known of it. */
export class FakeCaller {
  uid = 0;
  gid = 0;
  tid = 0;
  is32Bit = false;
  /** How often it was told that its call is over. */
  ends = 0;
  /** The call it stands for. */
  readonly channel: CallChannel;

  constructor(channel: CallChannel) {
    this.channel = channel;
  }

  end(): void {
    this.ends++;
  }

  begin(uid: number, gid: number, tid: number, is32Bit: boolean): void {
    this.uid = uid;
    this.gid = gid;
    this.tid = tid;
    this.is32Bit = is32Bit;
  }
}

export const FIRST_ID = 1000;
export const DEVICE_NUMBER = { major: 3, minor: 99 };
/** The thread that looks names up for stat(2). */
export const STAT_TID = 7;

/** A session whose /dev/fuse is one end of a socket pair, and the kernel at its other end. */
export class Kernel {
  readonly lines: { readonly level: number; readonly msg: string }[] = [];
  /** What was told to the pulse: the thread at the beginning of each request, 'end' at its end. */
  readonly pulse: (number | 'end')[] = [];
  private readonly fd: number;
  private readonly sessionFd: number;
  private readonly ended: Suspension[] = [];
  private readonly waker = { fd: createEventfd(), isNeeded: false, collect: () => this.collect() };
  private readonly session: Session;

  constructor(root: DirectoryNode) {
    [this.fd, this.sessionFd] = packetPair();
    const log: Logger = pino({}, { write: (line: string) => void this.lines.push(JSON.parse(line)) });
    this.session = new Session(new Connection(this.sessionFd), root, {
      deviceNumber: DEVICE_NUMBER,
      ledger: new FakeLedger(FIRST_ID),
      pulse: { begin: (tid) => void this.pulse.push(tid), end: () => void this.pulse.push('end') },
      createCaller: (channel) => new FakeCaller(channel) as unknown as CallerSlot,
      waker: this.waker,
      isPathQuery: (caller) => caller.tid === STAT_TID,
      log,
    });
  }

  close(): void {
    close(this.fd);
    close(this.sessionFd);
    close(this.waker.fd);
  }

  /** What a call was suspended for is there. */
  endSuspension(suspension: Suspension): void {
    this.ended.push(suspension);
    const one = new NativeBuffer(8);
    one.setU64(0, 1);
    write(this.waker.fd, one.address, 8);
  }

  private collect(): void {
    const count = new NativeBuffer(8);
    readFile(this.waker.fd, count.address, 8);
    for (const suspension of this.ended.splice(0)) suspension.end();
  }

  /** Whether the session reads requests without waiting for one. */
  isNonBlocking(): boolean {
    return (fcntl(this.sessionFd, F_GETFL, 0) & O_NONBLOCK) !== 0;
  }

  /** Queues a request without having it handled. */
  send(bytes: Bytes): void {
    sendPacket(this.fd, bytes.u8);
  }

  /** Makes run() return once all requests that are queued by now were handled: an empty packet is an unmount. */
  unmount(): void {
    sendPacket(this.fd, new Uint8Array(0));
  }

  /** Has requests handled, one after the other, and returns all that was answered, in its order. */
  handle(...requests: readonly Bytes[]): Answer[] {
    for (const each of requests) this.send(each);
    this.unmount();
    return this.run();
  }

  /** Has what is queued handled, until an unmount. */
  run(): Answer[] {
    this.session.run();
    return receivePackets(this.fd).map(answerOf);
  }

  /** Has one request handled that must have exactly one answer. */
  call(bytes: Bytes): Answer {
    const answers = this.handle(bytes);
    const [answer] = answers;
    if (answer === undefined || answers.length !== 1) throw new Error(`${answers.length} answers`);
    if (answer.unique !== bytes.u64(InHeader.unique)) throw new Error('the answer to another request');
    return answer;
  }

  // ---- what programs do

  lookUp(name: string, header: Header = {}): Answer {
    return this.call(lookUp(name, header));
  }

  /** The node id of a name, as an open(2) gets it. */
  nodeOf(name: string, header: Header = {}): number {
    const { error, bytes } = this.lookUp(name, header);
    if (error !== 0) throw new Error(`${name}: errno ${error}`);
    return bytes.u64(EntryOut.nodeid);
  }

  /** Opens a node. */
  open(nodeid: number, header: Header = {}): Answer {
    return this.call(request(Opcode.OPEN, { ...header, nodeid }, InHeader.sizeof + 8));
  }

  /** A file handle of a name. */
  openName(name: string): { readonly nodeid: number; readonly fh: number } {
    const nodeid = this.nodeOf(name);
    const { error, bytes } = this.open(nodeid);
    if (error !== 0) throw new Error(`${name}: errno ${error}`);
    return { nodeid, fh: bytes.u64(OpenOut.fh) };
  }
}

export const lookUp = (name: string, header: Header = {}): Bytes => {
  const bytes = Buffer.from(`${name}\0`);
  return request(Opcode.LOOKUP, header, InHeader.sizeof + bytes.length, (out) => out.u8.set(bytes, InHeader.sizeof));
};

export const getAttributes = (nodeid: number): Bytes => request(Opcode.GETATTR, { nodeid }, InHeader.sizeof + 16);

export const release = (nodeid: number, fh: number): Bytes =>
  request(Opcode.RELEASE, { nodeid }, InHeader.sizeof + 24, (bytes) => bytes.setU64(ReleaseIn.fh, fh));

/** READ or READDIR. */
export const read = (opcode: number, fh: number, offset: number, size: number, nodeid = FUSE_ROOT_ID): Bytes =>
  request(opcode, { nodeid }, InHeader.sizeof + 40, (bytes) => {
    bytes.setU64(ReadIn.fh, fh);
    bytes.setU64(ReadIn.offset, offset);
    bytes.setU32(ReadIn.size, size);
  });

export const poll = (fh: number, kh = 0n, flags = 0): Bytes =>
  request(Opcode.POLL, {}, PollIn.sizeof, (bytes) => {
    bytes.setU64(PollIn.fh, fh);
    bytes.setBigU64(PollIn.kh, kh);
    bytes.setU32(PollIn.flags, flags);
  });

/** An ioctl with a text as its argument, which may be answered with one as long. */
export const ioctl = (fh: number, cmd: number, argument = '', header: Header = {}, flags = 0): Bytes => {
  const text = Buffer.from(argument);
  return request(Opcode.IOCTL, header, IoctlIn.sizeof + text.length, (bytes) => {
    bytes.setU64(IoctlIn.fh, fh);
    bytes.setU32(IoctlIn.flags, flags);
    bytes.setU32(IoctlIn.cmd, cmd);
    bytes.setU64(IoctlIn.arg, 0x7000_0000_1000);
    bytes.setU32(IoctlIn.in_size, text.length);
    bytes.setU32(IoctlIn.out_size, text.length);
    bytes.u8.set(text, IoctlIn.sizeof);
  });
};

export const ioctlText = ({ bytes }: Answer): string => bytes.text(IoctlOut.sizeof, bytes.size);

export const revents = ({ bytes }: Answer): number => bytes.u32(PollOut.revents);

const { sizeof: ATTR_SIZE, ...ATTR_FIELDS } = Attr;
type AttributeFields = Record<keyof typeof ATTR_FIELDS, number>;

/** The `struct fuse_attr` of a reply to LOOKUP or GETATTR. */
export const attributesOf = ({ bytes }: Answer): AttributeFields => {
  const start = bytes.size - ATTR_SIZE;
  if (start !== EntryOut.sizeof && start !== AttrOut.sizeof) throw new Error(`${bytes.size} bytes`);
  const isLong = (name: string): boolean => ['ino', 'size', 'blocks', 'atime', 'mtime', 'ctime'].includes(name);
  return Object.fromEntries(
    Object.entries(ATTR_FIELDS).map(([name, at]) => [
      name,
      isLong(name) ? bytes.u64(start + at) : bytes.u32(start + at),
    ]),
  ) as AttributeFields;
};

// ---- a tree to serve

export class FakeDirectory implements DirectoryNode {
  readonly kind = 'directory';
  readonly isVolatile = false;
  mode = 0o755;
  readonly nodes: Map<string, Node>;

  constructor(nodes: Readonly<Record<string, Node>> = {}) {
    this.nodes = new Map(Object.entries(nodes));
  }

  attributes(): Attributes {
    return { mode: this.mode, uid: 0, gid: 0 };
  }

  child(name: string): Node | undefined {
    return this.nodes.get(name);
  }

  children(): Iterable<readonly [string, Node]> {
    return this.nodes;
  }
}

export class FakeText implements TextNode {
  readonly kind = 'text';
  isVolatile = false;
  mode = 0o400;
  text: string | Errno;

  constructor(text: string | Errno) {
    this.text = text;
  }

  attributes(): Attributes {
    return { mode: this.mode, uid: 1, gid: 2 };
  }

  content(_caller: Caller): string | Errno {
    return this.text;
  }
}

/** One ioctl as a file got it. */
export interface Ioctl {
  readonly command: number;
  readonly text: string;
  readonly uid: number;
  readonly gid: number;
  readonly tid: number;
  readonly is32Bit: boolean;
  readonly caller: FakeCaller;
}

/** An open file that notes what it is asked, and answers as it is told. */
export class FakeFile implements OpenFile {
  memory: OpenFile['memory'];
  onPollChange: (() => void) | undefined;
  mask = 0;
  isReleased = false;
  readonly ioctls: Ioctl[] = [];
  /** What an ioctl does; by default it succeeds and changes nothing. */
  onIoctl: (command: number, argument: Bytes, caller: FakeCaller) => Errno | Pending = () => Errno.OK;

  poll(): number {
    return this.mask;
  }

  ioctl(command: number, argument: Bytes, given: Caller): Errno | Pending {
    const caller = given as unknown as FakeCaller;
    const { uid, gid, tid, is32Bit } = caller;
    const text = argument.text(0, Math.min(4, argument.size)).replace(/\0.*/s, '');
    this.ioctls.push({ command, text, uid, gid, tid, is32Bit, caller });
    return this.onIoctl(command, argument, caller);
  }

  release(): void {
    this.isReleased = true;
  }
}

export class FakeDevice implements DeviceNode {
  readonly kind = 'device';
  readonly isVolatile = false;
  readonly memorySize = 0x2000_0000;
  rdev = { major: 10, minor: 58 };
  readonly files: FakeFile[] = [];
  /** The siblings that each open got. */
  readonly siblings: (readonly OpenFile[])[] = [];
  onOpen: () => FakeFile | Errno = () => new FakeFile();

  attributes(): Attributes {
    return { mode: 0o666, uid: 3, gid: 4 };
  }

  open(_caller: Caller, siblings: ReadonlySet<OpenFile>): OpenFile | Errno {
    const file = this.onOpen();
    if (typeof file === 'number') return file;
    this.files.push(file);
    this.siblings.push([...siblings]);
    return file;
  }
}

/** An ioctl that is answered later. */
export class FakePending implements Pending {
  readonly deadline: bigint | undefined;
  readonly cancelFd: number | undefined;
  argument: Bytes | undefined;
  finish: ((error: Errno) => void) | undefined;
  readonly ends: PendingEnd[] = [];
  /** What it ends with. */
  onEnd: (why: PendingEnd) => Errno = () => Errno.EINTR;

  constructor({ deadline, cancelFd }: { readonly deadline?: bigint; readonly cancelFd?: number } = {}) {
    this.deadline = deadline;
    this.cancelFd = cancelFd;
  }

  end(why: PendingEnd): Errno {
    this.ends.push(why);
    return this.onEnd(why);
  }
}
