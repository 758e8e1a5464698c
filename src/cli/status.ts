import { readFile } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { ExpectedError } from '../base/expected-error.js';
import { printable, printableLines } from '../base/printable.js';
import type { Use } from '../bus1/bus1-status.js';
import type { DaemonStatus } from '../engine/daemon-status.js';
import { canonicalPath, findMount, theMount } from '../supervisor/mount-point.js';
import { formatTable } from './table.js';

export const addStatus = (cli: Argv): Argv =>
  cli.command(
    'status [directory]',
    'show the daemon and its peers',
    (args) =>
      args
        .positional('directory', {
          describe: 'where the device directory is mounted',
          type: 'string',
          defaultDescription: 'the only mount, or /run/bus1',
        })
        .option('json', { describe: 'print JSON', type: 'boolean', default: false }),
    async (argv) => {
      const directory = argv.directory === undefined ? await theMount() : canonicalPath(argv.directory);
      findMount(directory);
      const status = await readStatus(directory);
      // Clients choose what they are called.
      console.log(printableLines(argv.json ? JSON.stringify(status, undefined, 2) : formatStatus(directory, status)));
    },
  );

/** Asks the daemon that serves `directory`. */
export async function readStatus(directory: string): Promise<DaemonStatus> {
  try {
    return JSON.parse(await readFile(`${directory}/status`, 'utf8')) as DaemonStatus;
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'EACCES':
        throw new ExpectedError('only root, in the pid namespace of the daemon, may ask for its status');
      case 'ENOTCONN':
      case 'ECONNABORTED':
        throw new ExpectedError(`the bus1fs at ${directory} is dead; clear it with: bus1fs umount ${directory}`);
      default:
        throw error;
    }
  }
}

const ofMax = ({ used, max }: Use): string => `${used}/${max}`;

function formatStatus(directory: string, status: DaemonStatus): string {
  const { counters, totals, users, peers } = status.bus1;
  const mebibytes = (status.memoryBytes / 2 ** 20).toFixed(1);
  const rows = peers.map((peer) => [
    peer.id,
    peer.pid,
    printable(peer.command),
    peer.uid,
    peer.abi ?? '-',
    peer.connected ? 'connected' : 'disconnected',
    peer.nodes,
    peer.handles,
    peer.queued,
    peer.used2026 === undefined ? peer.used.slices : '-',
    peer.used2026?.bytes ?? peer.poolBytes,
  ]);
  const header = ['PEER', 'PID', 'COMMAND', 'UID', 'ABI', 'STATE', 'NODES', 'HANDLES', 'QUEUED', 'SLICES', 'BYTES'];
  const userRows = users.map((user) => [
    user.uid,
    ofMax(user.peers),
    ofMax(user.slices),
    ofMax(user.handles),
    ofMax(user.inflightBytes),
    ofMax(user.inflightFds),
    ofMax(user.heldBytes),
    user.descriptors,
  ]);
  const userHeader = ['UID', 'PEERS', 'SLICES', 'HANDLES', 'INFLIGHT-BYTES', 'INFLIGHT-FDS', 'HELD-BYTES', 'FDS'];
  const all = [
    'all',
    ofMax(totals.peers),
    ofMax(totals.slices),
    ofMax(totals.handles),
    '',
    '',
    ofMax(totals.heldBytes),
    ofMax(totals.descriptors),
  ];
  return [
    `bus1fs ${status.version} at ${directory}/bus1, pid ${status.pid}, up ${status.uptimeSeconds} s, ${mebibytes} MiB`,
    `${peers.length} peers now, ${counters.opened} opened; ${counters.ioctls} ioctls, ${counters.failed} of them failed`,
    ...(peers.length > 0 ? ['', formatTable([header, ...rows])] : []),
    '',
    formatTable([userHeader, ...userRows, all]),
  ].join('\n');
}
