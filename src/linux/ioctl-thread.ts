import { cFunction, functionAddress } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const pthreadCreate = cFunction<[thread: number, attributes: number, start: number, argument: number]>(
  'int pthread_create(uintptr_t thread, uintptr_t attributes, uintptr_t start, uintptr_t argument)',
);
const pthreadJoin = cFunction<[thread: number, result: number]>('int pthread_join(uintptr_t thread, uintptr_t result)');

/** isatty(3) takes a descriptor, as a thread takes its argument, and makes exactly one ioctl on it. */
const START = functionAddress('isatty');

/** A thread that makes one ioctl on a descriptor of this process and ends with it. */
export class IoctlThread {
  private readonly thread: number;

  private constructor(thread: number) {
    this.thread = thread;
  }

  /** Undefined if there can be no more threads. */
  static start(fd: number): IoctlThread | undefined {
    const thread = new NativeBuffer(8);
    return pthreadCreate(thread.address, 0, START, fd) === 0 ? new IoctlThread(thread.u64(0)) : undefined;
  }

  /** Waits until the ioctl has returned and nothing of it holds the file any more. */
  join(): void {
    pthreadJoin(this.thread, 0);
  }
}
