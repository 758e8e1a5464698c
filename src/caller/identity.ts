import { readSync } from 'node:fs';
import { Errno } from '../base/errno.js';
import type { Identity as CallerIdentity, Viewpoint as CallerViewpoint, Credentials } from '../device.js';
import { close, O_CLOEXEC, open } from '../linux/file.js';
import type { Closer } from './closer.js';
import { errnoOf, namespaceOf, OUR_USER_NAMESPACE, type Thread, threadOf } from './thread.js';

/** What is seen of an id that a user namespace does not map. */
const OVERFLOW_ID = 65534;
const MAP_BUFFER = 64 * 1024; // at most 340 lines

/** Who made a call, kept independent of what becomes of them. */
export class Identity implements CallerIdentity {
  readonly credentials: Credentials;
  private readonly thread: Thread;

  constructor(uid: number, gid: number, thread: Thread) {
    this.credentials = { uid, gid, pid: thread.tgids[0] ?? 0, tid: thread.tids[0] ?? 0 };
    this.thread = thread;
  }

  seenFrom(viewpoint: CallerViewpoint): Credentials {
    const { pidNamespace, users, groups } = viewpoint as Viewpoint;
    const { uid, gid } = this.credentials;
    const level = this.thread.pidNamespaces[0] === pidNamespace ? 0 : this.thread.pidNamespaces.indexOf(pidNamespace);
    return {
      uid: users?.inside(uid) ?? uid,
      gid: groups?.inside(gid) ?? gid,
      pid: this.thread.tgids[level] ?? 0,
      tid: this.thread.tids[level] ?? 0,
    };
  }
}

/** The namespaces of a thread, pinned: they stay what they were when it is gone. */
export class Viewpoint implements CallerViewpoint {
  readonly pidNamespace: string;
  /** Undefined in our own user namespace, where ids are what they are. */
  readonly users: IdMap | undefined;
  readonly groups: IdMap | undefined;

  private constructor(pidNamespace: string, users: IdMap | undefined, groups: IdMap | undefined) {
    this.pidNamespace = pidNamespace;
    this.users = users;
    this.groups = groups;
  }

  /** That of thread `tid`, or why it cannot be told. The descriptors it takes count for user `uid`, with those that `closer` has to close. */
  static of(tid: number, uid: number, closer: Closer): Viewpoint | Errno {
    const thread = threadOf(tid);
    if (typeof thread === 'number') return thread;
    const pidNamespace = thread.pidNamespaces.at(-1) ?? '';
    const userNamespace = namespaceOf(tid, 'user');
    if (userNamespace === undefined) return Errno.ENFILE;
    if (userNamespace === OUR_USER_NAMESPACE) return new Viewpoint(pidNamespace, undefined, undefined);
    if (!closer.mayHold(uid, 2)) return Errno.EMFILE;
    const count = (n: number): void => closer.accounts.charge(uid, n);
    const users = IdMap.open(`/proc/${tid}/uid_map`, count);
    if (typeof users === 'number') return users;
    const groups = IdMap.open(`/proc/${tid}/gid_map`, count);
    if (typeof groups !== 'number') return new Viewpoint(pidNamespace, users, groups);
    users.close();
    return groups;
  }

  release(): void {
    this.users?.close();
    this.groups?.close();
  }
}

interface Extent {
  readonly inside: number;
  readonly outside: number;
  readonly length: number;
}

/** The ids a user namespace maps. It is written once, perhaps after the namespace was pinned: until then it is read again. */
class IdMap {
  private extents: readonly Extent[] = [];
  /** Pins the namespace; closed once the map is known. */
  private fd: number | undefined;
  private readonly count: (descriptors: number) => void;

  private constructor(fd: number, count: (descriptors: number) => void) {
    this.fd = fd;
    this.count = count;
    count(1);
    this.read();
  }

  /** `count` is told of descriptors that it takes, and, by a negative number, gives back. */
  static open(path: string, count: (descriptors: number) => void): IdMap | Errno {
    const fd = open(path, O_CLOEXEC, 0);
    return fd < 0 ? errnoOf(fd) : new IdMap(fd, count);
  }

  /** What an id of our own user namespace is inside. */
  inside(id: number): number {
    if (this.fd !== undefined) this.read();
    const extent = this.extents.find(({ outside, length }) => id >= outside && id < outside + length);
    return extent === undefined ? OVERFLOW_ID : extent.inside + id - extent.outside;
  }

  close(): void {
    if (this.fd === undefined) return;
    close(this.fd);
    this.fd = undefined;
    this.count(-1);
  }

  private read(): void {
    if (this.fd === undefined) return;
    const buffer = Buffer.alloc(MAP_BUFFER);
    const lines = buffer
      .toString('latin1', 0, readSync(this.fd, buffer, 0, MAP_BUFFER, 0))
      .split('\n')
      .filter(Boolean);
    if (lines.length === 0) return;
    this.extents = lines.map((line) => {
      const [inside = 0, outside = 0, length = 0] = line.trim().split(/\s+/).map(Number);
      return { inside, outside, length };
    });
    this.close();
  }
}
