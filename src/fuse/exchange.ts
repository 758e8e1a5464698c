import type { Bytes } from '../base/bytes.js';
import type { Errno } from '../base/errno.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import type { Connection } from './connection.js';
import { InHeader, OutHeader, READ_BUFFER } from './fuse-abi.js';
import type { Outbox } from './outbox.js';

export const REPLY_BUFFER = 128 * 1024;

/** The request being handled and its reply, which is sent once. */
export class Exchange {
  readonly request = new NativeBuffer(READ_BUFFER);
  /** Where replies are made, from OutHeader on. */
  readonly reply = new NativeBuffer(REPLY_BUFFER);
  isAnswered = false;
  private readonly connection: Connection;
  private readonly outbox: Outbox;

  constructor(connection: Connection, outbox: Outbox) {
    this.connection = connection;
    this.outbox = outbox;
  }

  /** Answers with an errno. */
  fail(error: Errno): void {
    this.reply.setI32(OutHeader.error, -error);
    this.finish(OutHeader.sizeof);
  }

  /** Answers with the body that is in the reply buffer; `length` includes the header. */
  succeed(length: number = OutHeader.sizeof): void {
    this.reply.setI32(OutHeader.error, 0);
    this.finish(length);
  }

  private finish(length: number): void {
    this.isAnswered = true;
    this.outbox.flush();
    this.sendReply(length, this.request);
  }

  /** Sends what is in the reply buffer as the answer to any request. */
  sendReply(length: number, request: Bytes): void {
    this.reply.setU32(OutHeader.len, length);
    this.reply.setU32(OutHeader.unique, request.u32(InHeader.unique));
    this.reply.setU32(OutHeader.unique + 4, request.u32(InHeader.unique + 4));
    this.connection.send(this.reply.address, length);
  }
}
