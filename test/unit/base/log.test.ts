import { expect, test } from 'vitest';
import { createLogger, lineFormat } from '../../../src/base/log.js';

/** What is written for one line of the log. */
function logged(format: 'json' | 'pretty', write: (log: ReturnType<typeof createLogger>) => void): string {
  let text = '';
  const toText = lineFormat(format, false);
  const sink = {
    write: (line: string) => {
      text += toText(line);
    },
  };
  write(createLogger('test', 'info', sink));
  return text;
}

const EVIL = '\u001b]0;gotcha\u0007\u009b31m\u202e\n{"level":60}';

test('lineFormat lets nobody draw on a terminal or add lines', () => {
  for (const format of ['json', 'pretty'] as const) {
    const text = logged(format, (log) => log.warn({ command: EVIL }, `quota exceeded by ${EVIL}`));
    expect(text).toContain('gotcha');
    expect(text).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
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
