import { expect, test } from 'vitest';
import { createLogger, lineFormat } from '../../../src/base/log.js';

/** What is written for one line of the log. */
function logged(format: 'json' | 'pretty', write: (log: ReturnType<typeof createLogger>) => void): string {
  let text = '';
  const toText = lineFormat(format, false);
  write(createLogger('test', 'info', { write: (line) => void (text += toText(line)) }));
  return text;
}

const EVIL = '\u001b]0;gotcha\u0007\u009b31m\u202e\n{"level":60}';

test('lineFormat lets nobody draw on a terminal or add lines', () => {
  for (const format of ['json', 'pretty'] as const) {
    const text = logged(format, (log) => log.warn({ command: EVIL }, `quota exceeded by ${EVIL}`));
    expect(text).toContain('gotcha');
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(text).not.toMatch(/^\{"level":60/m);
  }
});

test('lineFormat keeps JSON what it is', () => {
  expect(JSON.parse(logged('json', (log) => log.warn({ command: EVIL }, 'hello')))).toMatchObject({
    level: 40,
    command: EVIL,
    msg: 'hello',
  });
});

test('lineFormat shows where an error comes from, line by line', () => {
  expect(logged('pretty', (log) => log.error({ err: new Error('why') }, 'failed'))).toMatch(/why\n +at .*\n +at /);
});
