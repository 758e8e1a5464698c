import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Heartbeat } from '../../../src/engine/heartbeat.js';
import { Latency, type LatencyMode, PM_QOS_FILE } from '../../../src/supervisor/latency.js';

const SAMPLE_MS = 10;

/** The pulse of an engine that does not exist, and its alarm. */
class Engine {
  beats = 0;
  arms = 0;
  readonly alarm = new PassThrough();
  readonly heartbeat = {
    read: () => ({ beats: this.beats, tid: 1, isBusy: false }),
    arm: () => {
      this.arms++;
    },
  } as unknown as Heartbeat;

  /** A request arrives after it was armed. */
  ring(): void {
    this.alarm.emit('data', Buffer.from('!'));
  }

  /** So many requests are handled, then a sample is taken. */
  sample(requests: number): void {
    this.beats = (this.beats + 2 * requests) >>> 0;
    vi.advanceTimersByTime(SAMPLE_MS);
  }
}

/** Whether this process asks the kernel to keep CPUs awake. */
const isHeld = (): boolean =>
  readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === PM_QOS_FILE;
    } catch {
      return false; // the directory's own
    }
  });

let engine: Engine;
let latency: Latency;

let lines: string[];

const start = (mode: LatencyMode): void => {
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  latency = new Latency(mode, engine.heartbeat, engine.alarm, log);
};

beforeEach(() => {
  vi.useFakeTimers();
  engine = new Engine();
  lines = [];
});

afterEach(() => {
  latency.stop();
  vi.useRealTimers();
  expect(isHeld()).toBe(false);
});

describe.runIf(existsSync(PM_QOS_FILE))('Latency', () => {
  test('on holds from the start until the end, and looks at nothing', () => {
    start('on');
    expect([isHeld(), engine.arms, vi.getTimerCount()]).toEqual([true, 0, 0]);
  });

  test('off never holds, and looks at nothing', () => {
    start('off');
    engine.ring();
    expect([isHeld(), engine.arms, vi.getTimerCount()]).toEqual([false, 0, 0]);
  });

  test('auto does nothing before the first request', () => {
    start('auto');
    expect([isHeld(), engine.arms, vi.getTimerCount()]).toEqual([false, 1, 0]);
  });

  test('auto holds from the first sample with twenty requests', () => {
    start('auto');
    engine.ring();
    expect(isHeld()).toBe(false);
    engine.sample(19);
    expect(isHeld()).toBe(false);
    engine.sample(20);
    expect(isHeld()).toBe(true);
  });

  test('counts from when it is told, and over the end of the counter', () => {
    engine.beats = 2 ** 32 - 10;
    start('auto');
    engine.ring();
    engine.sample(20);
    expect([engine.beats, isHeld()]).toEqual([30, true]);
  });

  test('lets go after five quiet samples in a row, and not between the bursts of a conversation', () => {
    start('auto');
    engine.ring();
    engine.sample(20);
    for (let i = 0; i < 3; i++) {
      for (let quiet = 0; quiet < 4; quiet++) engine.sample(19);
      engine.sample(20);
    }
    for (let quiet = 0; quiet < 4; quiet++) engine.sample(0);
    expect(isHeld()).toBe(true);
    engine.sample(0);
    expect(isHeld()).toBe(false);
  });

  test('looks on while there is a little traffic, and waits to be told when there is none', () => {
    start('auto');
    engine.ring();
    for (let i = 0; i < 20; i++) engine.sample(1);
    expect([engine.arms, vi.getTimerCount()]).toEqual([1, 1]);
    engine.sample(0);
    expect([engine.arms, vi.getTimerCount()]).toEqual([2, 0]);
    engine.ring();
    engine.sample(20);
    expect(isHeld()).toBe(true);
  });

  test('one that is told twice looks once', () => {
    start('auto');
    engine.ring();
    engine.ring();
    expect(vi.getTimerCount()).toBe(1);
  });

  test('stop ends it at any time', () => {
    start('auto');
    engine.ring();
    engine.sample(20);
    latency.stop();
    expect([isHeld(), vi.getTimerCount()]).toEqual([false, 0]);
  });

  test('where it is not allowed, one line says so, and nothing else happens', () => {
    process.seteuid?.(65534);
    try {
      start('auto');
      engine.ring();
      for (let i = 0; i < 3; i++) engine.sample(20);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/EACCES.*bus1fs doctor/);
    } finally {
      process.seteuid?.(0);
    }
  });
});
