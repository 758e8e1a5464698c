import { writeSync } from 'node:fs';
import { Accounts } from '../base/budget.js';
import { createLogger } from '../base/log.js';
import { VERSION } from '../base/version.js';
import { Bus1Device } from '../bus1/bus1-device.js';
import { BlockedCaller } from '../caller/blocked-caller.js';
import { Closer } from '../caller/closer.js';
import { Hands } from '../caller/hands.js';
import { errnoOf, systemCallOf } from '../caller/thread.js';
import { Connection } from '../fuse/connection.js';
import { Session } from '../fuse/session.js';
import { SharedMemory } from '../linux/memory.js';
import { PR_SET_PDEATHSIG, prctl } from '../linux/process.js';
import { ignoreSignals } from '../linux/signals.js';
import { pathQueries } from '../linux/syscalls.js';
import { stopTicking } from '../linux/ticker.js';
import { budgets, descriptorBudget } from './capacity.js';
import type { DaemonStatus } from './daemon-status.js';
import { ALARM_FD, type EngineConfig, FUSE_FD, HANDS_FD, HEARTBEAT_FD, LOG_FD } from './engine-config.js';
import { Heartbeat } from './heartbeat.js';
import { LogPipe } from './log-pipe.js';
import { Directory, Text } from './nodes.js';

/*
 * The engine, or device process: one blocking loop on its main thread, ended by the unmount. It must never touch the mount
 * it serves, never waits for whoever reads its log, and dies with its supervisor, since nobody else would unmount after it.
 */

const NAME = 'bus1fs-device';
const SIGKILL = 9;
const config = JSON.parse(process.argv[2] ?? '') as EngineConfig;
// Whoever is to end it tells its supervisor, or unmounts.
ignoreSignals();
prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
// It may have died before it could be tied to this process.
if (process.ppid !== config.supervisorPid) process.exit();

const log = createLogger(NAME, config.logLevel, new LogPipe(NAME, LOG_FD));
const startedAt = Date.now();
const totals = budgets(config.totalHeldBytes);
const descriptors = new Accounts(descriptorBudget());
const bus1 = new Bus1Device({
  limits: { ...config.limits, heldBytes: config.limits.heldBytes ?? Math.floor(totals.heldBytes.max / 2) },
  budgets: totals,
  descriptors,
  attributes: config.device,
  createMemory: (size) => {
    const memory = SharedMemory.create('bus1-pool', size);
    return typeof memory === 'number' ? errnoOf(memory) : memory;
  },
  log,
});

const status = new Text(() => {
  closer.collect();
  const report: DaemonStatus = {
    version: VERSION,
    pid: process.ppid,
    devicePid: process.pid,
    uptimeSeconds: Math.round((Date.now() - startedAt) / 1000),
    memoryBytes: process.memoryUsage.rss(),
    bus1: bus1.status(),
  };
  return `${JSON.stringify(report)}\n`;
});

const heartbeat = Heartbeat.open(HEARTBEAT_FD);
if (heartbeat === undefined) throw new Error('no heartbeat');
heartbeat.onAlarm = () => writeSync(ALARM_FD, '!');
const hands = new Hands({
  doneFd: HANDS_FD,
  bytes: new Accounts(totals.heldBytes),
  maxPerUser: config.maxHands,
  trusted: new Set(config.trustedUids),
  log,
});
const closer = new Closer(HANDS_FD, descriptors);
const connection = new Connection(FUSE_FD);
connection.onInterrupted = stopTicking; // nothing goes on; who needs ticks starts them again
new Session(connection, new Directory({ bus1, status }), {
  deviceNumber: config.deviceNumber,
  firstId: config.firstId,
  pulse: heartbeat,
  waker: {
    fd: HANDS_FD,
    get isNeeded() {
      return closer.isBehind;
    },
    collect: () => {
      hands.collect();
      closer.collect();
    },
  },
  createCaller: (call) => new BlockedCaller(call, hands, closer),
  isPathQuery: ({ tid }) => pathQueries.has(systemCallOf(tid)),
  log,
}).run();
