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
  /** What stat(2) shows as st_rdev. */
  readonly rdev: { readonly major: number; readonly minor: number };
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
  /** It ends now, with this errno. */
  end(why: PendingEnd): Errno;
  /** Set by the file system: where the caller's structure is from then on. */
  argument: Bytes | undefined;
  /** Set by the file system: answers the call, once. OK copies the argument back. */
  finish: ((error: Errno) => void) | undefined;
}

/**
 * Thrown by a Caller, through the command, when the client's memory does not come at once: nobody else shall wait for it. The
 * command takes back what it has reserved, and runs again from its start when the memory is there.
 */
export class Suspension {
  /** Set by the file system: runs the command again. */
  resume: (() => void) | undefined;
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

  /** The name of its command, at most 15 bytes. */
  command(): string;
  /** Who it is, to be told to others later. An errno where that cannot be found out: nobody is ever guessed. */
  identity(): Identity | Errno;
  /** The namespaces it sees others from, pinned until release(). EMFILE if the daemon can hold no descriptors more for its user. */
  viewpoint(): Viewpoint | Errno;
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
  /**
   * Copies `total` bytes to each of the addresses in this process, gathering them from ranges of its memory: the `count`
   * entries of the `struct iovec` array at the start of the scratch memory. EFAULT if they are not all readable.
   */
  gather(total: number, count: number, targets: readonly number[]): Errno;
  /**
   * Copies `total` bytes to new memory of ours, gathering them from ranges of its memory: the `count` entries of the `struct iovec`
   * array at byte `vecs` of the scratch memory. EFAULT if they are not all readable; ENOMEM.
   */
  fetch(total: number, count: number, vecs: number): Uint8Array | Errno;
  /**
   * The way back: fills ranges of its memory with `payload`, one after the other, and writes each of at most four parts to its
   * place. EFAULT if that is not all possible, with part of it perhaps written.
   */
  scatter(payload: Uint8Array, count: number, vecs: number, parts: readonly MemoryPart[]): Errno;

  /** The open file of ours behind one of its descriptors: EBADF if that is not open, or open with O_PATH; EOPNOTSUPP if it is something else. */
  openFile(fd: number): OpenFile | Errno;
  /**
   * Copies of descriptors of its, by number. In the order of the numbers: EBADF for one that is not open; EOPNOTSUPP for a file
   * of ours or an AF_UNIX socket, unless it was opened with O_PATH; EDQUOT when the daemon can hold no more.
   */
  takeFiles(numbers: readonly number[]): HeldFiles | Errno;
  /**
   * Installs descriptors into its process and answers its call. `complete` gets their numbers when nothing else can fail any
   * more, and fills in the argument; if it is not called, nothing was installed and the errno says why.
   */
  installFiles(files: HeldFiles, complete: (numbers: readonly number[]) => Errno): Errno;
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
  release(): void;
}

/** poll(2) bits, linux/eventpoll.h. */
export const Poll = { IN: 0x1, OUT: 0x4, HUP: 0x10, RDNORM: 0x40, WRNORM: 0x100 } as const;
