import { systemCall } from './libc.js';

/** ptrace(2), waitpid(2) and what their arguments are made of. */
export const ptrace = systemCall<[request: number, tid: number, address: number, data: number]>(
  'long ptrace(long request, long pid, uintptr_t address, uintptr_t data)',
);
export const waitpid = systemCall<[pid: number, status: number, options: number]>(
  'int waitpid(int pid, uintptr_t status, int options)',
);

export const PTRACE_SINGLESTEP = 9;
export const PTRACE_GETREGS = 12;
export const PTRACE_SETREGS = 13;
export const PTRACE_DETACH = 17;
export const PTRACE_SEIZE = 0x4206;
export const PTRACE_INTERRUPT = 0x4207;
export const PTRACE_GETSIGMASK = 0x420a;
export const PTRACE_SETSIGMASK = 0x420b;

/** Keeps the tracee's seccomp filters from judging the calls it makes for its tracer. */
export const PTRACE_O_SUSPEND_SECCOMP = 1 << 21;

export const __WALL = 0x4000_0000;

export const SIGTRAP = 5;
export const SIGKILL = 9;
export const SIGSTOP = 19;

/** Decodes a wait status (wait(2)): a stop, its signal and ptrace event; anything else is an end. */
export const isStopped = (status: number): boolean => (status & 0xff) === 0x7f;
export const stopSignal = (status: number): number => (status >>> 8) & 0xff;
export const stopEvent = (status: number): number => status >>> 16;

/** What differs between architectures: `struct user_regs_struct` and system call numbers. arm64 is another such table. */
export const X64 = {
  registersSize: 27 * 8,
  argument0: 14 * 8, // rdi
  argument1: 13 * 8, // rsi
  argument2: 12 * 8, // rdx
  argument3: 7 * 8, // r10
  result: 10 * 8, // rax
  callNumber: 10 * 8, // rax
  originalCallNumber: 15 * 8, // orig_rax
  instructionPointer: 16 * 8, // rip
  stackPointer: 19 * 8, // rsp
  /** The `syscall` instruction. */
  callInstruction: [0x0f, 0x05],
  /** Below the stack pointer, but in use. */
  redZone: 128,
  calls: { close: 3, recvmsg: 47, socketpair: 53, fcntl: 72, prlimit64: 302, close_range: 436 },
} as const;
