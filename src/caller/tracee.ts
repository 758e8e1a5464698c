import { Errno } from '../base/errno.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import { tgkill } from '../linux/process.js';
import {
  __WALL,
  isStopped,
  PTRACE_DETACH,
  PTRACE_GETREGS,
  PTRACE_GETSIGMASK,
  PTRACE_INTERRUPT,
  PTRACE_O_SUSPEND_SECCOMP,
  PTRACE_SEIZE,
  PTRACE_SETREGS,
  PTRACE_SETSIGMASK,
  PTRACE_SINGLESTEP,
  ptrace,
  SIGKILL,
  SIGSTOP,
  SIGTRAP,
  stopEvent,
  stopSignal,
  waitpid,
  X64,
} from '../linux/ptrace.js';
import { startTicking } from '../linux/ticker.js';
import { seccompFiltersOf, threadOf } from './thread.js';

/** The thread died, or was killed for not stopping in time. Nothing can be done for it any more. */
export class TraceeGone extends Error {}

/** How long a thread may take to stop or to make a call for us before its process is killed. */
const PATIENCE_MS = 2000;
const SIGSET_SIZE = 8;

const arch = X64;
const saved = new NativeBuffer(arch.registersSize);
const registers = new NativeBuffer(arch.registersSize);
const savedMask = new NativeBuffer(SIGSET_SIZE);
/** Every signal but SIGTRAP: the kernel forces that one at each step, and would reset its handler if it were blocked. */
const heldMask = new NativeBuffer(SIGSET_SIZE);
heldMask.setAllOnes64(0);
heldMask.setU32(0, ~(1 << (SIGTRAP - 1)) >>> 0);
const statusBuffer = new NativeBuffer(4);

const OUR_SECCOMP_FILTERS = seccompFiltersOf(process.pid);

/**
 * A thread of a client that is held where its ioctl returns, and there makes system calls for us: its registers are
 * set to the call, its own `syscall` instruction is run again as a single step, and in the end everything is put back.
 * Meanwhile its signals wait, and its seccomp filters are not asked, if we may suspend them.
 *
 * Death can come at any step and says ESRCH wherever it is noticed; then every method throws TraceeGone, after
 * the thread has been reaped. There is one tracee at a time.
 */
export class Tracee {
  private readonly tid: number;
  private deadline = 0;
  /** A SIGSTOP that arrived meanwhile, which no mask holds back, to be passed on at the end. */
  private heldSignal = 0;

  private constructor(tid: number) {
    this.tid = tid;
  }

  /** Makes the blocked thread stop on its way out of the kernel. EPERM if somebody traces it already, or its filters forbid it. */
  static seize(tid: number): Tracee | Errno {
    if (ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_SUSPEND_SECCOMP) < 0) {
      // Either it is traced already, or we may not suspend filters, being under one ourselves; and one that the client
      // has beyond ours might kill it for the calls it is going to make.
      if (seccompFiltersOf(tid) > OUR_SECCOMP_FILTERS) return Errno.EPERM;
      const seized = ptrace(PTRACE_SEIZE, tid, 0, 0);
      if (seized < 0) return seized === -Errno.ESRCH ? Errno.ESRCH : Errno.EPERM;
    }
    const tracee = new Tracee(tid);
    ptrace(PTRACE_INTERRUPT, tid, 0, 0); // if it is dead, waiting for the stop will tell
    return tracee;
  }

  /** Waits for the stop and prepares for calls. The request that the thread waits for must have been answered. */
  hold(): void {
    this.deadline = performance.now() + PATIENCE_MS;
    startTicking();
    this.waitForStop();
    this.request(PTRACE_GETREGS, 0, saved.address);
    this.request(PTRACE_GETSIGMASK, SIGSET_SIZE, savedMask.address);
    this.request(PTRACE_SETSIGMASK, SIGSET_SIZE, heldMask.address);
  }

  get stackPointer(): number {
    return saved.u64(arch.stackPointer);
  }

  /** Where the instruction is that calls the kernel. */
  get callInstruction(): number {
    return saved.u64(arch.instructionPointer) - arch.callInstruction.length;
  }

  /** Runs a system call. Returns its result, a negative errno on failure. */
  call(number: number, a: number, b: number, c: number, d: number): number {
    registers.u8.set(saved.u8);
    registers.setU64(arch.callNumber, number);
    registers.setAllOnes64(arch.originalCallNumber);
    registers.setU64(arch.instructionPointer, this.callInstruction);
    registers.setU64(arch.argument0, a);
    registers.setU64(arch.argument1, b);
    registers.setU64(arch.argument2, c);
    registers.setU64(arch.argument3, d);
    this.request(PTRACE_SETREGS, 0, registers.address);
    do {
      this.request(PTRACE_SINGLESTEP, 0, 0);
    } while (!this.waitForStop());
    this.request(PTRACE_GETREGS, 0, registers.address);
    return registers.i32(arch.result);
  }

  /** What the ioctl is going to return to the program, a negative errno on failure. */
  get outcome(): number {
    return saved.i32(arch.result);
  }

  /** Makes the ioctl fail after all. */
  failWith(error: Errno): void {
    saved.setAllOnes64(arch.result);
    saved.setI32(arch.result, -error);
  }

  /** Puts registers and signals back and lets the thread go. */
  release(): void {
    this.request(PTRACE_SETSIGMASK, SIGSET_SIZE, savedMask.address);
    this.request(PTRACE_SETREGS, 0, saved.address);
    this.request(PTRACE_DETACH, 0, this.heldSignal);
  }

  private request(request: number, address: number, data: number): void {
    if (ptrace(request, this.tid, address, data) < 0) this.reap();
  }

  /** Returns whether a step was done; a stop may have another cause, a SIGSTOP for all of the process say. */
  private waitForStop(): boolean {
    const status = this.wait();
    if (!isStopped(status)) this.gone();
    const isSignal = stopEvent(status) === 0;
    if (isSignal && stopSignal(status) === SIGSTOP) this.heldSignal = SIGSTOP;
    return isSignal && stopSignal(status) === SIGTRAP;
  }

  /** The next wait status. A tick ends the patience with a thread that is stuck, in a page fault say. */
  private wait(): number {
    for (;;) {
      const waited = waitpid(this.tid, statusBuffer.address, __WALL);
      if (waited === this.tid) return statusBuffer.i32(0);
      if (waited !== -Errno.EINTR) return this.gone();
      if (performance.now() > this.deadline) this.kill();
    }
  }

  private kill(): void {
    const thread = threadOf(this.tid);
    if (typeof thread === 'object') tgkill(thread.tgids[0] ?? 0, this.tid, SIGKILL);
  }

  /** The thread is dying: waits until it has, so that it is no zombie of ours. */
  private reap(): never {
    while (isStopped(this.wait()));
    return this.gone();
  }

  private gone(): never {
    throw new TraceeGone();
  }
}
