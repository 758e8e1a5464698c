import type { Bytes } from './base/bytes.js';
import type { Errno } from './base/errno.js';
import type { Caller } from './caller/caller.js';

/**
 * The contract between a file system and the devices in it.
 *
 * A device is a name that can be opened; what open() gives is one open file description, shared by dup, fork and
 * SCM_RIGHTS like any other. Calls come one at a time, and while one runs its caller waits in the kernel.
 */
export interface Device {
  /** What stat(2) shows as st_rdev. */
  readonly rdev: { readonly major: number; readonly minor: number };
  /** `sibling` is a file that is open on the same inode; then the new one must show the same memory, or be refused. */
  open(caller: Caller, sibling: OpenFile | undefined): OpenFile | Errno;
}

export interface OpenFile {
  /** What mmap(2) of the file shows. The file system closes the descriptor once the kernel has it. */
  readonly memory: BackingMemory;
  /** Set by the file system; the file calls it when poll() would answer a new condition. */
  onPollChange: (() => void) | undefined;
  /**
   * Handles one ioctl. `argument` holds the caller's structure, as large as the command says, and is copied back to
   * the caller on success only. Returns 0 or an errno.
   */
  ioctl(command: number, argument: Bytes, caller: Caller): Errno;
  /** The current poll(2) mask. */
  poll(): number;
  /** The last descriptor was closed. */
  release(): void;
}

export interface BackingMemory {
  readonly fd: number;
  closeFd(): void;
}

/** poll(2) bits, linux/eventpoll.h. */
export const Poll = { IN: 0x1, OUT: 0x4, HUP: 0x10, RDNORM: 0x40, WRNORM: 0x100 } as const;
