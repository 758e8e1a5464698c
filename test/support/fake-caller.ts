import { Bytes } from '../../src/base/bytes.js';
import { Errno } from '../../src/base/errno.js';
import type { Caller, MemoryRange, OpenFile, Viewpoint } from '../../src/device.js';

const IOVEC_SIZE = 16;
const PAGE_SIZE = 4096;

/** Where the memory of a fake client starts; nothing is below. */
export const BASE = 0x10_0000;

/**
 * A client without a kernel: memory from BASE on, of which one page in the middle can only be read, and open files by number. It
 * counts how often its memory is touched.
 */
export class FakeCaller implements Caller {
  gid = 0;
  tid = 1;
  readonly uid: number;
  readonly is32Bit: boolean;
  /** Its memory, with the address of its first byte as 0. */
  readonly memory: Bytes;
  readonly files = new Map<number, OpenFile>();
  touches = 0;
  private buffer = new Bytes(new ArrayBuffer(64));

  constructor({ uid = 0, is32Bit = false, size = 16 * 4096 } = {}) {
    this.uid = uid;
    this.is32Bit = is32Bit;
    this.memory = new Bytes(new ArrayBuffer(size));
  }

  /** The page that can only be read. */
  get readOnly(): number {
    return BASE + this.memory.size / 2;
  }

  /** Where there is no memory any more. */
  get end(): number {
    return BASE + this.memory.size;
  }

  command(): string {
    return 'fake';
  }

  identity() {
    const credentials = { uid: this.uid, gid: 0, pid: 1, tid: 1 };
    // as if each receiver were in a user namespace that starts at 1000
    return { credentials, seenFrom: () => ({ ...credentials, uid: this.uid + 1000 }) };
  }

  viewpoint(): Viewpoint {
    return { release: () => {} };
  }

  securityContext(): undefined {
    return undefined;
  }

  isInOurPidNamespace(): boolean {
    return true;
  }

  scratch(size: number): Bytes {
    // something else each time, so that nothing outlives the next call
    if (size > this.buffer.size) this.buffer = new Bytes(new ArrayBuffer(size));
    else this.buffer.u8.copyWithin(0, 1);
    return this.buffer;
  }

  read(offset: number, ranges: readonly MemoryRange[]): number {
    let done = 0;
    for (const { address, length } of ranges) {
      const found = this.copy(address, length, this.end, (at, n) => {
        this.buffer.u8.set(this.memory.u8.subarray(at, at + n), offset + done);
      });
      done += found;
      if (found < length) break;
    }
    return done;
  }

  write(address: number, length: number): Errno {
    const written = this.copy(address, length, this.writableEnd(address), (at, n) => {
      this.memory.u8.set(this.buffer.u8.subarray(0, n), at);
    });
    return written === length ? Errno.OK : Errno.EFAULT;
  }

  gather(): Errno {
    throw new Error('no addresses of ours here');
  }

  gatherInto(target: Uint8Array, count: number): Errno {
    return this.gatherOrScatter(
      target.length,
      count,
      () => this.end,
      (at, done, n) => {
        target.set(this.memory.u8.subarray(at, at + n), done);
      },
    );
  }

  scatter(source: Uint8Array, count: number): Errno {
    return this.gatherOrScatter(
      source.length,
      count,
      (address) => this.writableEnd(address),
      (at, done, n) => {
        this.memory.u8.set(source.subarray(done, done + n), at);
      },
    );
  }

  /** How far memory can be written from here on. */
  private writableEnd(address: number): number {
    return address < this.readOnly + PAGE_SIZE ? this.readOnly : this.end;
  }

  openFile(fd: number): OpenFile | Errno {
    return this.files.get(fd) ?? Errno.EBADF;
  }

  takeFiles(): Errno {
    return Errno.EBADF;
  }

  installFiles(): Errno {
    return Errno.EOPNOTSUPP;
  }

  /** Copies what lies below `end`, and says how much that is. */
  private copy(address: number, length: number, end: number, move: (at: number, length: number) => void): number {
    if (length === 0) return 0;
    this.touches++;
    const possible = address < BASE ? 0 : Math.max(0, Math.min(length, end - address));
    if (possible > 0) move(address - BASE, possible);
    return possible;
  }

  private gatherOrScatter(
    total: number,
    count: number,
    endOf: (address: number) => number,
    move: (at: number, done: number, length: number) => void,
  ): Errno {
    let done = 0;
    for (let i = 0; i < count && done < total; i++) {
      const address = this.buffer.u64(i * IOVEC_SIZE);
      const length = Math.min(this.buffer.u64(i * IOVEC_SIZE + 8), total - done);
      const start = done;
      const found = this.copy(address, length, endOf(address), (at, n) => move(at, start, n));
      done += found;
      if (found < length) break;
    }
    return done === total ? Errno.OK : Errno.EFAULT;
  }
}
