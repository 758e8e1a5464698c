import { closeSync, openSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Logger } from 'pino';
import { messageOf } from '../base/expected-error.js';
import type { Heartbeat } from '../engine/heartbeat.js';

export const LATENCY_MODES = ['auto', 'on', 'off'] as const;
export type LatencyMode = (typeof LATENCY_MODES)[number];

/** Whoever has this file open and wrote the longest wake-up latency to it, in microseconds, is obeyed (pm_qos, kernel documentation). */
export const PM_QOS_FILE = '/dev/cpu_dma_latency';
const NO_LATENCY = Buffer.alloc(4);

/** How often traffic is looked at while there is any. */
const SAMPLE_MS = 10;
/**
 * The least requests of a sample that are worth keeping all CPUs awake for: so many that the bus waits for wake-ups for
 * about a tenth of the time, at 50 to 75 µs each. Holding costs the whole of every CPU that would be idle.
 */
const BUSY_REQUESTS = 20;
/** How many quiet samples end it: long enough not to let go between the bursts of one conversation. */
const QUIET_SAMPLES = 5;

/**
 * Keeps CPUs from sleeping so deeply that waking them takes longer than the call they are woken for: always, never, or
 * (auto) while there is traffic. While there is none, nothing runs: the device process tells when the first request comes.
 */
export class Latency {
  private readonly heartbeat: Heartbeat;
  private readonly log: Logger;
  private request: number | undefined;
  private isRefused = false;
  private timer: NodeJS.Timeout | undefined;
  private lastBeats = 0;
  private quiet = 0;

  /** `alarm` gets a byte from the device process for the first request after each arm(). */
  constructor(mode: LatencyMode, heartbeat: Heartbeat, alarm: Readable, log: Logger) {
    this.heartbeat = heartbeat;
    this.log = log;
    if (mode === 'on') this.hold();
    if (mode !== 'auto') return;
    alarm.on('data', () => this.watch());
    heartbeat.arm();
  }

  stop(): void {
    clearInterval(this.timer);
    this.letGo();
  }

  private watch(): void {
    this.lastBeats = this.heartbeat.read().beats;
    this.quiet = 0;
    this.timer ??= setInterval(() => this.sample(), SAMPLE_MS).unref();
  }

  private sample(): void {
    const { beats } = this.heartbeat.read();
    const requests = ((beats - this.lastBeats) >>> 0) / 2;
    this.lastBeats = beats;
    this.quiet = requests >= BUSY_REQUESTS ? 0 : this.quiet + 1;
    if (this.quiet === 0) this.hold();
    if (this.quiet < QUIET_SAMPLES) return;
    this.letGo();
    if (requests > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.heartbeat.arm();
  }

  private hold(): void {
    if (this.request !== undefined || this.isRefused) return;
    try {
      this.request = openSync(PM_QOS_FILE, 'r+');
      writeSync(this.request, NO_LATENCY);
    } catch (error) {
      this.isRefused = true;
      this.log.info({ why: messageOf(error) }, 'calls will wait for CPUs to wake up; see: bus1fs doctor');
    }
  }

  private letGo(): void {
    if (this.request !== undefined) closeSync(this.request);
    this.request = undefined;
  }
}
