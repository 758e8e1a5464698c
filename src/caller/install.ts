import { Errno } from '../base/errno.js';
import { RLIMIT_NOFILE, Rlimit, setDescriptorLimit } from '../linux/limits.js';
import { processVmReadv, processVmWritev } from '../linux/memory.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';
import { copyDescriptor } from '../linux/pidfd.js';
import { X64 } from '../linux/ptrace.js';
import {
  AF_UNIX,
  Cmsghdr,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  Msghdr,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
  sendmsg,
} from '../linux/socket.js';
import { closeElsewhere } from './closer.js';
import { Tracee, TraceeGone } from './tracee.js';

const { calls } = X64;
const O_CLOEXEC = SOCK_CLOEXEC;
const FD_SIZE = 4;

/** A `struct msghdr` with all that belongs to it, in one piece that works at any address. */
const Envelope = {
  iovec: Msghdr.sizeof,
  pair: Msghdr.sizeof + IOVEC_SIZE, // what socketpair() fills in, and the one byte of data
  control: Msghdr.sizeof + IOVEC_SIZE + 8,
  size: (nFds: number): number => Envelope.control + Cmsghdr.sizeof + Math.ceil((nFds * FD_SIZE) / 8) * 8,
} as const;

const MAX_SIZE = Envelope.size(SCM_MAX_FD);
const ours = new NativeBuffer(MAX_SIZE);
const theirs = new NativeBuffer(MAX_SIZE);
const overwritten = new NativeBuffer(MAX_SIZE);
const local = new NativeBuffer(IOVEC_SIZE);
const remote = new NativeBuffer(IOVEC_SIZE);

/**
 * Installs descriptors of ours, close-on-exec and at the lowest free numbers, into the process of a thread that waits
 * for its ioctl to return. The program needs no part in it: its thread is made to receive them over a socket pair that
 * exists only for that.
 *
 * `answer` must answer the ioctl with success; it is called once the thread is sure to stop before it sees that.
 * `complete` is called with the numbers when nothing can fail any more and before the thread goes on. Returns an
 * errno instead if nothing was installed: the ioctl fails with it, if it was answered. ESRCH is a client that died.
 */
export function install(
  tid: number,
  files: readonly number[],
  answer: () => void,
  complete: (numbers: readonly number[]) => Errno,
): Errno {
  const tracee = Tracee.seize(tid);
  if (typeof tracee === 'number') return tracee;
  answer();
  try {
    tracee.hold();
    try {
      if (tracee.outcome !== 0) return -tracee.outcome as Errno; // its argument could not be copied back
      const installation = new Installation(tracee, tid, files);
      const numbers = installation.run();
      const error = typeof numbers === 'number' ? numbers : complete(numbers);
      if (error !== Errno.OK) tracee.failWith(error);
      return error;
    } finally {
      tracee.release();
    }
  } catch (error) {
    if (error instanceof TraceeGone) return Errno.ESRCH;
    throw error;
  }
}

/**
 * The same for as many of the files as there is room for: the numbers of the others are -1. Where nothing could be installed
 * `complete` gets undefined, and the call succeeds with what that does.
 */
export function installAsManyAsFit(
  tid: number,
  files: readonly number[],
  answer: () => void,
  complete: (numbers: readonly number[] | undefined) => Errno,
  completeUntraced: () => Errno,
): Errno {
  const tracee = Tracee.seize(tid);
  if (typeof tracee === 'number') return completeUntraced();
  answer();
  try {
    tracee.hold();
    try {
      const numbers = new Installation(tracee, tid, files).run(true);
      const error = complete(typeof numbers === 'number' ? undefined : numbers);
      if (error !== Errno.OK) tracee.failWith(error);
      return error;
    } finally {
      tracee.release();
    }
  } catch (error) {
    if (error instanceof TraceeGone) return Errno.ESRCH;
    throw error;
  }
}

