import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatTable } from '../../src/cli/table.js';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { DBUS_BROKER, DBUS_DAEMON, missingPackages, startDbusBroker, startDbusDaemon } from './buses.js';
import { barChart } from './chart.js';
import { startFloor } from './floor.js';
import { median } from './statistics.js';

/*
 * bus1fs beside what people use instead: dbus-daemon and dbus-broker, with libsystemd's sd-bus, and SOCK_SEQPACKET pairs, which
 * have no bus in between; and beside the mailbox of floor.c, a FUSE server in C that gets the same requests and does nothing with
 * them. All work in turn, several times over, in one run; look at the ratios.
 *
 *   npm run bench:peers -- DIRECTORY [ROUNDS]     writes peers.json and a chart of each placement
 */

const [directory = '', rounds = '5'] = process.argv.slice(2);
if (directory === '') {
  console.error('usage: npm run bench:peers -- DIRECTORY [ROUNDS]');
  process.exit(1);
}
const ROUNDS = Number(rounds);
/** Longer than --latency auto holds on after the last call, so that nobody else profits from it. */
const REST_MS = 100;

/** Something that carries messages. */
interface Peer {
  readonly name: string;
  /** As peers.c names it. */
  readonly transport: string;
  /** The processes that work for it. */
  readonly pids: readonly number[];
  /** The kinds of work it can do, if not all. */
  readonly only?: readonly string[];
  stop(): Promise<void>;
}

/** What peers.c is asked to do, and which of its figures the table shows. */
interface Work {
  readonly name: string;
  readonly args: readonly [kind: string, amount: number, count: number];
  readonly figure: string;
  /** Bounds on bus1fs's figure, as multiples of another peer's, for one CPU. */
  readonly goals?: Readonly<Record<string, number>>;
}

type Figures = Readonly<Record<string, number>>;

const KIB = 1024;
const MIB = KIB * KIB;

const call = (name: string, size: number, count: number, goals = {}): Work => ({
  name: `call with ${name} and reply`,
  args: ['call', size, count],
  figure: 'p50',
  goals,
});
const stream = (name: string, size: number, count: number): Work => ({
  name: `messages of ${name} per second`,
  args: ['stream', size, count],
  figure: 'perSecond',
});

const WORK: readonly Work[] = [
  call('0 B', 0, 3000),
  call('1 KiB', KIB, 3000, { 'ten floors': 1.15, 'dbus-daemon': 1.3 }),
  call('64 KiB', 64 * KIB, 1500, { 'dbus-daemon': 0.5, 'dbus-broker': 1.2 }),
  call('1 MiB', MIB, 200, { 'dbus-daemon': 0.15, 'dbus-broker': 0.4 }),
  stream('1 KiB', KIB, 20_000),
  stream('64 KiB', 64 * KIB, 3000),
  stream('1 MiB', MIB, 300),
  ...[1, 4, 16, 64].flatMap((n): Work[] => [
    {
      name: `1 KiB to ${n}: sender blocked`,
      args: ['fan', n, 300],
      figure: 'blocked',
      ...(n === 64 && { goals: { 'dbus-daemon delivered': 0.1 } }),
    },
    {
      name: `1 KiB to ${n}: read by the last`,
      args: ['fan', n, 300],
      figure: 'delivered',
      ...(n === 64 && { goals: { 'dbus-daemon': 1 } }),
    },
  ]),
  ...[1, 2, 4, 8, 16].map(
    (n): Work => ({ name: `calls per second of ${n} pairs`, args: ['pairs', n, 1000], figure: 'perSecond' }),
  ),
];
/** The bound on a free-running call, where bus1fs runs with --latency auto. */
const FREE_GOALS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'call with 1 KiB and reply': { 'dbus-daemon': 0.5 },
};

const HAS_SD_BUS = existsSync('/usr/include/systemd/sd-bus.h');
if (!HAS_SD_BUS) console.log('Without sd-bus there are no D-Bus figures; on Debian: apt-get install libsystemd-dev');
const program = compiler.compile('bench/peers.c', 'peers', '-O2', HAS_SD_BUS ? '-lsystemd' : '-DWITHOUT_DBUS');
const floorClient = compiler.compile('bench/client.c', 'client', '-O2');

