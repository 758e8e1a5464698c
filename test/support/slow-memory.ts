import { close, ioctl } from '../../src/linux/file.js';
import { systemCall } from '../../src/linux/libc.js';
import { NativeBuffer } from '../../src/linux/native-buffer.js';

const syscall = systemCall<[number: number, flags: number]>('long syscall(long number, long flags)');
const mmap = systemCall<[address: number, length: number, prot: number, flags: number, fd: number, offset: number]>(
  'intptr_t mmap(uintptr_t address, size_t length, int prot, int flags, int fd, int64_t offset)',
);
const munmap = systemCall<[address: number, length: number]>('int munmap(uintptr_t address, size_t length)');

const SYS_USERFAULTFD = 323;
const O_CLOEXEC = 0o2000000;
const UFFD_API = 0xaa;
const UFFDIO_API = 0xc018_aa3f;
const UFFDIO_REGISTER = 0xc020_aa00;
const UFFDIO_COPY = 0xc028_aa03;
const MODE_MISSING = 1;
const PAGE = 4096;

/** A page of this process whose first access waits until its content is given (userfaultfd(2)). */
export class SlowPage {
  readonly address: number;
  private readonly fd: number;

  constructor() {
    this.address = mmap(0, PAGE, 3, 0x22, -1, 0);
    this.fd = syscall(SYS_USERFAULTFD, O_CLOEXEC);
    if (this.address < 0 || this.fd < 0) throw new Error(`userfaultfd: errno ${-this.fd}`);
    const api = new NativeBuffer(24);
    api.setU64(0, UFFD_API);
    const register = new NativeBuffer(32);
    register.setU64(0, this.address);
    register.setU64(8, PAGE);
    register.setU64(16, MODE_MISSING);
    const errors = [ioctl(this.fd, UFFDIO_API, api.address), ioctl(this.fd, UFFDIO_REGISTER, register.address)];
    if (errors.some((error) => error < 0)) throw new Error(`userfaultfd: errno ${errors.map((error) => -error)}`);
  }

  /** The page is there, with a text at its start: who waits for it goes on. */
  arrive(text: string): void {
    const page = new NativeBuffer(2 * PAGE);
    const aligned = Math.ceil(page.address / PAGE) * PAGE;
    page.u8.set(Buffer.from(text), aligned - page.address);
    const copy = new NativeBuffer(40);
    copy.setU64(0, this.address);
    copy.setU64(8, aligned);
    copy.setU64(16, PAGE);
    const error = ioctl(this.fd, UFFDIO_COPY, copy.address);
    if (error < 0) throw new Error(`UFFDIO_COPY: errno ${-error}`);
  }

  close(): void {
    close(this.fd);
    munmap(this.address, PAGE);
  }
}
