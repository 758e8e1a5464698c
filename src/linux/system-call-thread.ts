import koffi from 'koffi';
import { Errno } from '../base/errno.js';
import { cFunction, systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

/*
 * A thread of this process that makes system calls we tell it, and nothing else, so that what may never return is not waited
 * for by whoever has more to do. It is some bytes of machine code and a stack: it starts in 0.1 ms, costs 20 KiB, needs no
 * JavaScript to run, and can be lost.
 */

const mmap = systemCall<[address: number, length: number, prot: number, flags: number, fd: number, offset: number]>(
  'intptr_t mmap(uintptr_t address, size_t length, int prot, int flags, int fd, int64_t offset)',
);
const mprotect = systemCall<[address: number, length: number, prot: number]>(
  'int mprotect(uintptr_t address, size_t length, int prot)',
);
const futex = systemCall<[number: number, word: number, operation: number, value: number, timeout: number]>(
  'long syscall(long number, uintptr_t word, long operation, long value, uintptr_t timeout)',
);
const pthreadCreate = cFunction<[thread: number, attributes: number, start: number, argument: number]>(
  'int pthread_create(uintptr_t thread, uintptr_t attributes, uintptr_t start, uintptr_t argument)',
);
const pthreadAttrInit = cFunction<[attributes: number]>('int pthread_attr_init(uintptr_t attributes)');
const pthreadAttrSetstacksize = cFunction<[attributes: number, size: number]>(
  'int pthread_attr_setstacksize(uintptr_t attributes, size_t size)',
);
const pthreadAttrSetdetachstate = cFunction<[attributes: number, state: number]>(
  'int pthread_attr_setdetachstate(uintptr_t attributes, int state)',
);
const pthreadSigmask = cFunction<[how: number, set: number, old: number]>(
  'int pthread_sigmask(int how, uintptr_t set, uintptr_t old)',
);

const SYS_FUTEX = 202;
const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const SIG_SETMASK = 2;
const PTHREAD_CREATE_DETACHED = 1;
const STACK_SIZE = 64 * 1024;
const PROT_READ = 1;
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE_SIZE = 4096;

/** Numbers of system calls on x86-64, for run(). */
export const Syscall = {
  WRITE: 1,
  CLOSE: 3,
  UNSHARE: 272,
  PROCESS_VM_READV: 310,
  PROCESS_VM_WRITEV: 311,
  CLOSE_RANGE: 436,
} as const;

/** What the thread and its owner share. A call is its number, six arguments and its result. */
const Shared = { state: 0, count: 8, doneFd: 16, one: 24, goOn: 32, calls: 64, callSize: 64, result: 56 } as const;
export const MAX_CALLS = 64;

/** What the state word says. The odd ones are for the thread to do something; LATE may come before it has begun. */
const State = { IDLE: 0, SUBMITTED: 1, DONE: 2, LATE: 3 } as const;

/**
 * The thread's program. Its argument, the address of what is shared, stays in r12:
 *
 *   wait:  while (!(state & SUBMITTED)) futex(&state, FUTEX_WAIT, state)
 *          for (call = calls, n = count; n != 0; call++, n--)
 *            if ((call->result = syscall(call->number, call->arguments)) < 0 && !goOn) break
 *          if (exchange(&state, DONE) == LATE) write(doneFd, &one, 8) else futex(&state, FUTEX_WAKE, 1)
 *          goto wait
 */
function program(): Uint8Array {
  const code: number[] = [];
  const labels: Record<string, number> = {};
  const jumps: { readonly at: number; readonly to: string }[] = [];
  const emit = (...bytes: readonly number[]): void => {
    code.push(...bytes);
  };
  const jump = (opcode: readonly number[], to: string): void => {
    emit(...opcode, 0, 0, 0, 0);
    jumps.push({ at: code.length - 4, to });
  };
  const [JMP, JE, JNE, JNS] = [[0xe9], [0x0f, 0x84], [0x0f, 0x85], [0x0f, 0x89]] as const;
  const syscall = (): void => emit(0x0f, 0x05);
  const movEax = (value: number): void => emit(0xb8, value & 0xff, value >> 8, 0, 0);

  emit(0x49, 0x89, 0xfc); // mov r12, rdi
  labels['wait'] = code.length;
  emit(0x41, 0x8b, 0x54, 0x24, Shared.state); // mov edx, [r12 + state]
  emit(0xf6, 0xc2, State.SUBMITTED); // test dl, SUBMITTED, which LATE has too
  jump(JNE, 'run');
  movEax(SYS_FUTEX);
  emit(0x4c, 0x89, 0xe7); // mov rdi, r12
  emit(0x31, 0xf6); // xor esi, esi
  emit(0x45, 0x31, 0xd2); // xor r10d, r10d
  syscall();
  jump(JMP, 'wait');

  labels['run'] = code.length;
  emit(0x49, 0x8d, 0x5c, 0x24, Shared.calls); // lea rbx, [r12 + calls]
  emit(0x4d, 0x8b, 0x6c, 0x24, Shared.count); // mov r13, [r12 + count]
  labels['next'] = code.length;
  emit(0x48, 0x8b, 0x03); // mov rax, [rbx]
  emit(0x48, 0x8b, 0x7b, 8); // mov rdi, [rbx + 8]
  emit(0x48, 0x8b, 0x73, 16); // mov rsi, [rbx + 16]
  emit(0x48, 0x8b, 0x53, 24); // mov rdx, [rbx + 24]
  emit(0x4c, 0x8b, 0x53, 32); // mov r10, [rbx + 32]
  emit(0x4c, 0x8b, 0x43, 40); // mov r8, [rbx + 40]
  emit(0x4c, 0x8b, 0x4b, 48); // mov r9, [rbx + 48]
  syscall();
  emit(0x48, 0x89, 0x43, Shared.result); // mov [rbx + result], rax
  emit(0x48, 0x85, 0xc0); // test rax, rax
  jump(JNS, 'on');
  emit(0x41, 0x83, 0x7c, 0x24, Shared.goOn, 0); // cmp dword [r12 + goOn], 0
  jump(JE, 'done');
  labels['on'] = code.length;
  emit(0x48, 0x83, 0xc3, Shared.callSize); // add rbx, callSize
  emit(0x49, 0xff, 0xcd); // dec r13
  jump(JNE, 'next');

  labels['done'] = code.length;
  movEax(State.DONE);
  emit(0x41, 0x87, 0x44, 0x24, Shared.state); // xchg [r12 + state], eax
  emit(0x83, 0xf8, State.LATE); // cmp eax, LATE
  jump(JE, 'late');
  movEax(SYS_FUTEX);
  emit(0x4c, 0x89, 0xe7); // mov rdi, r12
  emit(0xbe, FUTEX_WAKE, 0, 0, 0); // mov esi, FUTEX_WAKE
  emit(0xba, 1, 0, 0, 0); // mov edx, 1
  syscall();
  jump(JMP, 'wait');

  labels['late'] = code.length;
  movEax(Syscall.WRITE);
  emit(0x49, 0x8b, 0x7c, 0x24, Shared.doneFd); // mov rdi, [r12 + doneFd]
  emit(0x49, 0x8d, 0x74, 0x24, Shared.one); // lea rsi, [r12 + one]
  emit(0xba, 8, 0, 0, 0); // mov edx, 8
  syscall();
  jump(JMP, 'wait');

  const bytes = Uint8Array.from(code);
  const view = new DataView(bytes.buffer);
  for (const { at, to } of jumps) view.setInt32(at, (labels[to] as number) - (at + 4), true);
  return bytes;
}

/** Threads never end, so what they share with us must not be freed, whoever forgets them. */
const threads: SystemCallThread[] = [];

let entry: number | undefined;

/** Where the program is. */
function programAddress(): number {
  if (entry === undefined) {
    const address = mmap(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    if (address < 0) throw new Error(`no memory for the program of a thread: errno ${-address}`);
    new Uint8Array(koffi.view(address, PAGE_SIZE)).set(program());
    const error = mprotect(address, PAGE_SIZE, PROT_READ | PROT_EXEC);
    if (error < 0) throw new Error(`the program of a thread may not be run: errno ${-error}`);
    entry = address;
  }
  return entry;
}

export class SystemCallThread {
  private readonly shared = new NativeBuffer(Shared.calls + MAX_CALLS * Shared.callSize);
  private readonly words = new Uint32Array(this.shared.u8.buffer);
  private readonly address = this.shared.address;

  private constructor(doneFd: number) {
    this.shared.setU64(Shared.doneFd, doneFd);
    this.shared.setU64(Shared.one, 1);
  }

  /**
   * Starts one. It writes a `u64` of 1 to `doneFd`, an eventfd, when it comes back from calls that were not waited for any
   * more. Undefined if the system has no thread or memory left.
   */
  static start(doneFd: number): SystemCallThread | undefined {
    const thread = new SystemCallThread(doneFd);
    const attributes = new NativeBuffer(64);
    pthreadAttrInit(attributes.address);
    pthreadAttrSetstacksize(attributes.address, STACK_SIZE);
    pthreadAttrSetdetachstate(attributes.address, PTHREAD_CREATE_DETACHED);
    const masks = new NativeBuffer(256);
    masks.u8.fill(0xff, 0, 128);
    pthreadSigmask(SIG_SETMASK, masks.address, masks.address + 128); // signals are for others
    const id = new NativeBuffer(8);
    const error = pthreadCreate(id.address, attributes.address, programAddress(), thread.address);
    pthreadSigmask(SIG_SETMASK, masks.address + 128, 0);
    if (error !== 0) return undefined;
    threads.push(thread);
    return thread;
  }

  /** Sets the `index`-th call of the next run(). */
  prepare(index: number, number: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): void {
    const at = Shared.calls + index * Shared.callSize;
    const { shared } = this;
    shared.setU64(at, number);
    shared.setU64(at + 8, a);
    shared.setU64(at + 16, b);
    shared.setU64(at + 24, c);
    shared.setU64(at + 32, d);
    shared.setU64(at + 40, e);
    shared.setU64(at + 48, f);
    shared.setI32(at + Shared.result, -Errno.ECANCELED);
    shared.setI32(at + Shared.result + 4, -1);
  }

  /** How many calls it was given the last time. */
  get count(): number {
    return this.shared.u32(Shared.count);
  }

  /** Lets the thread make the first `count` calls that were prepared, up to one that fails unless `goOn`. */
  submit(count: number, { goOn = false } = {}): void {
    this.shared.setU64(Shared.count, count);
    this.shared.setU32(Shared.goOn, goOn ? 1 : 0);
    Atomics.store(this.words, 0, State.SUBMITTED);
    futex(SYS_FUTEX, this.address, FUTEX_WAKE, 1, 0);
  }

  /** Waits for their end, or until a signal handler has run in this thread. Whether they have ended. */
  wait(): boolean {
    if (Atomics.load(this.words, 0) === State.SUBMITTED) {
      futex(SYS_FUTEX, this.address, FUTEX_WAIT, State.SUBMITTED, 0);
    }
    return this.isBack;
  }

  /** Waits no longer: doneFd will tell. False if it has come back this moment. */
  leave(): boolean {
    return Atomics.compareExchange(this.words, 0, State.SUBMITTED, State.LATE) === State.SUBMITTED;
  }

  get isBack(): boolean {
    return Atomics.load(this.words, 0) === State.DONE;
  }

  /** What the `index`-th call returned, a negative errno on failure; -ECANCELED if one before it failed. */
  result(index: number): number {
    const at = Shared.calls + index * Shared.callSize + Shared.result;
    return this.shared.i32(at + 4) < 0 ? this.shared.i32(at) : this.shared.u64(at);
  }
}