async function startBus1fs(prefix: readonly string[], latency: string): Promise<Peer> {
  const daemon = await Daemon.start(['--no-link', '--log-level', 'warn', '--latency', latency], [], prefix);
  const { devicePid } = await daemon.status();
  return {
    name: 'bus1fs',
    transport: `bus1:${daemon.device}`,
    pids: [devicePid],
    stop: async () => void (await daemon.stop()),
  };
}

/** All that is installed here; says what is not. */
async function startPeers(prefix: readonly string[], latency: string, mailbox: string): Promise<Peer[]> {
  const peers = [await startBus1fs(prefix, latency)];
  for (const [name, programs, start] of [
    ['dbus-daemon', DBUS_DAEMON, startDbusDaemon],
    ['dbus-broker', DBUS_BROKER, startDbusBroker],
  ] as const) {
    const missing = missingPackages(programs);
    if (missing.length > 0) console.log(`${name} is left out; on Debian: apt-get install ${missing.join(' ')}`);
    else if (HAS_SD_BUS)
      peers.push(await start(prefix).then((bus) => ({ ...bus, name, transport: `dbus:${bus.address}` })));
  }
  const stop = async (): Promise<void> => {};
  return [
    ...peers,
    { name: 'SEQPACKET', transport: 'socket', pids: [], stop },
    { name: 'bare C FUSE', transport: `bus1:${mailbox}`, pids: [], only: ['call', 'fan'], stop },
  ];
}

async function runProgram(prefix: readonly string[], command: readonly string[]): Promise<string> {
  const [first = '', ...rest] = [...prefix, ...command];
  const outcome = await run(first, rest, 120_000);
  if (outcome.status !== 0) throw new Error(`${command.join(' ')}: ${outcome.stderr}`);
  return outcome.stdout;
}

/** One figure of all rounds. */
const figuresOf = (rounds: readonly Figures[], figure: string): number[] =>
  rounds.map((figures) => figures[figure] ?? Number.NaN);

interface Placement {
  readonly title: string;
  readonly file: string;
  readonly prefix: readonly string[];
  readonly latency: string;
  readonly goalsOf: (work: Work) => Readonly<Record<string, number>>;
}

/** Figures of each peer by what it did, round by round. */
type Results = Map<Work, Map<string, readonly Figures[]>>;

async function measure({ prefix, latency }: Placement): Promise<Results> {
  const floor = await startFloor(prefix);
  const peers = await startPeers(prefix, latency, floor.mailbox);
  const samples = new Map<string, Figures[]>();
  const kinds = [...new Map(WORK.map((work) => [work.args.join(' '), work.args])).entries()];
  try {
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [kind, [what, amount, count]] of kinds) {
        const add = (name: string, figures: Figures): void => {
          if (round === 0) return; // it warms up
          samples.set(`${kind} ${name}`, [...(samples.get(`${kind} ${name}`) ?? []), figures]);
        };
        const nanoseconds = Number(await runProgram(prefix, [floorClient, 'floor', floor.file]));
        add('ten floors', { p50: nanoseconds / 100 });
        for (const { name, transport, pids, only } of peers) {
          if (only !== undefined && !only.includes(what)) continue;
          const command = [program, transport, what, `${amount}`, `${count}`, ...pids.map(String)];
          add(name, JSON.parse(await runProgram(prefix, command)) as Figures);
          if (latency !== 'off') await sleep(REST_MS);
        }
      }
    }
  } finally {
    for (const peer of peers) await peer.stop();
    await floor.stop();
  }
  const names = ['ten floors', ...peers.map(({ name }) => name)];
  return new Map(
    WORK.map((work) => [
      work,
      new Map(names.map((name) => [name, samples.get(`${work.args.join(' ')} ${name}`) ?? []])),
    ]),
  );
}

/** What is told of a call besides its median. */
const CALL_FIGURES = ['client', 'service', 'daemon', 'p99', 'p999', 'max'];

