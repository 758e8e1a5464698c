import { expect, test } from 'vitest';
import { isStopped, SIGKILL, SIGSTOP, SIGTRAP, stopEvent, stopSignal } from '../../../src/linux/ptrace.js';

/** The wait status of a stop: its signal, and a ptrace event above it. */
const stop = (signal: number, event = 0): number => (event << 16) | (signal << 8) | 0x7f;

test('a stop is told from an end', () => {
  expect([stop(SIGSTOP), stop(SIGTRAP, 128), stop(0)].map(isStopped)).toEqual([true, true, true]);
  const ends = [0, 1 << 8, 0x7f00, SIGKILL, SIGKILL | 0x80, 0x7e];
  expect(ends.map(isStopped)).toEqual(Array(6).fill(false));
});

test('a stop tells its signal and its event', () => {
  for (const [signal, event] of [
    [SIGSTOP, 0],
    [SIGTRAP, 128],
    [64, 7],
  ] as const) {
    expect([stopSignal(stop(signal, event)), stopEvent(stop(signal, event))]).toEqual([signal, event]);
  }
});