class Installation {
  private readonly tracee: Tracee;
  private readonly tid: number;
  private readonly files: readonly number[];
  private readonly scratch: number;
  private readonly scratchSize: number;

  constructor(tracee: Tracee, tid: number, files: readonly number[]) {
    this.tracee = tracee;
    this.tid = tid;
    this.files = files;
    this.scratchSize = Envelope.size(Math.min(files.length, SCM_MAX_FD));
    // Below the stack pointer is unused memory, but a program may have put its stack right above something else: what
    // is there is put back.
    this.scratch = Math.floor((tracee.stackPointer - X64.redZone - this.scratchSize) / 16) * 16;
  }

  /** With `isPartial`, the numbers of files for which there is no room are -1. */
  run(isPartial = false): readonly number[] | Errno {
    if (!this.isAtCallInstruction()) return Errno.EOPNOTSUPP;
    if (!this.transfer(processVmReadv, overwritten, this.scratchSize)) return Errno.EFAULT;
    const first = this.attempt(Number.POSITIVE_INFINITY);
    const result = first === Errno.EMFILE ? this.attemptWithLiftedLimit(isPartial) : first;
    this.transfer(processVmWritev, overwritten, this.scratchSize);
    return result;
  }

  /**
   * The socket pair takes two numbers for a moment; a process close to its limit must not fail for that. Numbers that
   * would not have been within the limit are given up again.
   */
  private attemptWithLiftedLimit(isPartial: boolean): readonly number[] | Errno {
    const { tracee, scratch } = this;
    const isKnown = tracee.call(calls.prlimit64, 0, RLIMIT_NOFILE, 0, scratch) === 0;
    if (!isKnown || !this.transfer(processVmReadv, theirs, Rlimit.size)) return Errno.EMFILE;
    const soft = theirs.u64(Rlimit.soft);
    const hard = theirs.u64(Rlimit.hard);
    if (!this.setLimit(soft + (isPartial ? this.files.length + 2 : 2), hard)) return Errno.EMFILE;
    const result = this.attempt(soft, isPartial);
    this.setLimit(soft, hard);
    return result;
  }

  /** A process may move its soft limit itself; only raising the hard one takes the privilege, and perhaps we have it. */
  private setLimit(soft: number, hard: number): boolean {
    theirs.setU64(Rlimit.soft, soft);
    theirs.setU64(Rlimit.hard, Math.max(soft, hard));
    if (soft > hard) return setDescriptorLimit(this.tid, theirs) === 0;
    if (!this.transfer(processVmWritev, theirs, Rlimit.size)) return false;
    return this.tracee.call(calls.prlimit64, 0, RLIMIT_NOFILE, this.scratch, 0) === 0;
  }

  private attempt(limit: number, isPartial = false): readonly number[] | Errno {
    const made = this.tracee.call(
      calls.socketpair,
      AF_UNIX,
      SOCK_DGRAM | SOCK_CLOEXEC,
      0,
      this.scratch + Envelope.pair,
    );
    if (made < 0) return -made as Errno;
    if (!this.transfer(processVmReadv, theirs, Envelope.control)) return Errno.EFAULT;
    // The lower number is the lowest free one of all, and the first descriptor shall have it in the end.
    const [a, b] = [theirs.i32(Envelope.pair), theirs.i32(Envelope.pair + FD_SIZE)];
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    const sender = copyDescriptor(this.tid, high);
    if (sender < 0) {
      this.close(high);
      this.close(low);
      return -sender as Errno;
    }
    try {
      this.close(high);
      return this.receiveInto(low, sender, limit, isPartial);
    } finally {
      closeElsewhere(sender); // the client's other threads may have put anything behind that number
    }
  }

