import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { Errno } from '../base/errno.js';
import { ExpectedError, messageOf } from '../base/expected-error.js';
import { createLogger } from '../base/log.js';
import type { Attributes } from '../device.js';
import { ALARM_FD, type DeviceConfig } from '../engine/engine-config.js';
import { Heartbeat } from '../engine/heartbeat.js';
import { createEventfd } from '../linux/eventfd.js';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, mountAt } from '../linux/mount-table.js';
import { sendDatagram } from '../linux/socket.js';
import { assertCanServe } from './examination.js';
import { Latency, type LatencyMode } from './latency.js';
import {
  canonicalPath,
  createLink,
  FILE_SYSTEM_TYPE,
  findMount,
  prepareMountPoint,
  removeLink,
  unmountAll,
} from './mount-point.js';
import { Watchdog } from './watchdog.js';

export interface SupervisorOptions {
  readonly directory: string;
  /** Where to put a symlink to the device, if anywhere. */
  readonly link: string | undefined;
  readonly limits: DeviceConfig['limits'];
  readonly maxHands: number;
  readonly trustedUids: readonly number[];
  readonly latency: LatencyMode;
  readonly log: DeviceConfig['log'];
}

/** Why serving ended. */
interface End {
  readonly wanted: boolean;
  readonly why: string;
}

/** FUSE_ROOT_ID, which every mount begins with, is 1. */
const FIRST_ID = 2;
const DEVICE_ATTRIBUTES: Attributes = { mode: 0o666, uid: 0, gid: 0 };
/** How long the device process may take to notice the unmount before it is killed. */
const END_TIMEOUT_MS = 500;
/**
 * On one CPU, helper threads of the garbage collector only get in the way; and the calls of the hot path are many small
 * functions, of which V8 by default stops inlining too early (a tenth of the time spent in JavaScript).
 */
const NODE_OPTIONS = ['--enable-source-maps', '--single-threaded-gc', '--max-inlined-bytecode-size-cumulative=4000'];
const NEEDS_ROOT = 'mounting needs CAP_SYS_ADMIN; run as root, and see: bus1fs doctor';
const DEVICE_PROCESS = fileURLToPath(new URL('../engine/engine.js', import.meta.url));

/**
 * Mounts, serves until SIGTERM, SIGINT or an unmount, and takes everything back. Resolves to the exit status: 0 after
 * a wanted end, 1 if the device process died.
 */
export async function supervise(options: SupervisorOptions): Promise<number> {
  const log = createLogger('bus1fs', options.log);
  assertCanServe(log);
  const directory = canonicalPath(options.directory);
  const device = `${directory}/bus1`;
  const link = options.link === undefined ? undefined : resolve(options.link);
  await prepareMountPoint(directory, () => log.warn({ directory }, 'cleared a dead bus1fs mount'));

  const heartbeat = Heartbeat.create();
  if (heartbeat === undefined) throw new ExpectedError('out of memory or descriptors');
  const { child, deviceMinor } = start(directory, heartbeat, options);
  const watchdog = new Watchdog(heartbeat, log, () => child.kill('SIGKILL'));
  const latency = new Latency(
    options.latency,
    heartbeat,
    (child.stdio as readonly unknown[])[ALARM_FD] as Readable,
    log,
  );
  const ended = new Promise<End>((end) => {
    child.once('exit', (code, signal) => end(deviceEnd(code, signal)));
    child.once('error', (error) => end({ wanted: false, why: error.message }));
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => end({ wanted: true, why: signal }));
  });
  try {
    await Promise.race([makeUsable(directory, device, link, log), ended]);
    const { wanted, why } = await ended;
    if (wanted) log.info({ directory, why }, 'ending');
    else log.error({ directory, why }, 'the device process died');
    return wanted ? 0 : 1;
  } finally {
    watchdog.stop();
    latency.stop();
    notifyManager('STOPPING=1');
    // Somebody may have unmounted it, and mounted something else there since.
    if (mountAt(directory)?.deviceMinor === deviceMinor) unmountAll(directory);
    if (link !== undefined) removeLink(link, device);
    await waitForExit(child);
  }
}

/** Mounts and starts the process that serves the mount; only that one keeps /dev/fuse open. */
function start(
  directory: string,
  heartbeat: Heartbeat,
  { limits, maxHands, trustedUids, log }: SupervisorOptions,
): { readonly child: ChildProcess; readonly deviceMinor: number } {
  const fuse = openFuse();
  try {
    const data = `fd=${fuse},rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions`;
    const error = -mount('bus1fs', directory, FILE_SYSTEM_TYPE, MS_NOSUID | MS_NODEV | MS_NOEXEC, data);
    if (error === Errno.EPERM) throw new ExpectedError(NEEDS_ROOT);
    if (error !== 0) throw new ExpectedError(`mounting on ${directory} failed with errno ${error}; see: bus1fs doctor`);
    try {
      const { deviceMajor, deviceMinor } = findMount(directory);
      const config: DeviceConfig = {
        deviceNumber: { major: deviceMajor, minor: deviceMinor },
        firstId: FIRST_ID,
        device: DEVICE_ATTRIBUTES,
        limits,
        maxHands,
        trustedUids,
        log,
      };
      const args = [...process.execArgv, ...NODE_OPTIONS, DEVICE_PROCESS, JSON.stringify(config)];
      const doneFd = createEventfd();
      const child = spawn(process.execPath, args, {
        stdio: ['ignore', 'ignore', 'inherit', fuse, heartbeat.fd, 'pipe', doneFd],
      });
      closeSync(doneFd);
      return { child, deviceMinor };
    } catch (failure) {
      unmountAll(directory);
      throw failure;
    }
  } finally {
    closeSync(fuse);
  }
}

function openFuse(): number {
  try {
    return openSync('/dev/fuse', 'r+');
  } catch (error) {
    throw new ExpectedError(`cannot open /dev/fuse: ${messageOf(error)}; see: bus1fs doctor`);
  }
}

/** Resolves when clients can use the device and everybody who waits for that was told. */
async function makeUsable(directory: string, device: string, link: string | undefined, log: Logger): Promise<void> {
  try {
    const handle = await open(device, 'r+');
    await handle.close();
  } catch (error) {
    throw new ExpectedError(`the device cannot be opened: ${messageOf(error)}; see: bus1fs doctor`);
  }
  if (link !== undefined && !createLink(link, device)) {
    log.warn({ link }, 'left alone what is there and is not ours; clients find the device in the mount only');
  }
  log.info({ directory, link }, 'mounted');
  console.log(`bus1fs ready: ${device}`);
  notifyManager('READY=1');
}

/** Tells systemd, if it started us and wants to know (sd_notify(3)). */
function notifyManager(state: string): void {
  const socket = process.env['NOTIFY_SOCKET'];
  if (socket !== undefined) sendDatagram(socket, state);
}

/** The loop of the device process ends by itself, with status 0, when somebody unmounts. */
const deviceEnd = (code: number | null, signal: NodeJS.Signals | null): End =>
  code === 0 ? { wanted: true, why: 'unmounted' } : { wanted: false, why: signal ?? `exit status ${code}` };

async function waitForExit(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
  await new Promise((exited) => child.once('exit', exited));
  clearTimeout(timer);
}
