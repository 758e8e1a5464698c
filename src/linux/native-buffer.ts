import { Bytes } from '../base/bytes.js';
import { addressOf } from './libc.js';

/** Bytes at a fixed address, for system calls to read and write. It must stay referenced while its address is in use. */
export class NativeBuffer extends Bytes {
  readonly address: number;

  constructor(size: number) {
    super(new ArrayBuffer(size));
    this.address = addressOf(this.u8);
  }

  /** A copy of twice the size. */
  grown(): NativeBuffer {
    const copy = new NativeBuffer(2 * this.size);
    copy.u8.set(this.u8);
    return copy;
  }

  /** Stores a `struct iovec` at `offset`. */
  setIovec(offset: number, base: number, length: number): void {
    this.setU64(offset, base);
    this.setU64(offset + 8, length);
  }
}

/** sizeof(struct iovec) on 64-bit Linux. */
export const IOVEC_SIZE = 16;
