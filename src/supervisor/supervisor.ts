import { closeSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Errno, errnoName } from '../base/errno.js';
import { ExpectedError, messageOf } from '../base/expected-error.js';
import type { LogOptions, LogSink } from '../base/log.js';
import { openLog } from '../base/log-output.js';
import type { EngineConfig } from '../engine/engine-config.js';
import { Heartbeat } from '../engine/heartbeat.js';
import { Ledger } from '../engine/ledger.js';
import { createEventfd } from '../linux/eventfd.js';
import { dup3 } from '../linux/file.js';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, mountAt } from '../linux/mount-table.js';
import { inheritNoDescriptors } from '../linux/process.js';
import { sendDatagram } from '../linux/socket.js';
import { type End, EngineProcess } from './engine-process.js';
import { assertCanServe } from './examination.js';
import { Latency, type LatencyMode } from './latency.js';
import {
  createLink,
  describeFile,
  FILE_SYSTEM_TYPE,
  findMount,
  prepareMountPoint,
  removeLink,
  unmountAll,
} from './mount-point.js';
import { collectOrphans } from './orphans.js';
import { takeSignals } from './service-signals.js';
import { Watchdog } from './watchdog.js';

export interface SupervisorOptions {
  /** Where to mount, as canonicalPath() has it. */
  readonly directory: string;
  /** Where to put a symlink to the device, an absolute path, if anywhere. */
  readonly link: string | undefined;
  readonly device: EngineConfig['device'];
  readonly limits: EngineConfig['limits'];
  /** Whether another engine takes over when one dies. */
  readonly restarts: boolean;
  readonly totalHeldBytes: number | undefined;
  readonly maxHands: number;
  readonly trustedUids: readonly number[];
  readonly latency: LatencyMode;
  readonly log: LogOptions;
  /** The file that standard error is, to be opened anew on SIGHUP; without one, SIGHUP ends the service. */
  readonly logFile: string | undefined;
  /** Called with the lines that say that the device can be used. It ends where this resolves to false. */
  readonly announce: (text: string) => Promise<boolean>;
}

const STDERR = 2;
const LOG_FILE_MODE = 0o640;
/** How long it may take to hear that the engine has ended, after its device has. */
const ENDING_MS = 500;
/** How long the last lines of the log may take. */
const FLUSH_MS = 500;
const NEEDS_ROOT = 'mounting needs CAP_SYS_ADMIN; run as root, and see: bus1fs doctor';

/**
 * Mounts, serves until SIGTERM, SIGINT, SIGQUIT, SIGHUP or an unmount, and takes everything back, within seconds whatever
 * the engine does. Resolves to the exit status: 0 after a wanted end, 1 if the engine died. A thread that writes the log may
 * be blocked still, so the caller ends the process by exitNow().
 */
export async function supervise(options: SupervisorOptions): Promise<number> {
  const { output, log } = openLog('bus1fs', options.log);
  const { logFile } = options;
  let release = (): void => {};
  const stop = new Promise<End>((end) => {
    // From here on: a signal that comes too early must find nothing that it leaves behind.
    const giveBack = takeSignals(
      (signal) => end({ wanted: true, why: signal }),
      logFile === undefined ? undefined : () => reopenLog(logFile, log),
    );
    const giveUp = (error: unknown): void => {
      log.fatal({ err: error }, 'internal error of the supervisor');
      end({ wanted: false, why: 'an internal error' });
    };
    process.on('uncaughtException', giveUp);
    release = () => {
      giveBack();
      process.off('uncaughtException', giveUp);
    };
  });
  try {
    return (await serve(options, stop, output, log)) ? 0 : 1;
  } finally {
    await output.flush(FLUSH_MS);
    release();
  }
}

