import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LogOutput } from '../../../src/base/log-output.js';
import { dup3 } from '../../../src/linux/file.js';
import { eventually } from '../../support/eventually.js';
import { FullPipe } from '../../support/full-pipe.js';
import { temporaryDirectory } from '../../support/temporary.js';

const asIs = (line: string): string => line;
const FOREVER_MS = 10_000;

test('LogOutput neither waits for a full pipe nor fills memory, and says what was lost where it was', async () => {
  const pipe = new FullPipe();
  const output = new LogOutput('test', pipe.fd, asIs);
  const total = 30_000;
  for (let i = 0; i < total; i++) output.write(`line ${i} ${'x'.repeat(100)}\n`);
  await output.flush(1);

  let text = '';
  await eventually(() => {
    text += pipe.read();
    return text.includes('were lost here');
  }, 'the loss');
  output.write('after it\n');
  await output.flush(FOREVER_MS);
  text += pipe.read();

  const lines = text.trimEnd().split('\n');
  const kept = lines.filter((line) => line.startsWith('line '));
  expect(kept.length).toBeGreaterThan(1000);
  expect(kept.length).toBeLessThan(total);
  expect(kept.map((line) => line.split(' ')[1])).toEqual(kept.map((_, i) => `${i}`));
  expect(lines.slice(kept.length).map((line) => (line.startsWith('{') ? JSON.parse(line) : line))).toMatchObject([
    { level: 40, name: 'test', lost: total - kept.length },
    'after it',
  ]);
});

test('LogOutput goes on where a disk has room again', async () => {
  const path = join(temporaryDirectory('log'), 'file');
  const fd = openSync('/dev/full', 'w');
  const output = new LogOutput('test', fd, asIs);
  for (const line of ['a', 'b', 'c']) {
    output.write(`${line}\n`);
    await output.flush(FOREVER_MS);
  }
  const file = openSync(path, 'w');
  dup3(file, fd, 0);
  output.write('d\n');
  output.write('e\n');
  await output.flush(FOREVER_MS);
  const [loss = '', ...others] = readFileSync(path, 'utf8').split('\n');
  expect(JSON.parse(loss)).toMatchObject({ lost: 3 });
  expect(others).toEqual(['d', 'e', '']);
  for (const each of [file, fd]) closeSync(each);
});

test('LogOutput says at the end what was lost, if only then there is room', async () => {
  const path = join(temporaryDirectory('log'), 'file');
  const fd = openSync('/dev/full', 'w');
  const output = new LogOutput('test', fd, asIs);
  output.write('a\n');
  await output.flush(FOREVER_MS);
  const file = openSync(path, 'w');
  dup3(file, fd, 0);
  await output.flush(FOREVER_MS);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ lost: 1 });
  for (const each of [file, fd]) closeSync(each);
});

test('LogOutput survives a reader that is gone', async () => {
  const pipe = new FullPipe();
  pipe.closeReader();
  const output = new LogOutput('test', pipe.fd, asIs);
  output.write('a\n');
  output.write('b\n');
  await output.flush(FOREVER_MS);
  closeSync(pipe.fd);
});
