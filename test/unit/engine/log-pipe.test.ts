import { closeSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LogPipe } from '../../../src/engine/log-pipe.js';
import { FullPipe } from '../../support/full-pipe.js';

test('LogPipe never waits, and says what was lost before the next line', () => {
  const pipe = new FullPipe();
  const log = new LogPipe('test', pipe.fd);
  for (const line of ['a\n', 'b\n', 'c\n']) log.write(line);
  expect(pipe.read()).toBe('');
  log.write('d\n');
  log.write('e\n');
  const [loss = '', ...others] = pipe.read().split('\n');
  expect(JSON.parse(loss)).toMatchObject({ level: 40, name: 'test', lost: 3 });
  expect(others).toEqual(['d', 'e', '']);
  closeSync(pipe.fd);
});

test('LogPipe ends a line that it has begun', () => {
  const pipe = new FullPipe();
  pipe.read();
  const log = new LogPipe('test', pipe.fd);
  const long = `${'x'.repeat(100_000)}\n`; // more than a pipe holds
  log.write(long);
  log.write('lost\n');
  const part = pipe.read();
  log.write('after\n');
  const [rest = '', loss = '', ...others] = pipe.read().split('\n');
  expect(`${part}${rest}\n`).toBe(long);
  expect(JSON.parse(loss)).toMatchObject({ lost: 1 });
  expect(others).toEqual(['after', '']);
  closeSync(pipe.fd);
});

test('LogPipe survives a reader that is gone', () => {
  const pipe = new FullPipe();
  pipe.closeReader();
  new LogPipe('test', pipe.fd).write('a\n');
  closeSync(pipe.fd);
});