/** Does it all but for signals and the log. Resolves to whether the end was wanted. */
async function serve(options: SupervisorOptions, stop: Promise<End>, sink: LogSink, log: Logger): Promise<boolean> {
  const { directory, link } = options;
  const device = `${directory}/bus1`;
  assertCanServe(log);
  await prepareMountPoint(directory, () => log.warn({ directory }, 'cleared a dead bus1fs mount'));
  inheritNoDescriptors();
  const mounted = mountDevice(directory, log);
  let engine: EngineProcess | undefined;
  try {
    const deaths = new Deaths();
    let hasServed = false;
    for (;;) {
      const heartbeat = Heartbeat.create();
      if (heartbeat === undefined) throw new ExpectedError('out of memory or descriptors');
      const isFirst = engine === undefined;
      engine = startEngine(options, mounted, heartbeat, !isFirst, sink, log);
      const { wanted, why } = await watch(engine, heartbeat, options, stop, log, async (ended) => {
        if (!isFirst) return probe(device, log);
        await makeUsable(options, device, log).catch((error) => unlessEnded(ended, error));
        hasServed = true;
      });
      if (wanted || !options.restarts || !hasServed) {
        log[wanted ? 'info' : 'error']({ directory, why }, 'ending');
        return wanted;
      }
      if (deaths.areTooMany()) {
        log.fatal(
          { directory, why },
          `the device process has died too often (${MAX_DEATHS + 1} times within a minute); ending`,
        );
        return false;
      }
      log.error({ why }, 'another device process takes over: peers that are open are disconnected, new ones work');
    }
  } finally {
    notifyManager('STOPPING=1');
    // Somebody may have unmounted it, and mounted something else there since.
    if (mountAt(directory)?.deviceMinor === mounted.deviceNumber.minor) unmountAll(directory);
    closeSync(mounted.fuse);
    if (engine !== undefined && !(await engine.end()))
      log.error({ devicePid: engine.pid }, 'the device process does not die; it is left behind');
    if (link !== undefined) removeLink(link, device);
    log.debug({ directory }, 'took everything back');
  }
}

/** How many engines may die within how long before there is no other one. */
const MAX_DEATHS = 5;
const DEATHS_MS = 60_000;

/** When engines have died lately. */
class Deaths {
  private times: number[] = [];

  /** One more has. */
  areTooMany(): boolean {
    const now = performance.now();
    this.times = [...this.times.filter((time) => now - time < DEATHS_MS), now];
    return this.times.length > MAX_DEATHS;
  }
}

/** Watches an engine until it ends, or all shall; `greet` is done as soon as it may be served. */
async function watch(
  engine: EngineProcess,
  heartbeat: Heartbeat,
  { latency: mode }: SupervisorOptions,
  stop: Promise<End>,
  log: Logger,
  greet: (ended: Promise<End>) => Promise<void>,
): Promise<End> {
  engine.ended.then(collectOrphans((pid) => pid === engine.pid));
  const watchdog = new Watchdog(heartbeat, log, () => engine.kill());
  const latency = new Latency(mode, heartbeat, engine.alarm, log);
  try {
    const ended = Promise.race([engine.ended, stop]);
    await Promise.race([greet(ended), ended]);
    return await ended;
  } finally {
    watchdog.stop();
    latency.stop();
  }
}

/** A mount, and what an engine needs to serve it. */
interface Mounted {
  readonly deviceNumber: EngineConfig['deviceNumber'];
  /** /dev/fuse, kept open so that the mount outlives an engine. */
  readonly fuse: number;
  /** What one engine leaves to the next. */
  readonly ledger: number;
}

function mountDevice(directory: string, log: Logger): Mounted {
  const ledger = Ledger.create();
  if (ledger < 0) throw new ExpectedError(`out of memory or descriptors: ${errnoName(ledger)}`);
  const fuse = openFuse();
  try {
    const data = `fd=${fuse},rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions`;
    const error = mount('bus1fs', directory, FILE_SYSTEM_TYPE, MS_NOSUID | MS_NODEV | MS_NOEXEC, data);
    if (error === -Errno.EPERM) throw new ExpectedError(NEEDS_ROOT);
    if (error !== 0) {
      throw new ExpectedError(`mounting on ${directory} failed with ${errnoName(error)}; see: bus1fs doctor`);
    }
    try {
      const { deviceMajor: major, deviceMinor: minor } = findMount(directory);
      log.debug({ directory, deviceNumber: `${major}:${minor}` }, 'mounted, with nobody to serve it yet');
      return { deviceNumber: { major, minor }, fuse, ledger };
    } catch (failure) {
      unmountAll(directory);
      throw failure;
    }
  } catch (failure) {
    closeSync(fuse);
    throw failure;
  }
}

