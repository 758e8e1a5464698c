import { Command } from '../bus1/bus1-abi.js';
import {
  AUDIT_ARCH_I386,
  AUDIT_ARCH_X86_64,
  type Instruction,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_USER_NOTIF,
  SeccompData,
} from '../linux/seccomp.js';

const BPF_LD_W_ABS = 0x20;
const BPF_JEQ_K = 0x15;
const BPF_RET_K = 0x06;

/** The number of ioctl(2) by architecture. */
export const IOCTL_X86_64 = 16;
export const IOCTL_I386 = 54;

const load = (offset: number): Instruction => ({ code: BPF_LD_W_ABS, jumpTrue: 0, jumpFalse: 0, k: offset });
const end = (action: number): Instruction => ({ code: BPF_RET_K, jumpTrue: 0, jumpFalse: 0, k: action });
const ifEqual = (k: number, jumpTrue: number, jumpFalse: number): Instruction => ({
  code: BPF_JEQ_K,
  jumpTrue,
  jumpFalse,
  k,
});

/**
 * Reports exactly PEER_DISCONNECT with NULL and lets everything else pass. That the decision needs no argument for any call
 * but ioctl lets the kernel skip the filter for all others.
 */
export const NULL_DISCONNECT_FILTER: readonly Instruction[] = [
  /*  0 */ load(SeccompData.arch),
  /*  1 */ ifEqual(AUDIT_ARCH_X86_64, 0, 2),
  /*  2 */ load(SeccompData.nr),
  /*  3 */ ifEqual(IOCTL_X86_64, 3, 10),
  /*  4 */ ifEqual(AUDIT_ARCH_I386, 0, 9),
  /*  5 */ load(SeccompData.nr),
  /*  6 */ ifEqual(IOCTL_I386, 0, 7),
  /*  7 */ load(SeccompData.arg1), // its lower half is the command
  /*  8 */ ifEqual(Command.PEER_DISCONNECT, 0, 5),
  /*  9 */ load(SeccompData.arg2),
  /* 10 */ ifEqual(0, 0, 3),
  /* 11 */ load(SeccompData.arg2 + 4),
  /* 12 */ ifEqual(0, 0, 1),
  /* 13 */ end(SECCOMP_RET_USER_NOTIF),
  /* 14 */ end(SECCOMP_RET_ALLOW),
];
