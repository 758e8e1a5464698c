import type { Accounts } from '../base/budget.js';
import { MAX_CALLS, Syscall, SystemCallThread } from '../linux/system-call-thread.js';

/** How many threads may be closing at once, for one user and in all. */
const MAX_PER_USER = 8;
const MAX_THREADS = 1024;
/** How many of a user's descriptors may be waiting to be closed before no more of them are held. */
const MAX_UNCLOSED = 4096;

/** What a user's messages have brought and nobody holds any more. */
interface Leftovers {
  readonly uid: number;
  readonly queue: number[];
  threads: number;
  unclosed: number;
}

/**
 * Closes descriptors that came from clients, on threads of their own.
 *
 * close(2) can take as long as the file's owner likes: a FUSE file waits for its server, a socket with SO_LINGER for
 * its peer. The loop that serves everybody must not wait for that, nor one user's files for another's.
 */
export class Closer {
  private readonly doneFd: number;
  /** What is held for users, what is not known to be closed included. */
  readonly accounts: Accounts;
  private readonly idle: SystemCallThread[] = [];
  private readonly busy = new Map<SystemCallThread, Leftovers>();
  private readonly users = new Map<number, Leftovers>();

  /**
   * `doneFd` is an eventfd that becomes readable when collect() has something to do. What it has to close counts in
   * `accounts` until it is closed.
   */
  constructor(doneFd: number, accounts: Accounts) {
    this.doneFd = doneFd;
    this.accounts = accounts;
  }

  /** Closes descriptors that a client of user `uid` brought. Never waits. */
  close(uid: number, fds: readonly number[]): void {
    let user = this.users.get(uid);
    if (user === undefined) {
      user = { uid, queue: [], threads: 0, unclosed: 0 };
      this.users.set(uid, user);
    }
    user.queue.push(...fds);
    user.unclosed += fds.length;
    this.accounts.charge(uid, fds.length);
    this.collect();
    this.employ(user);
  }

  /** Whether so many more descriptors may be held for a user: not if those it had do not get closed. */
  mayHold(uid: number, count: number): boolean {
    if (this.hasRoom(uid, count)) return true;
    this.collect();
    return this.hasRoom(uid, count);
  }

  private hasRoom(uid: number, count: number): boolean {
    return this.accounts.fits(uid, count) && (this.users.get(uid)?.unclosed ?? 0) < MAX_UNCLOSED;
  }

  /** Whether something waits for a thread. */
  get isBehind(): boolean {
    for (const { queue } of this.users.values()) if (queue.length > 0) return true;
    return false;
  }

  /** Takes back the threads that are done, and gives them what waits. */
  collect(): void {
    for (const [thread, user] of this.busy) {
      if (!thread.isBack) continue;
      this.busy.delete(thread);
      this.idle.push(thread);
      user.threads--;
      user.unclosed -= thread.count;
      this.accounts.charge(user.uid, -thread.count);
      this.employ(user);
      if (user.unclosed === 0) this.users.delete(user.uid);
    }
  }

  private employ(user: Leftovers): void {
    while (user.queue.length > 0 && user.threads < MAX_PER_USER) {
      const thread = this.idle.pop() ?? this.start();
      if (thread === undefined) return;
      const fds = user.queue.splice(0, MAX_CALLS);
      for (const [i, fd] of fds.entries()) thread.prepare(i, Syscall.CLOSE, fd);
      user.threads++;
      this.busy.set(thread, user);
      thread.submit(fds.length, { goOn: true });
      thread.leave();
    }
  }

  private start(): SystemCallThread | undefined {
    return this.busy.size < MAX_THREADS ? SystemCallThread.start(this.doneFd) : undefined;
  }
}