/** Starts a process that serves a mount. */
function startEngine(
  { device, limits, totalHeldBytes, maxHands, trustedUids, log: { level } }: SupervisorOptions,
  { deviceNumber, fuse, ledger }: Mounted,
  heartbeat: Heartbeat,
  takesOver: boolean,
  sink: LogSink,
  log: Logger,
): EngineProcess {
  const config: EngineConfig = {
    supervisorPid: process.pid,
    deviceNumber,
    takesOver,
    device,
    limits,
    totalHeldBytes,
    maxHands,
    trustedUids,
    logLevel: level,
  };
  const hands = createEventfd();
  const engine = new EngineProcess(config, { fuse, heartbeat: heartbeat.fd, ledger, hands }, sink, log);
  closeSync(hands);
  heartbeat.closeFd();
  log.debug({ devicePid: engine.pid }, 'started the device process');
  return engine;
}

function openFuse(): number {
  try {
    return openSync('/dev/fuse', 'r+');
  } catch (error) {
    throw new ExpectedError(`cannot open /dev/fuse: ${messageOf(error)}; see: bus1fs doctor`);
  }
}

/** Resolves when clients can use the device and everybody who waits for that was told. */
async function makeUsable(
  { directory, link, announce }: SupervisorOptions,
  device: string,
  log: Logger,
): Promise<void> {
  try {
    const handle = await open(device, 'r+');
    await handle.close();
  } catch (error) {
    throw new ExpectedError(`the device cannot be opened: ${messageOf(error)}; see: bus1fs doctor`);
  }
  let text = `bus1fs ready: ${device}\n`;
  const isLinked = link !== undefined && createLink(link, device);
  if (link !== undefined && !isLinked) {
    const found = describeFile(link);
    log.warn({ link, found }, 'left alone what is there and is not ours; clients find the device in the mount only');
    text += `bus1fs: the link ${link} was not made: ${found} is there and was left alone; use ${device}\n`;
  }
  log.info({ directory, link: isLinked ? link : undefined }, 'mounted');
  if (!(await announce(text))) throw new ExpectedError('whoever started this has gone before it was ready');
  if (!notifyManager('READY=1')) log.warn('the service manager could not be told that the device is ready');
}

/** Resolves when clients can use the device again. */
async function probe(device: string, log: Logger): Promise<void> {
  try {
    const handle = await open(device, 'r+');
    await handle.close();
    log.info({ device }, 'served again');
  } catch (error) {
    log.error({ device, why: messageOf(error) }, 'the device cannot be opened');
  }
}

/** Throws `error`, unless the end that it may have come from is about to be known, and says more. */
async function unlessEnded(ended: Promise<End>, error: unknown): Promise<void> {
  const isEnded = await Promise.race([ended.then(() => true), sleep(ENDING_MS, false)]);
  if (!isEnded) throw error;
}

/** Tells systemd, if it started us and wants to know (sd_notify(3)). False if it does not take it. */
function notifyManager(state: string): boolean {
  const socket = process.env['NOTIFY_SOCKET'];
  return socket === undefined || sendDatagram(socket, state);
}

/** Opens a log file that was moved away anew, in the place of standard error. */
async function reopenLog(path: string, log: Logger): Promise<void> {
  try {
    const file = await open(path, 'a', LOG_FILE_MODE);
    dup3(file.fd, STDERR, 0);
    await file.close();
    log.info('opened the log anew');
  } catch (error) {
    log.error({ why: messageOf(error) }, 'the log could not be opened anew; it goes on where it was');
  }
}
