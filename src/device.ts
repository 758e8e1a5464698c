import type { Bytes } from './base/bytes.js';
import type { Errno } from './base/errno.js';

/*
 * The contract between a file system and what it serves, and between both and the client whose call it is.
 *
 * A file system shows a tree of nodes. A device node can be opened; what open() gives is one open file description, shared by
 * dup, fork and SCM_RIGHTS like any other. Calls come one at a time, and while one runs its caller waits in the kernel. All of
 * it is about names, bytes and errnos: how requests arrive and how a client's memory is reached is behind these interfaces.
 */

/** What stat(2) shows of a node, without its type. */
export interface Attributes {
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Something that happens at its time, unless it is cancelled before. */
export interface Alarm {
  cancel(): void;
}

/** Tells and waits for the time: CLOCK_MONOTONIC, in nanoseconds. */
export interface Clock {
  now(): bigint;
  /** Runs something between two calls, at that time or after it, also if it is past. */
  at(time: bigint, run: () => void): Alarm;
}

interface Named {
  attributes(): Attributes;
  /** Whether attributes() may answer differently later, so that the kernel must ask each time. */
  readonly isVolatile: boolean;
}

export interface DirectoryNode extends Named {
  readonly kind: 'directory';
  child(name: string): Node | undefined;
  children(): Iterable<readonly [name: string, node: Node]>;
}

export interface DeviceNode extends Named {
  readonly kind: 'device';
  /** What stat(2) shows as st_rdev; undefined where it shall show a regular file. */
  readonly rdev: { readonly major: number; readonly minor: number } | undefined;
  /** What fstat(2) of an open file shows as its size: how much of its memory there is to map, in bytes. */
  readonly memorySize: number;
  /** `siblings` are the files that are open on the same inode; the new one must show their memory, or be refused. */
  open(caller: Caller, siblings: ReadonlySet<OpenFile>): OpenFile | Errno;
}

/** A small file whose text is made when it is opened. */
export interface TextNode extends Named {
  readonly kind: 'text';
  content(caller: Caller): string | Errno;
}

export type Node = DirectoryNode | DeviceNode | TextNode;

export interface OpenFile {
  /** What mmap(2) of the file shows; undefined makes it ENODEV. The file system closes its descriptor once the kernel has it. */
  readonly memory: MappableMemory | undefined;
  /** Whether an ioctl writes to the caller's structure itself, through the Caller: then nothing is copied back. */
  readonly writesBack?: boolean;
  /** Set by the file system; the file calls it when poll() would answer a new condition. Nobody is woken before the call that is being handled has done its work. */
  onPollChange: (() => void) | undefined;
  /**
   * Handles one ioctl. `argument` holds the caller's structure, as large as the command says, and is copied back to the caller
   * on success only. It and the caller are only lent, unless the call is Pending.
   */
  ioctl(command: number, argument: Bytes, caller: Caller): Errno | Pending;
  /** The current poll(2) mask. */
  poll(): number;
  /** The last descriptor was closed. */
  release(): void;
}

export interface MappableMemory {
  readonly fd: number;
  closeFd(): void;
}

/** Why a Pending ends without having been finished. */
export type PendingEnd = 'timeout' | 'interrupted' | 'cancelled';

/**
 * An ioctl that is answered later. Its caller stays blocked, and so the Caller it came with stays valid, until finish() is
 * called or end() returns.
 */
export interface Pending {
  /** When it ends by itself: CLOCK_MONOTONIC, in nanoseconds. */
  readonly deadline: bigint | undefined;
  /** A descriptor of this process that ends it by being readable. Its poll must not depend on anybody else. */
  readonly cancelFd: number | undefined;
  /** It ends now, with this outcome (see finish). */
  end(why: PendingEnd): Errno | (() => Errno);
  /** Set by the file system: where the caller's structure is from then on. */
  argument: Bytes | undefined;
  /**
   * Set by the file system: answers the call, once. OK copies the argument back. A function is run where answers are sent, when
   * the call that causes this one to end has done its work; it may use the Caller, as a command does.
   */
  finish: ((outcome: Errno | (() => Errno)) => void) | undefined;
}

/**
 * Thrown by a Caller, through the command, when the client's memory does not come at once: nobody else shall wait for it. The
 * command takes back what it has reserved, and runs again from its start when the memory is there.
 */
export class Suspension {
  /** Set by the file system: runs the command again. */
  resume: (() => void) | undefined;
  /** Set by a command that has had its effect: what is left to do in place of running it again. */
  rest: (() => Errno | Pending) | undefined;
  private readonly leftovers: (() => void)[] = [];

  /** `free` is called before the command runs again: for what must stay as it is while the memory may still be written to. */
  keep(free: () => void): void {
    this.leftovers.push(free);
  }

