import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Epoll } from '../../../src/linux/epoll.js';
import { createEventfd } from '../../../src/linux/eventfd.js';
import { close, read } from '../../../src/linux/file.js';
import { SharedMemory } from '../../../src/linux/memory.js';
import { NativeBuffer } from '../../../src/linux/native-buffer.js';
import { MAX_CALLS, SystemCallThread } from '../../../src/linux/system-call-thread.js';
import { packetPair, sendPacket } from '../../support/kernel.js';

const [READ, CLOSE, LSEEK, MMAP, MUNMAP, GETPID, GETTID] = [0, 3, 8, 9, 11, 39, 186];

let doneFd: number;
let thread: SystemCallThread;

beforeEach(() => {
  doneFd = createEventfd();
  const started = SystemCallThread.start(doneFd);
  if (started === undefined) throw new Error('no thread');
  thread = started;
});

afterEach(() => {
  close(doneFd);
});

/** Has the calls made and waits for their end. */
function run(count: number): void {
  thread.submit(count);
  while (!thread.wait());
}

/** Whether the thread has told by the descriptor that it is back, waiting for that if `timeout` is -1. */
function hasTold(timeout: number): boolean {
  const epoll = new Epoll();
  epoll.add(doneFd, 1);
  const ready = epoll.wait(timeout);
  epoll.close();
  return ready.length > 0;
}

describe('SystemCallThread', () => {
  test('makes calls in this process, on a thread of its own', () => {
    thread.prepare(0, GETPID);
    thread.prepare(1, GETTID);
    run(2);
    expect(thread.result(0)).toBe(process.pid);
    expect(thread.result(1)).not.toBe(process.pid);
  });

  test('makes as many as there may be, again and again', () => {
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < MAX_CALLS; i++) thread.prepare(i, GETPID);
      const count = 1 + (round % MAX_CALLS);
      run(count);
      const results = Array.from({ length: MAX_CALLS }, (_, i) => thread.result(i));
      expect(results).toEqual([
        ...Array<number>(count).fill(process.pid),
        ...Array<number>(MAX_CALLS - count).fill(-Errno.ECANCELED),
      ]);
    }
  });

  test('stops at the first that fails', () => {
    thread.prepare(0, GETPID);
    thread.prepare(1, CLOSE, 0x7fff_ffff);
    thread.prepare(2, GETPID);
    run(3);
    expect([0, 1, 2].map((i) => thread.result(i))).toEqual([process.pid, -Errno.EBADF, -Errno.ECANCELED]);
  });

  test('passes six arguments, and brings results of all 64 bits', () => {
    const memory = SharedMemory.create('test', 8192);
    if (typeof memory === 'number') throw new Error(`errno ${-memory}`);
    memory.write(4096, Buffer.from('second page'));
    thread.prepare(0, LSEEK, memory.fd, 2 ** 40, 0);
    thread.prepare(1, MMAP, 0, 4096, 1, 1, memory.fd, 4096);
    run(2);
    expect(thread.result(0)).toBe(2 ** 40);
    const address = thread.result(1);
    expect(address).toBeGreaterThan(2 ** 32);
    const page = SharedMemory.map(memory.fd, 4096);
    expect(page).not.toBeTypeOf('number');
    thread.prepare(0, MUNMAP, address, 4096);
    run(1);
    expect(thread.result(0)).toBe(0);
    memory.closeFd();
    memory.release();
  });

  test('can be left, and tells by its descriptor when it is back', () => {
    const [fd, other] = packetPair();
    const buffer = new NativeBuffer(16);
    thread.prepare(0, READ, fd, buffer.address, 16);
    thread.submit(1);
    expect([thread.isBack, thread.leave()]).toEqual([false, true]);
    expect(hasTold(0)).toBe(false);
    sendPacket(other, Buffer.from('hello'));
    expect(hasTold(-1)).toBe(true);
    expect([thread.isBack, thread.result(0), buffer.text(0, 5)]).toEqual([true, 5, 'hello']);
    const count = new NativeBuffer(8);
    read(doneFd, count.address, 8);
    expect(count.u64(0)).toBe(1);
    // and goes on as before
    thread.prepare(0, GETPID);
    run(1);
    expect([thread.result(0), hasTold(0)]).toEqual([process.pid, false]);
    for (const each of [fd, other]) close(each);
  });

  test('cannot be left when it is back, and then does not tell', () => {
    thread.prepare(0, GETPID);
    run(1);
    expect([thread.leave(), hasTold(0)]).toEqual([false, false]);
  });
});
