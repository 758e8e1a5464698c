import { pino } from 'pino';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Connection, PollHandle } from '../../../src/fuse/connection.js';
import { Outbox } from '../../../src/fuse/outbox.js';

let sent: string[];
let lines: { readonly msg: string }[];
let failing: ReadonlySet<number>;
let outbox: Outbox;

beforeEach(() => {
  sent = [];
  lines = [];
  failing = new Set();
  const connection = {
    notifyPoll: ({ low }: PollHandle) => {
      if (failing.has(low)) throw new Error('on purpose');
      sent.push(`wake ${low}`);
    },
  };
  outbox = new Outbox(
    connection as unknown as Connection,
    pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }),
  );
});

const wake = (low: number): void => outbox.wake({ low, high: 0 });
const answer = (name: string): void => outbox.answer(() => void sent.push(`answer ${name}`));

describe('Outbox', () => {
  test('sends nothing before flush(), then wake-ups before answers, each once', () => {
    answer('a');
    wake(1);
    answer('b');
    wake(2);
    expect(sent).toEqual([]);
    outbox.flush();
    outbox.flush();
    expect(sent).toEqual(['wake 1', 'wake 2', 'answer a', 'answer b']);
  });

  test('one that fails is logged, and keeps nobody else from his', () => {
    failing = new Set([1]);
    wake(1);
    wake(2);
    outbox.answer(() => {
      throw new Error('on purpose');
    });
    answer('b');
    outbox.flush();
    expect(sent).toEqual(['wake 2', 'answer b']);
    expect(lines).toHaveLength(2);
    failing = new Set();
    outbox.flush();
    expect(sent).toHaveLength(2);
  });

  test('what an answer causes waits for the next flush()', () => {
    outbox.answer(() => wake(3));
    outbox.flush();
    expect(sent).toEqual([]);
    outbox.flush();
    expect(sent).toEqual(['wake 3']);
  });
});
