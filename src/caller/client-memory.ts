import type { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { MemoryRange } from '../device.js';
import { processVmReadv, processVmWritev } from '../linux/memory.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';

/** UIO_MAXIOV, the most ranges one call takes on either side. */
const IOV_MAX = 1024;
/** The kernel's MAX_RW_COUNT, the most bytes one call copies. */
const MAX_COPY = 0x7fff_f000;
const MAX_RANGES = 4;

/** Copies between this process and the memory of blocked threads, one call at a time. */
export class ClientMemory {
  private scratchBuffer = new NativeBuffer(64 * 1024);
  private readonly local = new NativeBuffer(IOVEC_SIZE);
  private readonly remote = new NativeBuffer(IOVEC_SIZE * MAX_RANGES);
  private targets = new NativeBuffer(IOVEC_SIZE * 64);
  private readonly sources = new NativeBuffer(IOVEC_SIZE * IOV_MAX);

  scratch(size: number): Bytes {
    if (size > this.scratchBuffer.size) this.scratchBuffer = new NativeBuffer(2 ** Math.ceil(Math.log2(size)));
    return this.scratchBuffer;
  }

  /** See Caller.read(); at most four ranges. */
  read(tid: number, offset: number, ranges: readonly MemoryRange[]): number {
    let size = 0;
    let count = 0;
    for (const { address, length } of ranges) {
      this.remote.setIovec(count++ * IOVEC_SIZE, address, length);
      size += length;
    }
    if (size === 0) return 0;
    this.local.setIovec(0, this.scratchBuffer.address + offset, size);
    return Math.max(0, processVmReadv(tid, this.local.address, 1, this.remote.address, count, 0));
  }

  write(tid: number, address: number, length: number): Errno {
    return this.writeFrom(tid, this.scratchBuffer.address, address, length);
  }

  /** Copies `length` bytes at `source`, in this process, to `address` in the thread's memory. EFAULT, with part of it perhaps written. */
  writeFrom(tid: number, source: number, address: number, length: number): Errno {
    if (length === 0) return Errno.OK;
    this.local.setIovec(0, source, length);
    this.remote.setIovec(0, address, length);
    const written = processVmWritev(tid, this.local.address, 1, this.remote.address, 1, 0);
    return written === length ? Errno.OK : Errno.EFAULT;
  }

  /** See Caller.gather(). */
  gather(tid: number, total: number, count: number, addresses: readonly number[]): Errno {
    const nTargets = addresses.length;
    if (total === 0 || nTargets === 0) return Errno.OK;
    while (this.targets.size < nTargets * IOVEC_SIZE) this.targets = this.targets.grown();
    const { targets, scratchBuffer } = this;
    for (let i = 0; i < nTargets; i++) targets.setIovec(i * IOVEC_SIZE, addresses[i] as number, total);
    if (nTargets === 1) {
      const copied = processVmReadv(tid, targets.address, 1, scratchBuffer.address, count, 0);
      return copied === total ? Errno.OK : Errno.EFAULT;
    }
    // One call serves as many targets as it takes ranges and bytes: the caller's ranges are named again for each.
    const perCall = Math.max(1, Math.min(nTargets, Math.floor(IOV_MAX / count), Math.floor(MAX_COPY / total)));
    const source = scratchBuffer.u8.subarray(0, count * IOVEC_SIZE);
    for (let i = 0; i < perCall; i++) this.sources.u8.set(source, i * source.length);
    for (let first = 0; first < nTargets; first += perCall) {
      const n = Math.min(perCall, nTargets - first);
      const local = targets.address + first * IOVEC_SIZE;
      if (processVmReadv(tid, local, n, this.sources.address, n * count, 0) !== n * total) return Errno.EFAULT;
    }
    return Errno.OK;
  }
}
