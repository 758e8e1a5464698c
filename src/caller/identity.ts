import { readlinkSync, readSync } from 'node:fs';
import type { Accounts } from '../base/budget.js';
import { Errno } from '../base/errno.js';
import type { Identity as CallerIdentity, Viewpoint as CallerViewpoint, Credentials } from '../device.js';
import { close, ioctl, O_CLOEXEC, open } from '../linux/file.js';
import { NativeBuffer } from '../linux/native-buffer.js';
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
    const { uid, gid } = this.credentials;
    const { pidNamespaces, tgids, tids } = this.thread;
    const { pidNamespace } = viewpoint;
    const level = pidNamespaces[0] === pidNamespace ? 0 : pidNamespaces.indexOf(pidNamespace);
    return {
      uid: viewpoint.uidInside(uid),
      gid: viewpoint.gidInside(gid),
      pid: tgids[level] ?? 0,
      tid: tids[level] ?? 0,
    };
  }
}

const OURS: CallerViewpoint['userNamespaces'] = [{ id: OUR_USER_NAMESPACE, ownerUid: 0 }];

/** Ioctls on a namespace (ioctl_ns(2)): a descriptor of its parent, and the uid of whoever made it. */
const NS_GET_PARENT = 0xb702;
const NS_GET_OWNER_UID = 0xb704;
const owner = new NativeBuffer(4);

/** The user namespaces that a thread is in, its own first, ours last. */
function namespacesAround(tid: number): CallerViewpoint['userNamespaces'] | Errno {
  const found: { readonly id: string; readonly ownerUid: number }[] = [];
  let fd = open(`/proc/${tid}/ns/user`, O_CLOEXEC, 0);
  if (fd < 0) return errnoOf(fd);
  while (fd >= 0) {
    const id = readlinkSync(`/proc/self/fd/${fd}`);
    const ownerUid = ioctl(fd, NS_GET_OWNER_UID, owner.address) < 0 ? 0 : owner.u32(0);
    found.push({ id, ownerUid });
    const parent = id === OUR_USER_NAMESPACE ? -1 : ioctl(fd, NS_GET_PARENT, 0);
    close(fd);
    fd = parent;
  }
  return found;
}

/** The namespaces of a thread, pinned: they stay what they were when it is gone. */
export class Viewpoint implements CallerViewpoint {
  readonly pidNamespace: string;
  readonly userNamespaces: CallerViewpoint['userNamespaces'];
  /** Undefined in our own user namespace, where ids are what they are. */
  readonly users: IdMap | undefined;
  readonly groups: IdMap | undefined;

  private constructor(
    pidNamespace: string,
    userNamespaces: CallerViewpoint['userNamespaces'],
    users: IdMap | undefined,
    groups: IdMap | undefined,
  ) {
    this.pidNamespace = pidNamespace;
    this.userNamespaces = userNamespaces;
    this.users = users;
    this.groups = groups;
  }

  /** That of thread `tid`, or why it cannot be told. The descriptors it takes count for user `uid` in `accounts`. */
  static of(tid: number, uid: number, accounts: Accounts): Viewpoint | Errno {
    const thread = threadOf(tid);
    if (typeof thread === 'number') return thread;
    const pidNamespace = thread.pidNamespaces.at(-1) ?? '';
    const userNamespace = namespaceOf(tid, 'user');
    if (userNamespace === undefined) return Errno.ENFILE;
    if (userNamespace === OUR_USER_NAMESPACE) return new Viewpoint(pidNamespace, OURS, undefined, undefined);
    if (!accounts.fits(uid, 2)) return Errno.EMFILE;
    const around = namespacesAround(tid);
    if (typeof around === 'number') return around;
    const count = (n: number): void => accounts.charge(uid, n);
    const users = IdMap.open(`/proc/${tid}/uid_map`, count);
    if (typeof users === 'number') return users;
    const groups = IdMap.open(`/proc/${tid}/gid_map`, count);
    if (typeof groups !== 'number') return new Viewpoint(pidNamespace, around, users, groups);
    users.close();
    return groups;
  }

  uidInside(uid: number): number {
    return this.users === undefined ? uid : this.users.inside(uid);
  }

  gidInside(gid: number): number {
    return this.groups === undefined ? gid : this.groups.inside(gid);
  }

  uidOutside(uid: number): number | undefined {
    return this.users === undefined ? uid : this.users.outside(uid);
  }

  gidOutside(gid: number): number | undefined {
    return this.groups === undefined ? gid : this.groups.outside(gid);
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

  /** What an id inside is in our own user namespace. */
  outside(id: number): number | undefined {
    if (this.fd !== undefined) this.read();
    const extent = this.extents.find(({ inside, length }) => id >= inside && id < inside + length);
    return extent === undefined ? undefined : extent.outside + id - extent.inside;
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
