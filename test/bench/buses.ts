import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../support/temporary.js';

/** A running D-Bus daemon. */
export interface Bus {
  readonly address: string;
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 5000;

/** The Debian packages that a D-Bus daemon needs here, of those that are missing. */
export const missingPackages = (programs: Readonly<Record<string, string>>): string[] =>
  Object.entries(programs)
    .filter(([program]) => spawnSync('which', [program]).status !== 0)
    .map(([, name]) => name);

export const DBUS_DAEMON = { 'dbus-daemon': 'dbus-daemon' };
export const DBUS_BROKER = {
  ...DBUS_DAEMON,
  'dbus-broker-launch': 'dbus-broker',
  'systemd-socket-activate': 'systemd',
  python3: 'python3-minimal',
};

export async function startDbusDaemon(prefix: readonly string[]): Promise<Bus> {
  const socket = join(temporaryDirectory('dbus'), 'socket');
  const process = start(prefix, [
    'dbus-daemon',
    '--session',
    '--nofork',
    '--nopidfile',
    `--address=unix:path=${socket}`,
  ]);
  await until(() => existsSync(socket), 'dbus-daemon');
  return { address: `unix:path=${socket}`, pids: [process.pid ?? 0], stop: () => stop(process) };
}

/**
 * dbus-broker's launcher expects systemd: a socket that it is handed, a journal that takes its log (here it is read and
 * dropped), and a session bus to ask systemd on, which is a dbus-daemon's.
 */
const BROKER_SCRIPT = `
mount -t tmpfs run /run && mkdir -p /run/systemd/journal
setpriv --pdeathsig KILL -- python3 -c '
import socket
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
while True: journal.recv(65536)' &
setpriv --pdeathsig KILL -- dbus-daemon --session --nofork --nopidfile --address="unix:path=$0/session" &
until [ -S "$0/session" ] && [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
export DBUS_SESSION_BUS_ADDRESS="unix:path=$0/session"
exec systemd-socket-activate -E DBUS_SESSION_BUS_ADDRESS -l "$0/socket" \\
  dbus-broker-launch --scope user --config-file=/usr/share/dbus-1/session.conf
`;

export async function startDbusBroker(prefix: readonly string[]): Promise<Bus> {
  const directory = temporaryDirectory('broker');
  const socket = join(directory, 'socket');
  const launcher = start(prefix, ['unshare', '--mount', 'sh', '-c', BROKER_SCRIPT, directory]);
  await until(() => existsSync(socket), 'dbus-broker-launch');
  const first = createConnection(socket); // which is what starts it
  await once(first, 'connect');
  first.destroy();
  const broker = (): number | undefined =>
    childrenOf(launcher.pid ?? 0).find((pid) => commandOf(pid) === 'dbus-broker');
  await until(() => broker() !== undefined, 'dbus-broker');
  return { address: `unix:path=${socket}`, pids: [broker() ?? 0], stop: () => stop(launcher) };
}

function start(prefix: readonly string[], command: readonly string[]): ChildProcess {
  const [program = '', ...args] = [...prefix, 'setpriv', '--pdeathsig', 'TERM', '--', ...command];
  return spawn(program, args, { stdio: 'ignore' });
}

async function stop(process: ChildProcess): Promise<void> {
  process.kill('SIGTERM');
  if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = Date.now() + START_TIMEOUT_MS; !condition(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`${what} did not start`);
  }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);

const commandOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
