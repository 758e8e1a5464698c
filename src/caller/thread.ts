import { readlinkSync } from 'node:fs';
import { Errno } from '../base/errno.js';
import { close, ioctl, O_CLOEXEC, open, read } from '../linux/file.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import { tgkill } from '../linux/process.js';
import { isExhausted } from './descriptor.js';

/** ioctl on a namespace: a descriptor of its parent (ioctl_ns(2)). */
const NS_GET_PARENT = 0xb702;

const CACHE_LIMIT = 16384;
/**
 * How long what is known of a thread's namespaces holds. Its process is confirmed each time; the kernel hands out ids in turn, so
 * the same pair of ids comes to another process only after as many forks as there are ids, at least 32768.
 */
const TRUST_MS = 100;

/** A thread as each pid namespace sees it that it is in, from this process's own one inwards. */
export interface Thread {
  readonly pidNamespaces: readonly string[];
  readonly tids: readonly number[];
  /** The ids of its process. */
  readonly tgids: readonly number[];
}

const cache = new Map<number, { readonly thread: Thread; readonly readAt: number }>();

/** Identifies a namespace of a thread, `name` being an entry of /proc/TID/ns; undefined if the thread is gone. */
export function namespaceOf(tid: number | 'self', name: string): string | undefined {
  try {
    return readlinkSync(`/proc/${tid}/ns/${name}`);
  } catch {
    return undefined;
  }
}

export const OUR_PID_NAMESPACE = namespaceOf('self', 'pid') ?? '';
export const OUR_USER_NAMESPACE = namespaceOf('self', 'user') ?? '';

/** What a system call's failure to look at a blocked thread means: ENFILE where this process has no descriptor left. */
export const errnoOf = (failure: number): Errno => (isExhausted(failure) ? Errno.ENFILE : (-failure as Errno));

/** Who thread `tid` is, or why that cannot be told. */
export function threadOf(tid: number): Thread | Errno {
  const now = Date.now();
  const known = cache.get(tid);
  if (known !== undefined && Math.abs(now - known.readAt) < TRUST_MS && isOf(tid, known.thread)) return known.thread;
  const thread = readThread(tid);
  if (typeof thread === 'number') return thread;
  if (cache.size >= CACHE_LIMIT) cache.clear();
  cache.set(tid, { thread, readAt: now });
  return thread;
}

/** Whether thread `tid` is in the process that it is known to be in: it may have become another one of the same number. */
const isOf = (tid: number, { tgids }: Thread): boolean => tgkill(tgids[0] ?? 0, tid, 0) !== -Errno.ESRCH;

function readThread(tid: number): Thread | Errno {
  const status = readProc(tid, 'status');
  if (typeof status === 'number') return status;
  const tids = ids(status, '\nNSpid:');
  const tgids = ids(status, '\nNStgid:');
  const pidNamespaces = tids.length > 1 ? nestedNamespaces(tid, tids.length) : [OUR_PID_NAMESPACE];
  return typeof pidNamespaces === 'number' ? pidNamespaces : { tids, tgids, pidNamespaces };
}

/** The numbers on one line, which are separated by tabs. */
function ids(status: string, field: string): readonly number[] {
  const start = status.indexOf(field);
  if (start < 0) throw new Error(`no ${field} in /proc/TID/status`);
  const end = status.indexOf('\n', start + 1);
  return status
    .slice(start + field.length + 1, end)
    .split('\t')
    .map(Number);
}

/** The pid namespaces of a thread, ours first, its own last. */
function nestedNamespaces(tid: number, depth: number): string[] | Errno {
  const found: string[] = [];
  let fd = open(`/proc/${tid}/ns/pid`, O_CLOEXEC, 0);
  while (fd >= 0) {
    found.unshift(readlinkSync(`/proc/self/fd/${fd}`));
    const parent = found.length < depth ? ioctl(fd, NS_GET_PARENT, 0) : 0;
    close(fd);
    if (found.length === depth) return found;
    fd = parent;
  }
  return errnoOf(fd);
}

/** Reads of /proc/TID/syscall until a thread that was seen on its way into the kernel has arrived there. */
const MAX_RETRIES = 1000;

/** The number of the system call a thread is blocked in, or NaN if that cannot be told. */
export function systemCallOf(tid: number): number {
  for (let attempt = 0; attempt < MAX_RETRIES; attempt++) {
    const text = readProc(tid, 'syscall');
    if (text !== 'running\n') return typeof text === 'number' ? Number.NaN : Number.parseInt(text, 10);
  }
  return Number.NaN;
}

/** How many seccomp filters a thread is under. */
export const seccompFiltersOf = (tid: number): number =>
  Number(/^Seccomp_filters:\s*(\d+)$/m.exec(`${readProc(tid, 'status')}`)?.[1] ?? 0);

/** The name of a thread's command; empty if the thread is gone. */
export function commandOf(tid: number): string {
  const text = readProc(tid, 'comm');
  return typeof text === 'number' ? '' : text.trimEnd();
}

/** The security context of a thread, or undefined where no LSM gives one; an errno if that cannot be told. */
export function securityContextOf(tid: number): Buffer | undefined | Errno {
  const text = readProc(tid, 'attr/current');
  if (typeof text === 'number') return text === Errno.ENFILE ? text : undefined; // without an LSM, EINVAL or ENOENT
  const context = text.replace(/[\0\n]+$/, '');
  return context === '' ? undefined : Buffer.from(context, 'latin1');
}

const text = new NativeBuffer(16 * 1024);
const decoder = Buffer.from(text.u8.buffer);

/**
 * The text of a file in /proc/TID, or why it cannot be read. By three plain system calls, since this is where the slowest
 * calls of clients spend their time.
 */
function readProc(tid: number, name: string): string | Errno {
  const fd = open(`/proc/${tid}/${name}`, O_CLOEXEC, 0);
  if (fd < 0) return errnoOf(fd);
  const length = read(fd, text.address, text.size);
  close(fd);
  return length < 0 ? errnoOf(length) : decoder.toString('latin1', 0, length);
}
