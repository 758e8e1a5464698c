import { readFileSync } from 'node:fs';

/**
 * The least capabilities with which clients of every user are served in full. Unit, image, README and tests name the
 * same ones.
 */
export const NEEDED_CAPABILITIES = ['CAP_SYS_ADMIN', 'CAP_SYS_PTRACE', 'CAP_DAC_OVERRIDE'] as const;

/** Bits of a capability set, linux/capability.h. */
const BITS = {
  CAP_DAC_OVERRIDE: 1,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
} as const;

export type Capability = keyof typeof BITS;

/** Whether this process has a capability, in its user namespace. */
export function holds(capability: Capability): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> BigInt(BITS[capability])) & 1n) === 1n;
}
