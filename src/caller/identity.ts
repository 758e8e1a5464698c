import { closeSync, openSync, readSync } from 'node:fs';
import { namespaceOf, OUR_USER_NAMESPACE, type Thread, threadOf } from './thread.js';

/** What is seen of an id that a user namespace does not map. */
const OVERFLOW_ID = 65534;
const MAP_BUFFER = 64 * 1024; // at most 340 lines

/** A process as somebody sees it. */
export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly tid: number;
}

/** Who made a call, kept independent of what becomes of them. */
export class Identity {
  private readonly uid: number;
  private readonly gid: number;
  private readonly thread: Thread;

  constructor(uid: number, gid: number, thread: Thread) {
    this.uid = uid;
    this.gid = gid;
    this.thread = thread;
  }

  /** How the namespaces of a viewpoint see it: an unmapped uid or gid as 65534, an invisible process as 0. */
  seenFrom({ pidNamespace, users, groups }: Viewpoint): Credentials {
    const level = this.thread.pidNamespaces[0] === pidNamespace ? 0 : this.thread.pidNamespaces.indexOf(pidNamespace);
    return {
      uid: users?.inside(this.uid) ?? this.uid,
      gid: groups?.inside(this.gid) ?? this.gid,
      pid: this.thread.tgids[level] ?? 0,
      tid: this.thread.tids[level] ?? 0,
    };
  }
}

/** The namespaces of a thread, pinned: they stay what they were when it is gone. */
export class Viewpoint {
  readonly pidNamespace: string;
  /** Undefined in our own user namespace, where ids are what they are. */
  readonly users: IdMap | undefined;
  readonly groups: IdMap | undefined;

  constructor(tid: number) {
    this.pidNamespace = threadOf(tid).pidNamespaces.at(-1) ?? '';
    if (namespaceOf(tid, 'user') === OUR_USER_NAMESPACE) return;
    this.users = new IdMap(`/proc/${tid}/uid_map`);
    this.groups = new IdMap(`/proc/${tid}/gid_map`);
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

  constructor(path: string) {
    try {
      this.fd = openSync(path, 'r');
    } catch {
      // the thread is gone: nothing is mapped
    }
    this.read();
  }

  /** What an id of our own user namespace is inside. */
  inside(id: number): number {
    if (this.fd !== undefined) this.read();
    const extent = this.extents.find(({ outside, length }) => id >= outside && id < outside + length);
    return extent === undefined ? OVERFLOW_ID : extent.inside + id - extent.outside;
  }

  close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
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
