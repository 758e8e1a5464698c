import { Errno } from '../base/errno.js';
import { Heap, type HeapEntry } from '../base/heap.js';
import { IdTable } from '../base/id-table.js';
import type { Pending, PendingEnd, Suspension } from '../device.js';
import { Epoll } from '../linux/epoll.js';
import type { Call } from './call.js';
import type { Connection } from './connection.js';
import type { Outbox } from './outbox.js';

interface Waiting extends HeapEntry {
  readonly call: Call;
  readonly pending: Pending;
  /** In the heap if there is one. */
  readonly deadline: bigint;
  isOver: boolean;
}

const REQUEST = 0;
/** No request has this number: they are even. */
const WAKER = 1;
const NS_PER_MS = 1_000_000n;

/** Tells by a descriptor that suspensions have ended, and ends them when asked. */
export interface Waker {
  readonly fd: number;
  /** Whether it must be waited for though no call is suspended. */
  readonly isNeeded: boolean;
  collect(): void;
}

/**
 * The ioctls that are answered later, and what may end them before their time. Only while there are some, waiting for a
 * request is more than reading it.
 */
export class PendingCalls {
  private readonly connection: Connection;
  private readonly outbox: Outbox;
  /** By the number of their request. */
  private readonly waiting = new IdTable<Waiting>();
  private count = 0;
  private readonly deadlines = new Heap<Waiting>((a, b) => a.deadline < b.deadline);
  private readonly waker: Waker;
  private readonly epoll = new Epoll();
  private isNonBlocking = false;

  constructor(connection: Connection, outbox: Outbox, waker: Waker) {
    this.connection = connection;
    this.outbox = outbox;
    this.waker = waker;
    this.epoll.add(connection.fd, REQUEST);
    this.epoll.add(waker.fd, WAKER);
  }

  /** Keeps a call until it is finished or has to end. */
  add(call: Call, pending: Pending): void {
    const waiting: Waiting = { call, pending, deadline: pending.deadline ?? 0n, heapIndex: -1, isOver: false };
    pending.argument = call.argument;
    pending.finish = (error) => this.finish(waiting, error);
    this.waiting.set(call.unique, waiting);
    this.count++;
    if (pending.deadline !== undefined) this.deadlines.add(waiting);
    if (pending.cancelFd !== undefined && this.epoll.add(pending.cancelFd, call.unique) < 0) {
      this.end(waiting, 'cancelled'); // always ready, as poll(2) has it for files of such a kind
    }
  }

  /** Waits for the end of a suspension, and then runs the call again. */
  suspend(suspension: Suspension, run: () => void): void {
    this.count++;
    suspension.resume = () => {
      this.count--;
      run();
    };
  }

  /** A signal came for the thread whose request has this number; nothing to do if it was answered already. */
  interrupt(unique: number): void {
    const waiting = this.waiting.get(unique);
    if (waiting !== undefined) this.end(waiting, 'interrupted');
  }

  private end(waiting: Waiting, why: PendingEnd): void {
    if (!waiting.isOver) this.finish(waiting, waiting.pending.end(why));
  }

  private finish(waiting: Waiting, error: Errno): void {
    if (waiting.isOver) throw new Error('a call was finished twice');
    waiting.isOver = true;
    const { call, pending } = waiting;
    this.waiting.delete(call.unique);
    this.deadlines.remove(waiting);
    this.count--;
    if (pending.cancelFd !== undefined) this.epoll.remove(pending.cancelFd);
    this.outbox.answer(() => {
      if (error === Errno.OK) call.answer();
      else call.fail(error);
      call.caller.end();
    });
  }

  /** Waits, if any call does, until there may be a request to read, and ends the calls whose time is over meanwhile. */
  awaitRequest(): void {
    while (this.count > 0 || this.waker.isNeeded) {
      this.setNonBlocking(true);
      const ready = this.epoll.wait(this.timeout());
      if (ready.length === 0) this.connection.onInterrupted?.();
      if (ready.includes(WAKER)) this.waker.collect();
      for (const unique of ready) {
        const waiting = this.waiting.get(unique);
        if (waiting !== undefined) this.end(waiting, 'cancelled');
      }
      this.endOverdue();
      this.outbox.flush();
      if (ready.includes(REQUEST)) return;
    }
    this.makeBlocking();
  }

  /** Until the next deadline, in ms, rounded up; -1 without one. */
  private timeout(): number {
    const next = this.deadlines.least;
    if (next === undefined) return -1;
    const left = next.deadline - process.hrtime.bigint();
    return left <= 0n ? 0 : Math.min(2 ** 31 - 1, Number((left + NS_PER_MS - 1n) / NS_PER_MS));
  }

  private endOverdue(): void {
    if (this.deadlines.least === undefined) return;
    const now = process.hrtime.bigint();
    for (let next = this.deadlines.least; next !== undefined && next.deadline <= now; next = this.deadlines.least) {
      this.end(next, 'timeout');
    }
  }

  /** Makes reading wait for requests alone. */
  makeBlocking(): void {
    this.setNonBlocking(false);
  }

  /** A request that epoll saw may be gone when it is read; then a blocking read would sleep through a deadline. */
  private setNonBlocking(isNonBlocking: boolean): void {
    if (isNonBlocking === this.isNonBlocking) return;
    this.isNonBlocking = isNonBlocking;
    this.connection.setNonBlocking(isNonBlocking);
  }
}
