import type { Errno } from '../../base/errno.js';

/*
 * What is known of a process, as the daemon's own namespaces have it. Whoever gets to know it sees it from its own.
 */

/** Undefined where there is no such fact; an errno where it could not be found out. */
export type Fact<Value> = Value | undefined | Errno;

/** User and group ids; undefined for one that a connection which pretends to be somebody else leaves open. */
export interface Credentials {
  readonly uid: number | undefined;
  readonly euid: number | undefined;
  readonly suid: number | undefined;
  readonly fsuid: number | undefined;
  readonly gid: number | undefined;
  readonly egid: number | undefined;
  readonly sgid: number | undefined;
  readonly fsgid: number | undefined;
}

/** The number of a process or a thread in each pid namespace that it is in, from the daemon's own inwards. */
export interface Pid {
  readonly namespaces: readonly string[];
  readonly numbers: readonly number[];
}

/** Undefined for one that is left open, or that there is not. */
export interface ProcessIds {
  /** The process. */
  readonly pid: Pid | undefined;
  readonly tid: Pid | undefined;
  /** The parent's process. */
  readonly ppid: Pid | undefined;
}

/** Sets of bits, and whose: what they are worth depends on the user namespace. */
export interface Capabilities {
  /** The highest one that the kernel has. */
  readonly last: number;
  readonly inheritable: bigint;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly bounding: bigint;
  readonly userNamespace: string;
  readonly euid: number;
}

export interface Audit {
  readonly sessionId: number;
  /** Undefined where it is unset. */
  readonly loginUid: number | undefined;
}

/** Texts are bytes without a NUL: nothing says that they are UTF-8. Properties may be found out when they are asked for. */
export interface ProcessFacts {
  readonly credentials: Fact<Credentials>;
  readonly ids: Fact<ProcessIds>;
  /** Supplementary groups, ascending. */
  readonly groups: Fact<readonly number[]>;
  readonly threadName: Fact<Uint8Array>;
  readonly processName: Fact<Uint8Array>;
  readonly executable: Fact<Uint8Array>;
  /** The first argument. */
  readonly commandLine: Fact<Uint8Array>;
  readonly cgroup: Fact<Uint8Array>;
  readonly capabilities: Fact<Capabilities>;
  readonly securityLabel: Fact<Uint8Array>;
  readonly audit: Fact<Audit>;
}

/** Nothing is known: what a connection shows, except for what it pretends to be, if it pretends to be anybody. */
export const NO_FACTS: ProcessFacts = {
  credentials: undefined,
  ids: undefined,
  groups: undefined,
  threadName: undefined,
  processName: undefined,
  executable: undefined,
  commandLine: undefined,
  cgroup: undefined,
  capabilities: undefined,
  securityLabel: undefined,
  audit: undefined,
};
