import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatTable } from '../../src/cli/table.js';
import type { DaemonStatus } from '../../src/engine/daemon-status.js';
import { bus1fs, CLI, Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { startFloor } from './floor.js';
import { median } from './statistics.js';

/*
 * The inner view: what each operation costs beside the least a FUSE server can do. Absolute times depend on the machine
 * and its mood, so all rows are measured in turn, several times over, in one run; look at the ratios.
 *
 *   npm run bench [-- ROUNDS]
 */

const ROUNDS = Number(process.argv[2] ?? 5);
const CPU = '0';
const SIZES = [0, 1024, 65536, 1048576];
const DESTINATIONS = [1, 4, 16, 64, 256];
const IDLE_PEERS = 5000;
const COPY = 'process_vm_readv 1 MiB';

/** A row of the table: what the client is asked to do, and what its time is a multiple of. */
interface Row {
  readonly name: string;
  readonly args: readonly string[];
  /** A bound to stay below when pinned to one CPU, in multiples of the floor or of another row. */
  readonly goal?: number;
  readonly goalOf?: string;
}

const bytes = (n: number): string => (n >= 1048576 ? `${n / 1048576} MiB` : n >= 1024 ? `${n / 1024} KiB` : `${n} B`);
const client = compiler.compile('bench/client.c', 'client', '-O2');

const rowsFor = (device: string, floor: string): Row[] => [
  { name: 'floor: ioctl on a bare C FUSE server', args: ['floor', floor] },
  { name: 'PEER_QUERY', args: ['query', device], goal: 1.25 },
  { name: 'open and close', args: ['open', device] },
  ...SIZES.flatMap((size) => [
    ...(size === 1048576 ? [{ name: COPY, args: ['copy', device, '1048576'] }] : []),
    {
      name: `SEND ${bytes(size)}`,
      args: ['send', device, `${size}`, '1'],
      ...(size === 1024 && { goal: 2 }),
      ...(size === 1048576 && { goal: 1.3, goalOf: COPY }),
    },
    {
      name: `SEND+RECV+SLICE_RELEASE ${bytes(size)}`,
      args: ['cycle', device, `${size}`, '1'],
      ...(size === 1024 && { goal: 4.5 }),
    },
    { name: `SOCK_SEQPACKET send+recv ${bytes(size)}`, args: ['socket', `${size}`, '1'] },
  ]),
  { name: 'SEND+RECV+SLICE_RELEASE 1 KiB between pid namespaces', args: ['nested', device] },
  { name: 'the same with 10000 messages queued', args: ['loaded', device, 'queued', '10000'] },
  { name: 'the same with 10000 peers that hold its node', args: ['loaded', device, 'holders', '10000'] },
  { name: 'the same with 10000 handles of its own', args: ['loaded', device, 'handles', '10000'] },
  { name: 'the same with 7000 holes in its pool', args: ['loaded', device, 'holes', '7000'] },
  { name: 'SEND+RECV+SLICE_RELEASE 0 B with 1 descriptor, and close', args: ['fds', device, '1'] },
  { name: 'the same, 0 B with 16 descriptors, and close', args: ['fds', device, '16'] },
  ...DESTINATIONS.slice(1).flatMap((n) => [
    { name: `SEND 1 KiB to ${n}`, args: ['send', device, '1024', `${n}`] },
    { name: `SEND+RECV+SLICE_RELEASE 1 KiB to ${n}`, args: ['cycle', device, '1024', `${n}`] },
    { name: `SOCK_SEQPACKET 1 KiB to ${n}`, args: ['socket', '1024', `${n}`] },
  ]),
];

async function measure(title: string, prefix: readonly string[]): Promise<void> {
  const floor = await startFloor(prefix);
  const daemon = await Daemon.start(['--no-link', '--log-level', 'warn'], [], prefix);
  const rows = rowsFor(daemon.device, floor.file);
  const times = new Map<Row, number[]>();
  const ratios = new Map<Row, number[]>();
  const floorRow = rows[0] as Row;
  const [program = '', ...args] = [...prefix, client];
  const time = async (row: Row): Promise<number> => {
    const outcome = await run(program, [...args, ...row.args], 120_000);
    if (outcome.status !== 0) throw new Error(`${row.name}: ${outcome.stderr}`);
    return Number(outcome.stdout);
  };
  try {
    for (let round = 0; round <= ROUNDS; round++) {
      let unit = Number.NaN;
      for (const row of rows) {
        // The floor again right before what is held against it: the machine's mood changes within a round.
        if (row === floorRow || row.goal !== undefined) unit = await time(floorRow);
        const measured = row === floorRow ? unit : await time(row);
        if (round === 0) continue; // it warms up
        times.set(row, [...(times.get(row) ?? []), measured]);
        ratios.set(row, [...(ratios.get(row) ?? []), measured / unit]);
      }
    }
  } finally {
    await daemon.stop();
    await floor.stop();
  }
  /** Round by round, as multiples of another row. */
  const multipleOf = (name: string, row: Row): number => {
    const others = times.get(rows.find((other) => other.name === name) as Row) ?? [];
    return median((times.get(row) ?? []).map((time, round) => time / (others[round] ?? Number.NaN)));
  };
  const table = rows.map((row) => {
    const microseconds = median(times.get(row) ?? []) / 1000;
    const ratio = median(ratios.get(row) ?? []);
    const [multiple, of] = row.goalOf === undefined ? [ratio, ''] : [multipleOf(row.goalOf, row), ` of ${row.goalOf}`];
    const goal =
      row.goal === undefined || prefix.length === 0
        ? ''
        : `${multiple <= row.goal ? 'within' : 'ABOVE'} ${row.goal}${of}`;
    return [row.name, Number(microseconds.toFixed(2)), Number(ratio.toFixed(2)), goal];
  });
  console.log(`\n${title}; medians of ${ROUNDS} rounds\n`);
  console.log(formatTable([['', 'µs', 'floors', 'goal'], ...table]));
}

async function measureIdlePeers(): Promise<void> {
  const daemon = await Daemon.start();
  const read = async () => {
    const { devicePid } = JSON.parse((await bus1fs('status', daemon.directory, '--json')).stdout) as DaemonStatus;
    const rss = Number(/^Rss:\s+(\d+)/m.exec(readFileSync(`/proc/${devicePid}/smaps_rollup`, 'utf8'))?.[1]);
    return { kib: rss, descriptors: readdirSync(`/proc/${devicePid}/fd`).length };
  };
  await run(client, ['open', daemon.device]); // so that what grows once has grown
  const before = await read();
  const holder = spawn(client, ['idle', daemon.device, `${IDLE_PEERS}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(holder.stdout, 'data');
  await sleep(500);
  const after = await read();
  holder.kill();
  await once(holder, 'exit');
  await daemon.stop();
  const each = ((after.kib - before.kib) / IDLE_PEERS).toFixed(2);
  console.log(`\nEach of ${IDLE_PEERS} idle peers: ${each} KiB of the daemon's memory (goal: at most 12)`);
  console.log(`Descriptors of the daemon for all of them: ${after.descriptors - before.descriptors} (goal: 0)`);
}

/** What `bus1fs run` costs the calls that it has nothing to do with. */
async function measureFilter(): Promise<void> {
  const daemon = await Daemon.start();
  const program = compiler.compile('bench/filtered.c', 'filtered', '-O2');
  const ratios: number[][] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    const pinned = async (...command: readonly string[]): Promise<number[]> =>
      (await run('taskset', ['-c', CPU, ...command])).stdout.split(' ').map(Number);
    const without = await pinned(program, daemon.device, '0');
    const under = await pinned(CLI, 'run', '--', program, daemon.device, '1');
    for (const [i, list] of ratios.entries()) list.push((under[i] ?? Number.NaN) / (without[i] ?? Number.NaN));
  }
  await daemon.stop();
  const [call, ioctl, disconnect] = ratios.map((list) => median(list).toFixed(2));
  console.log(
    `\nUnder bus1fs run: a system call takes ${call}x, another ioctl ${ioctl}x, PEER_DISCONNECT ${disconnect}x`,
  );
}

await measure('All on one CPU', ['taskset', '-c', CPU]);
await measure('Free to run anywhere', []);
await measureIdlePeers();
await measureFilter();
