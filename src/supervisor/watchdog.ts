import type { Logger } from 'pino';
import type { Beat, Heartbeat } from '../engine/heartbeat.js';

const CHECK_MS = 1000;
/** After so many checks without progress. */
const GIVE_UP = 5;

/** Watches the engine for a request whose handling never ends: a defect of ours, since nothing it does may depend on a client. */
export class Watchdog {
  private readonly heartbeat: Pick<Heartbeat, 'read'>;
  private readonly log: Logger;
  private readonly giveUp: () => void;
  private readonly timer = setInterval(() => this.check(), CHECK_MS);
  private last: Beat = { beats: 0, tid: 0, isBusy: false };
  private stuckFor = 0;

  constructor(heartbeat: Pick<Heartbeat, 'read'>, log: Logger, giveUp: () => void) {
    this.heartbeat = heartbeat;
    this.log = log;
    this.giveUp = giveUp;
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private check(): void {
    const beat = this.heartbeat.read();
    this.stuckFor = beat.isBusy && beat.beats === this.last.beats ? this.stuckFor + 1 : 0;
    this.last = beat;
    if (this.stuckFor !== GIVE_UP) return;
    this.log.fatal({ tid: beat.tid }, 'a request of this client is not answered; giving up');
    this.giveUp();
  }
}
