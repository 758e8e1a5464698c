import { struct } from '../base/struct.js';
import { systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

/** seccomp(2), seccomp_unotify(2) and what their arguments are made of. */
const seccomp = systemCall<[number: number, operation: number, flags: number, argument: number]>(
  'long syscall(long number, unsigned int operation, unsigned long flags, uintptr_t argument)',
);

const SYS_SECCOMP = 317; // x86-64
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3;
/** A notification that was received ends only with its answer or the death of its thread, not by any signal. */
const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 1 << 5;

export const SECCOMP_RET_ALLOW = 0x7fff_0000;
export const SECCOMP_RET_USER_NOTIF = 0x7fc0_0000;
export const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;
export const SECCOMP_IOCTL_NOTIF_RECV = 0xc050_2100;
export const SECCOMP_IOCTL_NOTIF_SEND = 0xc018_2101;
export const SECCOMP_IOCTL_NOTIF_ID_VALID = 0x4008_2102;

export const AUDIT_ARCH_X86_64 = 0xc000_003e;
export const AUDIT_ARCH_I386 = 0x4000_0003;

const DATA = {
  nr: 'i32',
  arch: 'u32',
  instruction_pointer: 'u64',
  arg0: 'u64',
  arg1: 'u64',
  arg2: 'u64',
  arg3: 'u64',
  arg4: 'u64',
  arg5: 'u64',
} as const;
/** What a filter sees, and what a notification tells. */
export const SeccompData = struct(DATA);
export const SeccompNotif = struct({ id: 'u64', pid: 'u32', flags: 'u32', ...DATA });
export const SeccompNotifResp = struct({ id: 'u64', val: 'u64', error: 'i32', flags: 'u32' });

/** One instruction of a filter: classic BPF, with jumps counted from the next instruction (linux/filter.h). */
export interface Instruction {
  readonly code: number;
  readonly jumpTrue: number;
  readonly jumpFalse: number;
  readonly k: number;
}

const INSTRUCTION_SIZE = 8;
const SockFprog = struct({ len: 'u16', filter: 'u64' });

/**
 * Puts the calling thread, and all it starts from then on, under a filter. Returns the descriptor on which calls are
 * reported that the filter wants reported, or a negative errno: EBUSY if there is such a filter already, EACCES if
 * that needs CAP_SYS_ADMIN or no_new_privs.
 */
export function installFilter(instructions: readonly Instruction[]): number {
  const filter = new NativeBuffer(instructions.length * INSTRUCTION_SIZE);
  for (const [i, { code, jumpTrue, jumpFalse, k }] of instructions.entries()) {
    filter.setU16(i * INSTRUCTION_SIZE, code);
    filter.u8.set([jumpTrue, jumpFalse], i * INSTRUCTION_SIZE + 2);
    filter.setU32(i * INSTRUCTION_SIZE + 4, k);
  }
  const program = new NativeBuffer(SockFprog.sizeof);
  program.setU16(SockFprog.len, instructions.length);
  program.setU64(SockFprog.filter, filter.address);
  const flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  return seccomp(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, program.address);
}
