import { mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Beat, Heartbeat } from '../engine/heartbeat.js';
import { MNT_DETACH, mount, unmount } from '../linux/mount-table.js';

const CHECK_MS = 1000;
/** After so many checks without progress: kill the client, abort what it had mapped, give up. */
const KILL_CLIENT = 5;
const ABORT_MAPPINGS = 6;
const GIVE_UP = 10;

/**
 * Watches the device process for a call that never ends.
 *
 * The one known cause is client memory whose page fault is never answered, a mapping of a FUSE file whose server hangs
 * say: then the loop sleeps in the kernel, and everybody waits. Killing the client helps if it is the server itself;
 * else the FUSE connections it had mapped are aborted; else `giveUp` is called.
 */
export class Watchdog {
  private readonly heartbeat: Heartbeat;
  private readonly deviceMinor: number;
  private readonly log: Logger;
  private readonly giveUp: () => void;
  private readonly timer = setInterval(() => this.check(), CHECK_MS);
  private last: Beat = { beats: 0, tid: 0, isBusy: false };
  private stuckFor = 0;
  private connections: readonly number[] = [];

  /** `deviceMinor` is that of the mount itself, which clients have mapped as their pools. */
  constructor(heartbeat: Heartbeat, deviceMinor: number, log: Logger, giveUp: () => void) {
    this.heartbeat = heartbeat;
    this.deviceMinor = deviceMinor;
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
    const { tid } = beat;
    if (this.stuckFor === KILL_CLIENT) {
      this.connections = mappedFuseConnections(tid).filter((minor) => minor !== this.deviceMinor);
      this.log.error({ tid, fuseConnections: this.connections }, 'a call of this client does not end; killing it');
      killProcessOf(tid);
    } else if (this.stuckFor === ABORT_MAPPINGS && this.connections.length > 0) {
      this.log.error({ fuseConnections: this.connections }, 'still stuck; aborting the FUSE connections it had mapped');
      for (const connection of this.connections) abortFuseConnection(connection);
    } else if (this.stuckFor === GIVE_UP) {
      this.log.fatal('still stuck; giving up');
      this.giveUp();
    }
  }
}

/** The FUSE connections behind mappings of a thread: their numbers are the minor numbers of the mounts' devices. */
function mappedFuseConnections(tid: number): readonly number[] {
  const devices = new Set(mappedDevices(tid));
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const fuse = mountinfo.matchAll(/^\d+ \d+ 0:(\d+) .* - fuse(?:blk|\.\S+)? /gm);
  return Array.from(fuse, ([, minor]) => Number(minor)).filter((minor) => devices.has(minor));
}

/** The minor numbers of the devices without a major one that a thread has files mapped from. */
function mappedDevices(tid: number): readonly number[] {
  try {
    const maps = readFileSync(`/proc/${tid}/maps`, 'utf8');
    return Array.from(maps.matchAll(/^\S+ \S+ \S+ 00:([0-9a-f]+) /gm), ([, minor]) => Number.parseInt(minor ?? '', 16));
  } catch {
    return [];
  }
}

function killProcessOf(tid: number): void {
  try {
    const status = readFileSync(`/proc/${tid}/status`, 'latin1');
    process.kill(Number(/^Tgid:\s*(\d+)$/m.exec(status)?.[1]), 'SIGKILL');
  } catch {
    // it is gone already
  }
}

function abortFuseConnection(connection: number): void {
  const directory = mkdtempSync(join(tmpdir(), 'bus1fs-fusectl-'));
  try {
    if (mount('fusectl', directory, 'fusectl', 0, '') === 0)
      writeFileSync(join(directory, `${connection}`, 'abort'), '1');
  } catch {
    // it has ended meanwhile
  } finally {
    unmount(directory, MNT_DETACH);
    rmdirSync(directory);
  }
}
