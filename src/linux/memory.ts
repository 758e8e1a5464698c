import { close, fcntl } from './file.js';
import { addressOf, bind } from './libc.js';
import { IOVEC_SIZE, NativeBuffer } from './native-buffer.js';

const memfdCreate = bind('int memfd_create(const char *name, unsigned int flags)');
const ftruncate = bind('int ftruncate(int fd, int64_t length)');
const mmap = bind('intptr_t mmap(uintptr_t address, size_t length, int prot, int flags, int fd, int64_t offset)');
const munmap = bind('int munmap(uintptr_t address, size_t length)');
const madvise = bind('int madvise(uintptr_t address, size_t length, int advice)');

/** Copies from the memory of another process. Returns the number of bytes copied, less than asked for at a fault, or -1. */
export const processVmReadv = bind(
  'int64_t process_vm_readv(int pid, uintptr_t local, unsigned long nLocal, uintptr_t remote, unsigned long nRemote, unsigned long flags)',
);
/** Copies to the memory of another process. Returns the number of bytes copied, less than asked for at a fault, or -1. */
export const processVmWritev = bind(
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

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MADV_REMOVE = 9;

/**
 * Sparse shared memory, mapped here, until its last holder releases it, and, through `fd`, wherever else it is needed.
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

  /** Returns undefined when the system is out of descriptors, mappings or memory. */
  static create(name: string, size: number): SharedMemory | undefined {
    const fd = memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return undefined;
    const isSized = ftruncate(fd, size) === 0;
    const isSealed = isSized && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) === 0;
    const memory = isSealed ? SharedMemory.map(fd, size) : undefined;
    if (memory === undefined) close(fd);
    return memory;
  }

  /** Maps what another process made, by its descriptor. */
  static map(fd: number, size: number): SharedMemory | undefined {
    const address = mmap(0, size, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    return address === -1 ? undefined : new SharedMemory(fd, address, size);
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

  retain(): void {
    this.holders++;
  }

  release(): void {
    if (--this.holders === 0) munmap(this.address, this.size);
  }
}
