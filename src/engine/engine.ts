import { writeSync } from 'node:fs';
import { createLogger } from '../base/log.js';
import { VERSION } from '../base/version.js';
import { Bus1Device } from '../bus1/bus1-device.js';
import { Connection } from '../fuse/connection.js';
import { Session } from '../fuse/session.js';
import type { Tree, TreeEntry } from '../fuse/tree.js';
import { PR_SET_PDEATHSIG, prctl } from '../linux/process.js';
import type { DaemonStatus } from './daemon-status.js';
import { ALARM_FD, type DeviceConfig, FUSE_FD, HEARTBEAT_FD } from './engine-config.js';
import { Heartbeat } from './heartbeat.js';

/*
 * The device process: one blocking loop on its main thread, ended by the unmount. It must never touch the mount it
 * serves, and it dies with its supervisor, since nobody else would unmount after it.
 */

const SIGKILL = 9;
const config = JSON.parse(process.argv[2] ?? '') as DeviceConfig;
// Ctrl-C and service managers signal the whole group; the supervisor ends this process, by unmounting.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);

const log = createLogger('bus1fs-device', config.log);
const startedAt = Date.now();
const bus1 = new Bus1Device(config.limits, log);

const status = {
  content: (): string => {
    const report: DaemonStatus = {
      version: VERSION,
      pid: process.ppid,
      devicePid: process.pid,
      uptimeSeconds: Math.round((Date.now() - startedAt) / 1000),
      memoryBytes: process.memoryUsage.rss(),
      bus1: bus1.status(),
    };
    return `${JSON.stringify(report)}\n`;
  },
};

const tree: Tree = new Map<string, TreeEntry>([
  ['bus1', bus1],
  ['status', status],
]);
const heartbeat = Heartbeat.open(HEARTBEAT_FD);
if (heartbeat === undefined) throw new Error('no heartbeat');
heartbeat.onAlarm = () => writeSync(ALARM_FD, '!');
new Session(new Connection(FUSE_FD), tree, { deviceNumber: config.deviceNumber, heartbeat, log }).run();
