import { systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const waitpid = systemCall<[pid: number, status: number, options: number]>(
  'int waitpid(int pid, uintptr_t status, int options)',
);
const waitid = systemCall<[type: number, id: number, info: number, options: number]>(
  'int waitid(int type, unsigned int id, uintptr_t info, int options)',
);

const ANY = -1;
const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
/** `siginfo_t` of SIGCHLD on 64-bit Linux. */
const Siginfo = { pid: 16, size: 128 } as const;

const status = new NativeBuffer(4);
const info = new NativeBuffer(Siginfo.size);

/** A child that has ended, and how. */
export interface EndedChild {
  readonly pid: number;
  /** The signal that ended it, or 0. */
  readonly signal: number;
  readonly exitStatus: number;
}

/** Collects one child that has ended, the one with this pid or any. Undefined if there is none now. */
export function collectChild(pid = ANY): EndedChild | undefined {
  const found = waitpid(pid, status.address, WNOHANG);
  if (found <= 0) return undefined;
  const word = status.u32(0);
  return { pid: found, signal: word & 0x7f, exitStatus: (word >> 8) & 0xff };
}

/** The pid of a child that has ended and was not collected yet. Undefined if there is none now. */
export function endedChild(): number | undefined {
  info.zero(0, Siginfo.size); // a wait that finds nobody may leave it as it is
  const error = waitid(P_ALL, 0, info.address, WEXITED | WNOHANG | WNOWAIT);
  const pid = info.i32(Siginfo.pid);
  return error < 0 || pid === 0 ? undefined : pid;
}
