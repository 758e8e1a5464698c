import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Bytes } from '../../../src/base/bytes.js';
import { Suspension } from '../../../src/device.js';
import { Connection } from '../../../src/fuse/connection.js';
import { InHeader, Opcode, READ_BUFFER } from '../../../src/fuse/fuse-abi.js';
import { Outbox } from '../../../src/fuse/outbox.js';
import { PendingCalls } from '../../../src/fuse/pending-calls.js';
import { Requests } from '../../../src/fuse/requests.js';
import { close, F_GETFL, fcntl, O_NONBLOCK } from '../../../src/linux/file.js';
import { NativeBuffer } from '../../../src/linux/native-buffer.js';
import { lookUp, packetPair, request, sendPacket } from '../../support/kernel.js';

let kernelFd: number;
let fd: number;
let connection: Connection;
let pending: PendingCalls;
let requests: Requests;
const buffer = new NativeBuffer(READ_BUFFER);

beforeEach(() => {
  [kernelFd, fd] = packetPair();
  connection = new Connection(fd);
  const waker = { fd: kernelFd, isNeeded: false, collect: () => {} };
  pending = new PendingCalls(connection, new Outbox(connection, pino({ level: 'silent' })), waker);
  requests = new Requests(connection, pending);
});

afterEach(() => {
  close(kernelFd);
  close(fd);
});

const arrive = (...all: readonly Bytes[]): void => {
  for (const { u8 } of all) sendPacket(kernelFd, u8);
};
const unmount = (): void => sendPacket(kernelFd, new Uint8Array(0));
const isWanted = (bytes: Bytes): boolean => bytes.u32(InHeader.opcode) === Opcode.IOCTL;
const numbered = (unique: number, opcode: number = Opcode.GETATTR): Bytes => request(opcode, { unique });
/** The numbers of the requests that come before the unmount. */
function rest(): number[] {
  const uniques: number[] = [];
  while (requests.next(buffer)) uniques.push(buffer.u64(InHeader.unique));
  return uniques;
}

test('requests come in their order, until the unmount', () => {
  arrive(numbered(1), numbered(2), numbered(3));
  unmount();
  expect(rest()).toEqual([1, 2, 3]);
});

test('those before one that is looked for come after it, in their order, and before all others', () => {
  arrive(numbered(1), numbered(2), numbered(3, Opcode.IOCTL), numbered(4));
  unmount();
  expect(requests.find(isWanted)?.u64(InHeader.unique)).toBe(3);
  expect(rest()).toEqual([1, 2, 4]);
});

test('one may be looked for again before those have come', () => {
  arrive(numbered(1), numbered(2, Opcode.IOCTL), numbered(3), numbered(4, Opcode.IOCTL), numbered(5));
  unmount();
  expect(requests.find(isWanted)?.u64(InHeader.unique)).toBe(2);
  expect(requests.find(isWanted)?.u64(InHeader.unique)).toBe(4);
  expect(rest()).toEqual([1, 3, 5]);
});

test('a request that waited is whole', () => {
  arrive(
    lookUp('a name', { unique: 1 }),
    numbered(2, Opcode.IOCTL),
    lookUp('another name that is longer', { unique: 3 }),
  );
  requests.find(isWanted);
  requests.next(buffer);
  expect(buffer.text(InHeader.sizeof, buffer.u32(InHeader.len) - 1)).toBe('a name');
});

test('what is looked for is waited for, also while a call waits', () => {
  const flags = fcntl(fd, F_GETFL, 0);
  pending.suspend(new Suspension(), () => {});
  arrive(numbered(1), numbered(2, Opcode.IOCTL));
  requests.next(buffer);
  expect(fcntl(fd, F_GETFL, 0)).toBe(flags | O_NONBLOCK);
  requests.find(isWanted);
  expect(fcntl(fd, F_GETFL, 0)).toBe(flags);
});

test('what is looked for may never come', () => {
  arrive(numbered(1));
  unmount();
  expect(requests.find(isWanted)).toBeUndefined();
});
