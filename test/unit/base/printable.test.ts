import { expect, test } from 'vitest';
import { printable, printableLines } from '../../../src/base/printable.js';

test('printable leaves text alone', () => {
  for (const text of ['', 'client-1', 'Größe 漢字 🚌', '\\u001b']) expect(printable(text)).toBe(text);
});

test.each([
  ['\u001b[31m', '\\u001b[31m'],
  ['a\nb\rc\td\0', 'a\\u000ab\\u000dc\\u0009d\\u0000'],
  ['\u007f\u009b2J', '\\u007f\\u009b2J'],
  ['\u202egnp.exe', '\\u202egnp.exe'],
  ['a\u2028b', 'a\\u2028b'],
  ['\u{e0041}', '\\udb40\\udc41'],
])('printable shows %j as %s', (text, shown) => {
  expect(printable(text)).toBe(shown);
});

test('printable keeps the meaning of JSON', () => {
  const value = { command: '\u001b\u009b\u202e\u{e0041}"\\' };
  expect(JSON.parse(printable(JSON.stringify(value)))).toEqual(value);
});

test('printableLines keeps ends of lines', () => {
  expect(printableLines('a\u0007\nb\n')).toBe('a\\u0007\nb\n');
});
