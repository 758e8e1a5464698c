import { closeSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Epoll } from '../../../src/linux/epoll.js';
import { close } from '../../../src/linux/file.js';
import { packetPair, receivePackets, sendPacket } from '../../support/kernel.js';

const LARGE = 2 ** 53 - 1;

let epoll: Epoll;
let descriptors: number[];

beforeEach(() => {
  epoll = new Epoll();
  descriptors = [];
});

afterEach(() => {
  epoll.close();
  for (const fd of descriptors) close(fd);
});

function pair(): readonly [number, number] {
  const [a, b] = packetPair();
  descriptors.push(a, b);
  return [a, b];
}

describe('Epoll', () => {
  test('tells by their numbers which descriptors are readable', () => {
    const [[a, toA], [b, toB]] = [pair(), pair()];
    expect([epoll.add(a, 0), epoll.add(b, LARGE)]).toEqual([0, 0]);
    expect(epoll.wait(0)).toEqual([]);
    sendPacket(toB, Buffer.from('!'));
    expect(epoll.wait(-1)).toEqual([LARGE]);
    sendPacket(toA, Buffer.from('!'));
    expect([...epoll.wait(-1)].sort()).toEqual([0, LARGE]);
    receivePackets(a);
    expect(epoll.wait(-1)).toEqual([LARGE]);
  });

  test('does not tell of what was removed', () => {
    const [a, toA] = pair();
    epoll.add(a, 1);
    sendPacket(toA, Buffer.from('!'));
    epoll.remove(a);
    expect(epoll.wait(0)).toEqual([]);
  });

  test('tells of many in several parts', () => {
    const numbers = Array.from({ length: 40 }, (_, i) => {
      const [fd, other] = pair();
      epoll.add(fd, i + 1);
      sendPacket(other, Buffer.from('!'));
      return i + 1;
    });
    const seen = new Set<number>();
    for (let i = 0; i < 10; i++) for (const number of epoll.wait(0)) seen.add(number);
    expect([...seen].sort((x, y) => x - y)).toEqual(numbers);
  });

  test('what cannot be waited for is EPERM', () => {
    const file = openSync('/proc/self/exe', 'r');
    expect(epoll.add(file, 1)).toBe(-Errno.EPERM);
    closeSync(file);
  });
});