  /** Receives all files through the socket at `low`, and then puts the first one there. */
  private receiveInto(low: number, sender: number, limit: number, isPartial: boolean): readonly number[] | Errno {
    const [head, ...rest] = this.files as [number, ...number[]];
    const received = this.receiveAll(low, sender, [...rest, head]);
    const last = received.at(-1);
    if (received.length < this.files.length || last === undefined) {
      for (const fd of [...received, low]) this.close(fd);
      return Errno.EMFILE;
    }
    this.tracee.call(calls.dup3, last, low, O_CLOEXEC, 0);
    this.close(last);
    const numbers = [low, ...received.slice(0, -1)];
    if (numbers.every((fd) => fd < limit)) return numbers;
    for (const fd of numbers) if (!isPartial || fd >= limit) this.close(fd);
    return isPartial ? numbers.map((fd) => (fd < limit ? fd : -1)) : Errno.EMFILE;
  }

  /** Sends files through the socket pair, in as many messages as they need, and receives them in the client. */
  private receiveAll(receiver: number, sender: number, files: readonly number[]): number[] {
    const received: number[] = [];
    for (let start = 0; start < files.length; start += SCM_MAX_FD) {
      const batch = files.slice(start, start + SCM_MAX_FD);
      fillEnvelope(ours, ours.address, batch);
      if (sendmsg(sender, ours.address, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) break;
      fillEnvelope(theirs, this.scratch, batch);
      theirs.setU64(Envelope.control + Cmsghdr.len, 0); // the kernel sets it if it installs any
      if (!this.transfer(processVmWritev, theirs, Envelope.size(batch.length))) break;
      const got = this.tracee.call(calls.recvmsg, receiver, this.scratch, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0);
      if (got < 0 || !this.transfer(processVmReadv, theirs, Envelope.size(batch.length))) break;
      const nFds = (theirs.u64(Envelope.control + Cmsghdr.len) - Cmsghdr.sizeof) / FD_SIZE;
      for (let i = 0; i < Math.min(batch.length, nFds); i++) {
        received.push(theirs.i32(Envelope.control + Cmsghdr.sizeof + i * FD_SIZE));
      }
      if ((theirs.u32(Msghdr.flags) & MSG_CTRUNC) !== 0) break;
    }
    return received;
  }

  private close(fd: number): void {
    this.tracee.call(calls.close, fd, 0, 0, 0);
  }

  private isAtCallInstruction(): boolean {
    const size = X64.callInstruction.length;
    local.setIovec(0, theirs.address, size);
    remote.setIovec(0, this.tracee.callInstruction, size);
    if (processVmReadv(this.tid, local.address, 1, remote.address, 1, 0) !== size) return false;
    return X64.callInstruction.every((byte, i) => theirs.u8[i] === byte);
  }

  /** Moves the first `size` bytes between a buffer of ours and the scratch memory on the client's stack. */
  private transfer(move: typeof processVmReadv, buffer: NativeBuffer, size: number): boolean {
    local.setIovec(0, buffer.address, size);
    remote.setIovec(0, this.scratch, size);
    return move(this.tid, local.address, 1, remote.address, 1, 0) === size;
  }
}

/** Writes a message with these files to a buffer that is, or will be copied to, `address`. */
function fillEnvelope(buffer: NativeBuffer, address: number, files: readonly number[]): void {
  buffer.zero(0, Envelope.size(files.length));
  buffer.setU64(Msghdr.iov, address + Envelope.iovec);
  buffer.setU64(Msghdr.iovlen, 1);
  buffer.setIovec(Envelope.iovec, address + Envelope.pair, 1);
  buffer.setU64(Msghdr.control, address + Envelope.control);
  buffer.setU64(Msghdr.controllen, Cmsghdr.sizeof + files.length * FD_SIZE);
  buffer.setU64(Envelope.control + Cmsghdr.len, Cmsghdr.sizeof + files.length * FD_SIZE);
  buffer.setI32(Envelope.control + Cmsghdr.level, SOL_SOCKET);
  buffer.setI32(Envelope.control + Cmsghdr.type, SCM_RIGHTS);
  for (const [i, file] of files.entries()) buffer.setI32(Envelope.control + Cmsghdr.sizeof + i * FD_SIZE, file);
}
