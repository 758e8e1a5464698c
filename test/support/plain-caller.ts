import { Errno } from '../../src/base/errno.js';
import type { Caller, Viewpoint } from '../../src/device.js';

type Unused = Pick<
  Caller,
  'argumentAddress' | 'standing' | 'findThread' | 'trait' | 'copyOf' | 'takeWaitable' | 'installSome'
>;

/** What a caller can do that the commands of bus1 have no use for. */
export class PlainCaller implements Unused {
  readonly argumentAddress = 0;

  standing(): Errno {
    return Errno.ESRCH;
  }

  findThread(): undefined {
    return undefined;
  }

  trait(): undefined {
    return undefined;
  }

  copyOf(): never {
    throw new Error('bus1 copies no pieces');
  }

  takeWaitable(): Errno {
    return Errno.EBADF;
  }

  installSome(): Errno {
    return Errno.EPERM;
  }
}

/** A viewpoint as far as a shift of all ids makes one. */
export class ShiftedIds implements Omit<Viewpoint, 'release'> {
  readonly pidNamespace = '';
  readonly userNamespaces = [];
  readonly shift: number;

  constructor(shift: number) {
    this.shift = shift;
  }

  uidInside(uid: number): number {
    return uid + this.shift;
  }

  gidInside(gid: number): number {
    return gid + this.shift;
  }

  uidOutside(uid: number): number {
    return uid - this.shift;
  }

  gidOutside(gid: number): number {
    return gid - this.shift;
  }
}
