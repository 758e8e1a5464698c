import { describe, expect, test } from 'vitest';
import { Heartbeat } from '../../../src/engine/heartbeat.js';

/** Both sides of one. */
function pair(): readonly [watching: Heartbeat, working: Heartbeat] {
  const watching = Heartbeat.create();
  const working = watching && Heartbeat.open(watching.fd);
  if (watching === undefined || working === undefined) throw new Error('no memory');
  return [watching, working];
}

describe('Heartbeat', () => {
  test('tells whether the other side is at work, how far it is, and for whom', () => {
    const [watching, working] = pair();
    expect(watching.read()).toMatchObject({ beats: 0, isBusy: false });
    working.begin(77);
    expect(watching.read()).toEqual({ beats: 1, tid: 77, isBusy: true });
    working.end();
    expect(watching.read()).toMatchObject({ beats: 2, isBusy: false });
    working.begin(78);
    expect(watching.read()).toMatchObject({ beats: 3, tid: 78, isBusy: true });
  });

  test('tells once of the first work after each arm()', () => {
    const [watching, working] = pair();
    let alarms = 0;
    working.onAlarm = () => {
      alarms++;
    };
    const work = (): number => {
      working.begin(1);
      working.end();
      return alarms;
    };
    expect(work()).toBe(0);
    watching.arm();
    expect([work(), work()]).toEqual([1, 1]);
    watching.arm();
    watching.arm();
    expect([work(), work()]).toEqual([2, 2]);
  });
});
