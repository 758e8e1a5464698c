import type { Logger } from 'pino';
import type { Connection, PollHandle } from './connection.js';

/**
 * What a call has caused for others: wake-ups, and answers to calls that waited. They are sent once the call has done all its
 * work, so that nothing can fail half way, and before it is answered, so that who waits finds the event when it returns.
 */
export class Outbox {
  private readonly connection: Connection;
  private readonly log: Logger;
  private wakeUps: PollHandle[] = [];
  private answers: (() => void)[] = [];

  constructor(connection: Connection, log: Logger) {
    this.connection = connection;
    this.log = log;
  }

  /** Makes the kernel poll an open file again. */
  wake(handle: PollHandle): void {
    this.wakeUps.push(handle);
  }

  answer(send: () => void): void {
    this.answers.push(send);
  }

  /** One that fails is no reason to fail the others, or the call that caused it. */
  flush(): void {
    if (this.wakeUps.length > 0) {
      const { wakeUps } = this;
      this.wakeUps = [];
      for (const handle of wakeUps) {
        try {
          this.connection.notifyPoll(handle);
        } catch (error) {
          this.log.error({ err: error }, 'internal error; a wake-up was not sent');
        }
      }
    }
    if (this.answers.length > 0) {
      const { answers } = this;
      this.answers = [];
      for (const send of answers) {
        try {
          send();
        } catch (error) {
          this.log.error({ err: error }, 'internal error; an answer was not sent');
        }
      }
    }
  }
}
