import type { Bytes } from '../base/bytes.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import type { Connection } from './connection.js';
import { InHeader, READ_BUFFER } from './fuse-abi.js';
import type { PendingCalls } from './pending-calls.js';

/** The kernel's requests, in their order. */
export class Requests {
  private readonly connection: Connection;
  private readonly pending: PendingCalls;
  private aside: NativeBuffer | undefined;
  private readonly deferred: Uint8Array[] = [];

  constructor(connection: Connection, pending: PendingCalls) {
    this.connection = connection;
    this.pending = pending;
  }

  /** Waits for the next request and puts it into `buffer`. False when the file system was unmounted. */
  next(buffer: NativeBuffer): boolean {
    const first = this.deferred.shift();
    if (first !== undefined) {
      buffer.u8.set(first);
      return true;
    }
    for (;;) {
      this.pending.awaitRequest();
      const received = this.connection.receive(buffer);
      if (received !== 'none') return received === 'request';
    }
  }

  /**
   * Reads on, in the middle of a request, until one comes that is `wanted`. Those before it are handled later, in their
   * order. Undefined when the file system was unmounted.
   */
  find(wanted: (request: Bytes) => boolean): Bytes | undefined {
    this.aside ??= new NativeBuffer(READ_BUFFER);
    const { aside } = this;
    this.pending.makeBlocking(); // no call ends while another one is being handled
    while (this.connection.receive(aside) === 'request') {
      if (wanted(aside)) return aside;
      this.deferred.push(aside.u8.slice(0, aside.u32(InHeader.len)));
    }
    return undefined;
  }
}
