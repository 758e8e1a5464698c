import { describe, expect, test } from 'vitest';
import { isNameOrWildcard, isWellKnownName } from '../../../../src/kdbus/model/well-known-name.js';

const NAMES = [
  'a.b',
  'foo.b1',
  'foo.-bar',
  'foo.bar-',
  '-.-',
  '_foo._bar',
  'org.freedesktop.DBus',
  `f.${'x'.repeat(253)}`,
];
const WILDCARDS = ['foo.*', 'a.b.*', `f.${'x'.repeat(251)}.*`];
const NEITHER = [
  '',
  'foo',
  'foo.',
  '.foo',
  '.',
  'foo..bar',
  'foo.1bar',
  '1foo.bar',
  'foo.b:ar',
  'foo.b*r',
  'foo.**',
  'foo.*.bar',
  '*',
  '*.*',
  '*.foo',
  'foo.bar*',
  'foo.bär',
  'foo.b\u{c4}',
  'foo.bar\n',
  ':1.1',
  `f.${'x'.repeat(254)}`,
  `f.${'x'.repeat(252)}.*`,
];

describe('a well-known name', () => {
  test.each(NAMES)('can be %j', (text) => {
    expect(isWellKnownName(text)).toBe(true);
    expect(isNameOrWildcard(text)).toBe(true);
  });

  test.each(WILDCARDS)('may only as a wildcard be %j', (text) => {
    expect(isWellKnownName(text)).toBe(false);
    expect(isNameOrWildcard(text)).toBe(true);
  });

  test.each(NEITHER)('can never be %j', (text) => {
    expect(isWellKnownName(text)).toBe(false);
    expect(isNameOrWildcard(text)).toBe(false);
  });
});
