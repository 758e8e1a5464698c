import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { formatTable } from '../../src/cli/table.js';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';
import { missingPackages } from './buses.js';

/*
 * Where the device process spends its time, by the rooms of the house and by function, from samples that perf takes while one
 * client on the same CPU does one thing over and over. What the kernel does for the client itself is not in it.
 *
 *   npm run bench:profile
 */

const CPU = '0';
const FREQUENCY = 5000;
const TOP = 25;
/** Runs of the client until V8 has compiled all it is going to. */
const WARM_UPS = 4;

const LOADS = [
  { name: 'PEER_QUERY', args: ['query'] },
  { name: 'SEND+RECV+SLICE_RELEASE 1 KiB', args: ['cycle', '1024', '1'] },
  { name: 'SEND+RECV+SLICE_RELEASE 64 KiB', args: ['cycle', '65536', '1'] },
  { name: 'SEND 1 KiB to 64, and all RECV+SLICE_RELEASE', args: ['send', '1024', '64'] },
] as const;

/** Where a sample belongs, by the object file and symbol it hit; the first that matches. */
const ROOMS: readonly (readonly [room: string, pattern: RegExp])[] = [
  ['kernel', /\(\[kernel|\(\[vdso/],
  ['bus1/model', /dist\/bus1\/model\//],
  ['bus1, bytes', /dist\/(bus1|bytes|struct)/],
  ['caller', /dist\/caller\//],
  ['fuse', /dist\/fuse\//],
  ['koffi, libc', /koffi|libc|napi_|FunctionCallbackWrapper|CallApiCallback|dist\/linux\//],
  ['garbage collection', /Scaveng|MarkCompact|Heap::|GCTracer/],
  ['V8', /./],
];

const missing = missingPackages({ perf: 'linux-perf' });
if (missing.length > 0) {
  console.error(`perf is missing; on Debian: apt-get install ${missing.join(' ')}`);
  process.exit(1);
}

/** One load, measured. */
interface Column {
  readonly name: string;
  readonly samples: readonly string[];
  /** Of the device process, for each operation. */
  readonly microseconds: number;
}

const client = compiler.compile('bench/client.c', 'client', '-O2');
const pinned = ['taskset', '-c', CPU];
// perf looks for V8's map in /tmp; what else V8 logs with it goes where the rest goes
const options = ['--perf-basic-prof', `--logfile=${join(temporaryDirectory('v8'), 'v8.log')}`];
const daemon = await Daemon.start(['--no-link', '--latency', 'off'], options, pinned);
const { pid, devicePid } = await daemon.status();
try {
  const columns: Column[] = [];
  for (const { name, args } of LOADS) columns.push({ name, ...(await profile(args)) });
  const perOperation = (count: number, { microseconds, samples }: Column): number =>
    Number(((count / samples.length) * microseconds).toFixed(2));
  const rows = ROOMS.map(([room]) => [
    room,
    ...columns.map((column) => perOperation(column.samples.filter((sample) => roomOf(sample) === room).length, column)),
  ]);
  console.log('µs of the device process for each operation\n');
  console.log(
    formatTable([['', ...columns.map(({ name }) => name)], ...rows, ['all', ...columns.map((c) => c.microseconds)]]),
  );
  for (const column of columns) {
    const counts = new Map<string, number>();
    for (const sample of column.samples) counts.set(sample, (counts.get(sample) ?? 0) + 1);
    const top = [...counts].sort(([, a], [, b]) => b - a).slice(0, TOP);
    console.log(`\n${column.name}\n`);
    console.log(formatTable(top.map(([sample, count]) => [perOperation(count, column), shorten(sample)])));
  }
} finally {
  await daemon.stop();
  for (const process of [pid, devicePid]) rmSync(`/tmp/perf-${process}.map`, { force: true });
}

function roomOf(sample: string): string | undefined {
  return ROOMS.find(([, pattern]) => pattern.test(sample))?.[0];
}

/** What the device process hit while the client ran, and the time it used for each of the client's operations. */
async function profile([mode, ...rest]: readonly string[]): Promise<{ samples: string[]; microseconds: number }> {
  const work = [...pinned, client, mode ?? '', daemon.device, ...rest];
  const [command = '', ...args] = work;
  for (let i = 0; i < WARM_UPS; i++) await run(command, args);
  const data = join(temporaryDirectory('perf'), 'data');
  const options = ['record', '--quiet', '--freq', `${FREQUENCY}`, '--pid', `${devicePid}`, '--output', data, '--'];
  const before = await usage();
  await run('perf', [...options, ...work]);
  const after = await usage();
  const { stdout } = await run('perf', ['script', '--input', data, '--fields', 'ip,sym,dso']);
  const samples = stdout
    .split('\n')
    .map((line) => line.replace(/^\s*[0-9a-f]*\s*/, ''))
    .filter(Boolean);
  const operations = (after.ioctls - before.ioctls) / (mode === 'query' ? 1 : 1 + 2 * Number(rest[1]));
  return { samples, microseconds: Number(((after.cpu - before.cpu) / operations).toFixed(2)) };
}

/** CPU time of the device process in microseconds, and the ioctls it has handled. */
async function usage(): Promise<{ cpu: number; ioctls: number }> {
  const { bus1 } = await daemon.status();
  const [nanoseconds = ''] = (await run('cat', [`/proc/${devicePid}/schedstat`])).stdout.split(' ');
  return { cpu: Number(nanoseconds) / 1000, ioctls: bus1.counters.ioctls };
}

/** A JavaScript function without the path of the tree, others as they are. */
function shorten(sample: string): string {
  return sample.replace(/^JS:[*~^]?(\S*) \S*dist\/([^:]+):\d+.*$/, '$1 ($2)');
}