  /** The memory is there, or never will be. */
  end(): void {
    for (const free of this.leftovers) free();
    this.resume?.();
  }
}

/** Thrown by a Caller, through the command, when the call cannot be served: it fails with this errno. */
export class CallRefused {
  readonly error: Errno;

  constructor(error: Errno) {
    this.error = error;
  }
}

/** A copy of a piece of a caller's memory, as long as the call is not answered. */
export interface Piece {
  /** At least as long as was asked for. */
  readonly bytes: Bytes;
  /** How many bytes there were before the first unreadable one. */
  readonly length: number;
}

/** Where nothing of a payload goes: so many bytes, after the first `at` ones of it. */
export interface Gap {
  readonly at: number;
  readonly size: number;
}

/** A descriptor of a sealed memfd, so many bytes of which, from `start` on, must be there. */
export interface WantedMemfd {
  readonly fd: number;
  readonly start: number;
  readonly size: number;
}

/** A piece of the caller's memory: an address there and a length in bytes. */
export interface MemoryRange {
  readonly address: number;
  readonly length: number;
}

/** What is to be in a piece of the caller's memory. */
export interface MemoryPart {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/**
 * The thread that waits in the kernel for the call being handled, and the only way from a device to a client: its memory, its
 * descriptors, who it is.
 */
export interface Caller {
  /** File system uid and gid, and thread id, as the daemon's namespaces see them. */
  readonly uid: number;
  readonly gid: number;
  readonly tid: number;
  /** Whether it made the call through the 32-bit ABI. */
  readonly is32Bit: boolean;
  /** Where its argument is in its memory. */
  readonly argumentAddress: number;

  /** The name of its command, at most 15 bytes. */
  command(): string;
  /** Who it is, to be told to others later. An errno where that cannot be found out: nobody is ever guessed. */
  identity(): Identity | Errno;
  /** The namespaces it sees others from, pinned until release(). */
  viewpoint(): Viewpoint | Errno;
  /** All ids and capabilities that it has. */
  standing(): ThreadStanding | Errno;
  /** A thread by its number in its pid namespace. */
  findThread(number: number): NestedId | undefined;
  /** What the system says of it, its process and its place; undefined where it says nothing. */
  trait(name: ThreadTrait): string | undefined;
  /** Its security context, or undefined where no LSM gives one. */
  securityContext(): Uint8Array | undefined | Errno;
  /** Whether it sees the same processes as the daemon. */
  isInOurPidNamespace(): boolean;

  /*
   * Memory. Each of these may throw a Suspension, or a CallRefused where a user has too many calls suspended.
   */

  /**
   * Scratch memory of at least `size` bytes, which read() fills. It holds until the call is answered, also when that is suspended:
   * what was read then is not read again, so a command that reads more than once reads to different places and leaves them as they are.
   */
  scratch(size: number): Bytes;
  /**
   * Copies ranges of its memory, one after the other, to the scratch memory from byte `offset` on. Returns how many bytes
   * there were before the first unreadable one. With `nVecs` the first range is an array of so many `struct iovec`, and what
   * they lead to may be fetched along, for gather() or fetch().
   */
  read(offset: number, ranges: readonly MemoryRange[], nVecs?: number): number;
  /** Copies the first `length` bytes of `source` to its memory. EFAULT, with part of it perhaps written. */
  write(address: number, source: Bytes, length: number): Errno;
  /** A copy of `length` bytes of its memory. When the command runs again it is the same one. */
  copyOf(address: number, length: number): Piece;
  /**
   * Copies `total` bytes to each of the addresses in this process, gathering them from ranges of its memory: the `count`
   * entries of the `struct iovec` array at the start of the scratch memory. EFAULT if they are not all readable. At each address
   * they have the same gaps, in their order.
   */
  gather(total: number, count: number, targets: readonly number[], gaps?: readonly Gap[]): Errno;
  /**
   * Copies `total` bytes to new memory of ours, gathering them from ranges of its memory: the `count` entries of the `struct iovec`
   * array at byte `vecs` of the scratch memory. EFAULT if they are not all readable; ENOMEM.
   */
  fetch(total: number, count: number, vecs: number): Uint8Array | Errno;
  /**
   * The way back: fills ranges of its memory with `payload`, one after the other, and writes each of at most eight parts to its
   * place. EFAULT if that is not all possible, with part of it perhaps written.
   */
  scatter(payload: Uint8Array, count: number, vecs: number, parts: readonly MemoryPart[]): Errno;

