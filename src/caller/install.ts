import { Errno } from '../base/errno.js';
import { F_DUPFD_CLOEXEC } from '../linux/file.js';
import { RLIMIT_NOFILE, Rlimit } from '../linux/limits.js';
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
import { descriptorLimits, descriptorsBelow, openDescriptors } from './descriptor.js';
import { TaskMemory } from './task-memory.js';
import { Tracee, TraceeGone } from './tracee.js';

const { calls } = X64;
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

/**
 * Installs descriptors of ours, close-on-exec and at the lowest free numbers, into the process of a thread that waits
 * for its ioctl to return. The program needs no part in it: its thread is made to receive them over a socket pair that
 * exists only for that. What it has received is never closed there: that would take the record locks of its file from the
 * program, and might take as long as the file's owner likes.
 *
 * `closeElsewhere` closes a descriptor of this process without waiting for that. `answer` must answer the ioctl with success; it is called once the thread is sure to stop before it sees that.
 * `complete` is called with the numbers when nothing can fail any more and before the thread goes on. Returns an
 * errno instead if nothing was installed: the ioctl fails with it, if it was answered. ESRCH is a client that died.
 */
export function install(
  tid: number,
  files: readonly number[],
  closeElsewhere: (fd: number) => void,
  answer: () => void,
  complete: (numbers: readonly number[], memory: TaskMemory) => Errno,
): Errno {
  const memory = TaskMemory.open(tid);
  if (typeof memory === 'number') return memory;
  try {
    const tracee = Tracee.seize(tid);
    if (typeof tracee === 'number') return tracee;
    answer();
    tracee.hold();
    try {
      if (tracee.outcome !== 0) return -tracee.outcome as Errno; // its argument could not be copied back
      const numbers = new Installation(tracee, tid, files, memory, closeElsewhere).run();
      const error = typeof numbers === 'number' ? numbers : complete(numbers, memory);
      if (error !== Errno.OK) tracee.failWith(error);
      return error;
    } finally {
      tracee.release();
    }
  } catch (error) {
    if (error instanceof TraceeGone) return Errno.ESRCH;
    throw error;
  } finally {
    memory.close();
  }
}

/**
 * Once the ioctl is answered, the thread's number may come to stand for another program: when one of its siblings calls
 * execve(). So memory is reached by a descriptor from before the answer, and whatever else goes by the number counts only if
 * the thread answers to ptrace afterwards, which the other one would not.
 */
class Installation {
  private readonly tracee: Tracee;
  private readonly tid: number;
  private readonly files: readonly number[];
  private readonly memory: TaskMemory;
  private readonly closeElsewhere: (fd: number) => void;
  private readonly scratch: number;
  private readonly scratchSize: number;

  constructor(
    tracee: Tracee,
    tid: number,
    files: readonly number[],
    memory: TaskMemory,
    closeElsewhere: (fd: number) => void,
  ) {
    this.tracee = tracee;
    this.tid = tid;
    this.files = files;
    this.memory = memory;
    this.closeElsewhere = closeElsewhere;
    this.scratchSize = Envelope.size(Math.min(files.length, SCM_MAX_FD));
    // Below the stack pointer is unused memory, but a program may have put its stack right above something else: what
    // is there is put back.
    this.scratch = Math.floor((tracee.stackPointer - X64.redZone - this.scratchSize) / 16) * 16;
  }

  run(): readonly number[] | Errno {
    if (!this.isAtCallInstruction()) return Errno.EOPNOTSUPP;
    if (!this.memory.read(overwritten, this.scratch, this.scratchSize)) return Errno.EFAULT;
    // As many numbers as are wanted are free below this one, whatever the numbers in use are.
    const beyond = openDescriptors(this.tid) + this.files.length;
    const first = this.attempt(beyond);
    const result = first === Errno.EMFILE ? this.attemptWithLiftedLimit(beyond) : first;
    this.memory.write(overwritten, this.scratch, this.scratchSize);
    return result;
  }

  /** The socket takes a number for a moment; a process close to its limit must not fail for that. */
  private attemptWithLiftedLimit(beyond: number): readonly number[] | Errno {
    const limits = descriptorLimits(this.tid);
    if (limits === undefined) return Errno.EMFILE;
    const { soft, hard } = limits;
    if (descriptorsBelow(this.tid, soft) + this.files.length > soft) return Errno.EMFILE;
    const at = Math.min(Math.max(beyond, soft), hard - 1);
    if (!this.setLimit(Math.min(hard, Math.max(soft, at + 3)), hard)) return Errno.EMFILE;
    const result = this.attempt(at);
    this.setLimit(soft, hard);
    return result;
  }

  /** A process may move its soft limit itself. */
  private setLimit(soft: number, hard: number): boolean {
    theirs.setU64(Rlimit.soft, soft);
    theirs.setU64(Rlimit.hard, hard);
    if (!this.memory.write(theirs, this.scratch, Rlimit.size)) return false;
    return this.tracee.call(calls.prlimit64, 0, RLIMIT_NOFILE, this.scratch, 0) === 0;
  }

  /** Receives the files while the socket has a number from `beyond` on. */
  private attempt(beyond: number): readonly number[] | Errno {
    const { tracee, scratch } = this;
    const made = tracee.call(calls.socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, scratch + Envelope.pair);
    if (made < 0) return -made as Errno;
    if (!this.memory.read(theirs, scratch, Envelope.control)) return Errno.EFAULT;
    const [a, b] = [theirs.i32(Envelope.pair), theirs.i32(Envelope.pair + FD_SIZE)];
    const sender = copyDescriptor(this.tid, b);
    try {
      const receiver = tracee.call(calls.fcntl, a, F_DUPFD_CLOEXEC, beyond, 0); // and it is still the same thread
      if (b === a + 1) {
        tracee.call(calls.close_range, a, b, 0, 0);
      } else {
        this.close(a);
        this.close(b);
      }
      if (receiver < 0) return Errno.EMFILE;
      const received = sender < 0 ? [] : this.receiveAll(receiver, sender, this.files);
      this.close(receiver);
      return received.length === this.files.length ? received : Errno.EMFILE;
    } finally {
      if (sender >= 0) this.closeElsewhere(sender); // the client's other threads may have put anything behind that number
    }
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
      if (!this.memory.write(theirs, this.scratch, Envelope.size(batch.length))) break;
      const got = this.tracee.call(calls.recvmsg, receiver, this.scratch, MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0);
      if (got < 0 || !this.memory.read(theirs, this.scratch, Envelope.size(batch.length))) break;
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
    if (!this.memory.read(theirs, this.tracee.callInstruction, size)) return false;
    return X64.callInstruction.every((byte, i) => theirs.u8[i] === byte);
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
