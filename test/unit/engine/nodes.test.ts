import { describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Directory, Text } from '../../../src/engine/nodes.js';
import { Client } from '../../support/client.js';

describe('Text', () => {
  test('is for root in the pid namespace of the daemon, and made anew each time', () => {
    let count = 0;
    const text = new Text(() => `${++count}`);
    const root = new Client(0);
    expect([text.content(root), text.content(root)]).toEqual(['1', '2']);
    expect(text.content(new Client(1))).toBe(Errno.EACCES);
    root.isInOurPidNamespace = () => false;
    expect(text.content(root)).toBe(Errno.EACCES);
    expect(text.attributes().mode & 0o077).toBe(0);
  });
});

describe('Directory', () => {
  test('has its nodes in their order, and no others', () => {
    const text = new Text(() => '');
    const directory = new Directory({ b: text, a: text });
    expect([...directory.children()].map(([name]) => name)).toEqual(['b', 'a']);
    expect([directory.child('a'), directory.child('c'), directory.child('toString')]).toEqual([
      text,
      undefined,
      undefined,
    ]);
  });
});
