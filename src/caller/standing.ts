import { readdirSync, readlinkSync } from 'node:fs';
import { Errno } from '../base/errno.js';
import type { NestedId, ThreadStanding, ThreadTrait } from '../device.js';
import { namespaceOf, OUR_USER_NAMESPACE, readProc, type Thread, threadOf } from './thread.js';

const CAPABILITY_SETS = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd'];

/** What /proc/TID/status says of a thread. */
export class Standing implements ThreadStanding {
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly groups: readonly number[];
  readonly capabilities: readonly bigint[];
  readonly userNamespace: string;
  readonly isInOurUserNamespace: boolean;
  readonly process: NestedId;
  readonly thread: NestedId;
  readonly parent: NestedId | undefined;

  private constructor(tid: number, status: string, thread: Thread) {
    const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
    const ids = (name: string): number[] => field(name).split(/\s+/).filter(Boolean).map(Number);
    this.uids = ids('Uid');
    this.gids = ids('Gid');
    this.groups = ids('Groups').sort((a, b) => a - b);
    this.capabilities = CAPABILITY_SETS.map((name) => BigInt(`0x${field(name)}`));
    this.userNamespace = namespaceOf(tid, 'user') ?? '';
    this.isInOurUserNamespace = this.userNamespace === OUR_USER_NAMESPACE;
    this.process = { namespaces: thread.pidNamespaces, numbers: thread.tgids };
    this.thread = { namespaces: thread.pidNamespaces, numbers: thread.tids };
    const [parentId = 0] = ids('PPid');
    const parent = parentId === 0 ? Errno.ESRCH : threadOf(parentId);
    this.parent = typeof parent === 'number' ? undefined : { namespaces: parent.pidNamespaces, numbers: parent.tgids };
  }

  static of(tid: number): Standing | Errno {
    const thread = threadOf(tid);
    if (typeof thread === 'number') return thread;
    const status = readProc(tid, 'status');
    return typeof status === 'number' ? status : new Standing(tid, status, thread);
  }
}

/** See Caller.findThread(): looked for where it is likely, and then everywhere. */
export function findThread(tid: number, number: number): NestedId | undefined {
  const caller = threadOf(tid);
  if (typeof caller === 'number') return undefined;
  const level = caller.pidNamespaces.length - 1;
  const namespace = caller.pidNamespaces[level] ?? '';
  const isIt = (candidate: number): NestedId | undefined => {
    const thread = threadOf(candidate);
    if (typeof thread === 'number' || thread.pidNamespaces[level] !== namespace) return undefined;
    return thread.tids[level] === number ? { namespaces: thread.pidNamespaces, numbers: thread.tids } : undefined;
  };
  if (level === 0) return isIt(number);
  for (const name of readdirSync('/proc')) {
    const found = /^\d+$/.test(name) ? isIt(Number(name)) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

const FILES: Readonly<Partial<Record<ThreadTrait, string>>> = {
  tidComm: 'comm',
  sessionId: 'sessionid',
  loginUid: 'loginuid',
  securityLabel: 'attr/current',
  cmdline: 'cmdline',
};

/** See Caller.trait(). */
export function traitOf(tid: number, name: ThreadTrait): string | undefined {
  switch (name) {
    case 'pidComm': {
      const thread = threadOf(tid);
      return typeof thread === 'number' ? undefined : line(readProc(thread.tgids[0] ?? 0, 'comm'));
    }
    case 'exe':
      return link(`/proc/${tid}/exe`);
    case 'root':
      return rootOf(tid);
    case 'cgroup':
      return cgroupOf(readProc(tid, 'cgroup'));
    case 'cmdline':
      return firstArgument(readProc(tid, 'cmdline'));
    case 'securityLabel':
      return label(readProc(tid, 'attr/current'));
    default:
      return line(readProc(tid, FILES[name] as string));
  }
}

/** The text without the one newline at its end. */
const line = (text: string | Errno): string | undefined =>
  typeof text === 'number' ? undefined : text.replace(/\n$/, '');

/** Nothing where an argument area has no NUL at all. */
function firstArgument(text: string | Errno): string | undefined {
  const end = typeof text === 'number' ? -1 : text.indexOf('\0');
  return end < 0 ? undefined : (text as string).slice(0, end);
}

function label(text: string | Errno): string | undefined {
  const found = typeof text === 'number' ? '' : text.replace(/[\0\n]+$/, '');
  return found === '' ? undefined : found;
}

/** The path in the unified hierarchy; else in that of systemd; else in the first one. */
function cgroupOf(text: string | Errno): string | undefined {
  if (typeof text === 'number') return undefined;
  const lines = text.split('\n').filter(Boolean);
  const found =
    lines.find((each) => each.startsWith('0::')) ?? lines.find((each) => each.includes(':name=systemd:')) ?? lines[0];
  return found === undefined ? '/' : found.replace(/^[^:]*:[^:]*:/, '');
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path, 'latin1');
  } catch {
    return undefined;
  }
}

/** Which directory is its root, in which mount namespace. */
function rootOf(tid: number): string | undefined {
  const root = link(`/proc/${tid}/root`);
  const namespace = namespaceOf(tid, 'mnt');
  return root === undefined || namespace === undefined ? undefined : `${namespace} ${root}`;
}
