import koffi from 'koffi';
import { Bytes } from '../base/bytes.js';
import { close, fcntl } from './file.js';
import { addressOf, systemCall } from './libc.js';
import { IOVEC_SIZE, NativeBuffer } from './native-buffer.js';

const memfdCreate = systemCall<[name: string, flags: number]>('int memfd_create(const char *name, unsigned int flags)');
const ftruncate = systemCall<[fd: number, length: number]>('int ftruncate(int fd, int64_t length)');
const mmap = systemCall<[address: number, length: number, prot: number, flags: number, fd: number, offset: number]>(
  'intptr_t mmap(uintptr_t address, size_t length, int prot, int flags, int fd, int64_t offset)',
);
const munmap = systemCall<[address: number, length: number]>('int munmap(uintptr_t address, size_t length)');
const madvise = systemCall<[address: number, length: number, advice: number]>(
  'int madvise(uintptr_t address, size_t length, int advice)',
);

type VectorCopy = [pid: number, local: number, nLocal: number, remote: number, nRemote: number, flags: number];

/** Copies from the memory of another process. Returns the number of bytes copied, less than asked for at a fault, or a negative errno. */
export const processVmReadv = systemCall<VectorCopy>(
  'int64_t process_vm_readv(int pid, uintptr_t local, unsigned long nLocal, uintptr_t remote, unsigned long nRemote, unsigned long flags)',
);
/** Copies to the memory of another process. Returns the number of bytes copied, less than asked for at a fault, or a negative errno. */
export const processVmWritev = systemCall<VectorCopy>(
  'int64_t process_vm_writev(int pid, uintptr_t local, unsigned long nLocal, uintptr_t remote, unsigned long nRemote, unsigned long flags)',
);

const PAGE_SIZE = 4096;

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_SEAL_SEAL = 1;
const F_SEAL_SHRINK = 2;
const F_SEAL_GROW = 4;
const OWN_PID = process.pid;
const copyVectors = new NativeBuffer(2 * IOVEC_SIZE);

const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MADV_REMOVE = 9;

/**
 * Sparse shared memory, mapped here until it is released, and, through `fd`, wherever else it is needed.
 *
 * Its size is sealed: whoever gets hold of the descriptor cannot shrink it under this mapping.
 */
export class SharedMemory {
  readonly address: number;
  readonly size: number;
  /** Open until closeFd(); the mapping does not need it. */
  readonly fd: number;
  private holders = 1;

  private constructor(fd: number, address: number, size: number) {
    this.fd = fd;
    this.address = address;
    this.size = size;
  }

  /** A negative errno when the system is out of descriptors (EMFILE, ENFILE), mappings or memory (ENOMEM). */
  static create(name: string, size: number): SharedMemory | number {
    const fd = memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return fd;
    const sized = ftruncate(fd, size);
    const sealed = sized < 0 ? sized : fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
    const memory = sealed < 0 ? sealed : SharedMemory.map(fd, size);
    if (typeof memory === 'number') close(fd);
    return memory;
  }

  /** Maps what another process made, by its descriptor, or a negative errno. */
  static map(fd: number, size: number): SharedMemory | number {
    const address = mmap(0, size, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    return address < 0 ? address : new SharedMemory(fd, address, size);
  }

  closeFd(): void {
    close(this.fd);
  }

  /**
   * Copies bytes to `offset`. By a system call, since a plain store would end the process with SIGBUS where the system
   * has no page to give. False then.
   */
  write(offset: number, bytes: Uint8Array): boolean {
    copyVectors.setIovec(0, addressOf(bytes), bytes.length);
    copyVectors.setIovec(IOVEC_SIZE, this.address + offset, bytes.length);
    const { address } = copyVectors;
    return processVmWritev(OWN_PID, address, 1, address + IOVEC_SIZE, 1, 0) === bytes.length;
  }

  /** Gives the whole pages of [start, end) back to the system; they read as zeros afterwards. */
  discard(start: number, end: number): void {
    const first = Math.ceil(start / PAGE_SIZE) * PAGE_SIZE;
    const last = Math.floor(end / PAGE_SIZE) * PAGE_SIZE;
    if (first < last) madvise(this.address + first, last - first, MADV_REMOVE);
  }

  /** Its first so many doubles; it must never be released. */
  numbers(count: number): Float64Array {
    return new Float64Array(koffi.view(this.address, count * 8));
  }

  /** Its first 32-bit words, for values that both sides read and write. It must never be released. */
  words(count: number): Uint32Array {
    return new Uint32Array(koffi.view(this.address, count * 4));
  }

  retain(): void {
    this.holders++;
  }

  /** The last one takes the mapping away; what others have mapped stays. */
  release(): void {
    if (--this.holders === 0) munmap(this.address, this.size);
  }
}

/** The first `size` bytes of a file, mapped read-only for the rest of this process's life; or a negative errno. */
export function mapFile(fd: number, size: number): Bytes | number {
  const address = mmap(0, size, PROT_READ, MAP_SHARED, fd, 0);
  return address < 0 ? address : new Bytes(koffi.view(address, size));
}