const round = (value: number): number | string =>
  Number.isNaN(value) ? '' : Number(value.toPrecision(value >= 1000 ? 4 : 3));

/**
 * bus1fs's figure as a multiple of another peer's, which may be a different figure if its name says so. Round by round, since
 * the machine's mood changes; then the median.
 */
function ratioTo(against: string, { figure }: Work, of: ReadonlyMap<string, readonly Figures[]>): number {
  const [peer = '', other = figure] = of.has(against) ? [against] : against.split(' ');
  const own = figuresOf(of.get('bus1fs') ?? [], figure);
  const theirs = figuresOf(of.get(peer) ?? [], other);
  return median(own.map((value, i) => value / (theirs[i] ?? Number.NaN)));
}

function report({ title, file, goalsOf }: Placement, results: Results): void {
  const [first = new Map<string, readonly Figures[]>()] = results.values();
  const peers = [...first.keys()].filter((name) => name !== 'ten floors');
  const rows: (string | number)[][] = [['', ...peers, ...peers.slice(1).map((name) => `/ ${name}`), 'goals']];
  const middle = (of: ReadonlyMap<string, readonly Figures[]>, peer: string, figure: string): number =>
    median(figuresOf(of.get(peer) ?? [], figure));
  for (const [work, of] of results) {
    const goals = Object.entries(goalsOf(work)).map(([against, bound]) => {
      const ratio = ratioTo(against, work, of);
      return Number.isNaN(ratio)
        ? ''
        : `${round(ratio)} of ${against}: ${ratio <= bound ? 'within' : 'ABOVE'} ${bound}`;
    });
    rows.push([
      work.name,
      ...peers.map((name) => round(middle(of, name, work.figure))),
      ...peers.slice(1).map((name) => round(ratioTo(name, work, of))),
      goals.join(', '),
    ]);
  }
  console.log(`\n${title}; µs unless said otherwise, medians of ${ROUNDS} rounds\n`);
  console.log(formatTable(rows));
  const shares: (string | number)[][] = [['', ...CALL_FIGURES]];
  for (const [{ name, args }, of] of results) {
    if (args[0] !== 'call') continue;
    for (const peer of peers) {
      shares.push([`${name}: ${peer}`, ...CALL_FIGURES.map((figure) => round(middle(of, peer, figure)))]);
    }
  }
  console.log('\nCPU time of client, service and daemon for each call, and the slowest calls\n');
  console.log(formatTable(shares));
  const groups = new Map(
    [...results]
      .filter(([{ figure }]) => figure !== 'perSecond')
      .map(([work, of]) => [work.name, peers.map((label) => ({ label, value: middle(of, label, work.figure) }))]),
  );
  writeFileSync(join(directory, `${file}.svg`), barChart(title, 'µs, less is better', groups));
}

const PLACEMENTS: readonly Placement[] = [
  {
    title: 'All on one CPU',
    file: 'peers-one-cpu',
    prefix: ['taskset', '-c', '0'],
    latency: 'off',
    goalsOf: ({ goals = {} }) => goals,
  },
  {
    title: 'Free to run anywhere, bus1fs with --latency auto',
    file: 'peers-free',
    prefix: [],
    latency: 'auto',
    goalsOf: ({ name }) => FREE_GOALS[name] ?? {},
  },
];

mkdirSync(directory, { recursive: true });
const json: Record<string, unknown> = {
  kernel: release(),
  node: process.version,
  cpus: cpus().length,
  model: cpus()[0]?.model,
  rounds: ROUNDS,
};
for (const placement of PLACEMENTS) {
  const results = await measure(placement);
  report(placement, results);
  json[placement.file] = Object.fromEntries(
    [...results].map(([{ name, args, figure }, of]) => [name, { args, figure, ...Object.fromEntries(of) }]),
  );
}
writeFileSync(join(directory, 'peers.json'), `${JSON.stringify(json, undefined, 2)}\n`);
console.log(`\nWrote peers.json and the charts to ${directory}`);