  /** The open file of ours behind one of its descriptors: EBADF if that is not open, or open with O_PATH; EOPNOTSUPP if it is something else. */
  openFile(fd: number): OpenFile | Errno;
  /**
   * Copies of descriptors of its, by number. In the order of the numbers: EBADF for one that is not open; EOPNOTSUPP for a file
   * of ours or an AF_UNIX socket, unless it was opened with O_PATH; EDQUOT when the daemon can hold no more. Of a memfd also:
   * EBADF if it was opened with O_PATH, EMEDIUMTYPE if it is none, ETXTBSY if it is not sealed against all changes, EFAULT if it is
   * too short.
   */
  takeFiles(wanted: readonly (number | WantedMemfd)[]): HeldFiles | Errno;
  /** A copy of a descriptor, to wait for: EBADF if it is not open, or open with O_PATH; EINVAL if that cannot be waited for by us. */
  takeWaitable(number: number): Waitable | Errno;
  /**
   * Installs descriptors into its process and answers its call. `complete` gets their numbers when nothing else can fail any
   * more, and fills in the argument; if it is not called, nothing was installed and the errno says why.
   */
  installFiles(files: HeldFiles, complete: (numbers: readonly number[]) => Errno): Errno;
  /**
   * The same for the files at these places of `files`, as many as there is room for, or none: a number is -1 where a file was not
   * installed. `complete` is called in any case, unless the caller has died.
   */
  installSome(files: HeldFiles, places: readonly number[], complete: (numbers: readonly number[]) => Errno): Errno;
}

/** A Caller that stands for one thread after the other, each while its call is handled. */
export interface CallerSlot extends Caller {
  begin(uid: number, gid: number, tid: number, is32Bit: boolean): void;
  /** Its call was answered. */
  end(): void;
}

/** What a Caller needs of the call it stands for. */
export interface CallChannel {
  /** The files that are open on an inode of our own mount; undefined if it is of another or not open. */
  filesOf(deviceMajor: number, deviceMinor: number, inode: number): ReadonlySet<OpenFile> | undefined;
  /** Which open file of ours a descriptor of this process is; undefined if that takes more memory than there is. */
  identify(fd: number): OpenFile | undefined;
  /** Answers the call with success and its argument as it is. */
  answer(): void;
  /** Where in this process the argument is, where in the caller's memory, and how many bytes. */
  readonly argumentAddress: number;
  readonly argumentTarget: number;
  readonly argumentSize: number;
  /** Wakes whom the call has to wake, where it ends in another way than by its answer. */
  flush(): void;
}

/** Descriptors taken from a client, kept open by the daemon until the last holder releases them. */
export interface HeldFiles {
  readonly count: number;
  retain(): void;
  release(): void;
}

/** A descriptor of this process that came from a client, to be waited for. */
export interface Waitable {
  readonly fd: number;
  /** Whether it can be read now. */
  isReadable(): boolean;
  close(): void;
}

/** What a thread may do, as the daemon's user namespace has it, and what its pids are. */
export interface ThreadStanding {
  /** Real, effective, saved and file system ids. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** Supplementary groups in ascending order. */
  readonly groups: readonly number[];
  /** Inheritable, permitted, effective and bounding sets. */
  readonly capabilities: readonly bigint[];
  readonly userNamespace: string;
  /** Whether that is the daemon's own. */
  readonly isInOurUserNamespace: boolean;
  readonly process: NestedId;
  readonly thread: NestedId;
  /** The parent process; undefined where there is none. */
  readonly parent: NestedId | undefined;
}

/** The number of a process or thread in each pid namespace that it is in, from the daemon's own inwards. */
export interface NestedId {
  readonly namespaces: readonly string[];
  readonly numbers: readonly number[];
}

export type ThreadTrait =
  | 'tidComm'
  | 'pidComm'
  | 'exe'
  | 'cmdline'
  | 'cgroup'
  | 'securityLabel'
  | 'sessionId'
  | 'loginUid'
  | 'root';

/** A process as somebody sees it. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly tid: number;
}

/** Who made a call, kept independent of what becomes of them. */
export interface Identity {
  /** As the daemon's namespaces see it. */
  readonly credentials: Credentials;
  /** How the namespaces of a viewpoint see it: an unmapped uid or gid as 65534, an invisible process as 0. */
  seenFrom(viewpoint: Viewpoint): Credentials;
}

/** The namespaces of a client, pinned: they stay what they were when it is gone. */
export interface Viewpoint {
  readonly pidNamespace: string;
  /** Its user namespace first, then the one around it, and so on to the daemon's own; and who made each, as that one has it. */
  readonly userNamespaces: readonly { readonly id: string; readonly ownerUid: number }[];
  /** What a uid or gid of the daemon's user namespace is there; 65534 where it is none. */
  uidInside(uid: number): number;
  gidInside(gid: number): number;
  /** What a uid or gid of it is in the daemon's; undefined where it is none. */
  uidOutside(uid: number): number | undefined;
  gidOutside(gid: number): number | undefined;
  release(): void;
}

/** poll(2) bits, linux/eventpoll.h. */
export const Poll = { IN: 0x1, OUT: 0x4, ERR: 0x8, HUP: 0x10, RDNORM: 0x40, WRNORM: 0x100 } as const;
