import { constants } from 'node:os';
import { systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const sigaction = systemCall<[signal: number, action: number, old: number]>(
  'int sigaction(int signal, uintptr_t action, uintptr_t old)',
);

/** `struct sigaction` of glibc and musl: handler, 128 bytes of mask, flags, restorer. */
const Sigaction = { handler: 0, flags: 136, size: 152 } as const;

const SIG_DFL = 0;
const SIG_IGN = 1;
export const SA_SIGINFO = 4;
export const SA_RESTART = 0x1000_0000;

const action = new NativeBuffer(Sigaction.size);

/** Sets the handler of a signal, a C function by its address, for the whole process. Returns 0 or a negative errno. */
export function setSignalHandler(signal: number, handler: number, flags = 0): number {
  action.zero(0, Sigaction.size);
  action.setU64(Sigaction.handler, handler);
  action.setI32(Sigaction.flags, flags);
  return sigaction(signal, action.address, 0);
}

/** The system call itself: the C library refuses to touch signals that it keeps for its own use. */
const rtSigaction = systemCall<[number: number, signal: number, action: number, old: number, setSize: number]>(
  'long syscall(long number, int signal, uintptr_t action, uintptr_t old, size_t setSize)',
);
const SYS_RT_SIGACTION = 13; // x86-64
const SIGSET_SIZE = 8;
/** The kernel's `struct sigaction`: handler, flags, restorer, mask. */
const kernelAction = new NativeBuffer(32);

/** The highest number of a signal. */
export const SIGRTMAX = 64;
/** What must not be ignored, or nobody could wait for children; and what does no harm. */
const HARMLESS: readonly NodeJS.Signals[] = ['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH'];
/** What Node has handlers for from the start: they end the process, open its debugger, look at faults of WebAssembly. */
const NODE: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGSEGV'];

/**
 * Ignores every signal that would end or stop this process, or start a debugger in it, and that has no handler of ours, but
 * for `exceptions`. Signals of faults too: a fault ends the process all the same, and only what kill(2) sends is ignored.
 */
export function ignoreSignals(exceptions: readonly NodeJS.Signals[] = []): void {
  const numbers = (names: readonly NodeJS.Signals[]) => new Set<number>(names.map((name) => constants.signals[name]));
  const kept = numbers([...HARMLESS, ...exceptions]);
  const node = numbers(NODE);
  for (let signal = 1; signal <= SIGRTMAX; signal++) {
    if (!kept.has(signal) && (node.has(signal) || hasDefault(signal))) ignore(signal);
  }
}

function hasDefault(signal: number): boolean {
  rtSigaction(SYS_RT_SIGACTION, signal, 0, kernelAction.address, SIGSET_SIZE);
  return kernelAction.u64(0) === SIG_DFL;
}

function ignore(signal: number): void {
  kernelAction.zero(0, kernelAction.size);
  kernelAction.setU64(0, SIG_IGN);
  rtSigaction(SYS_RT_SIGACTION, signal, kernelAction.address, 0, SIGSET_SIZE);
}
