import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../bench/statistics.js';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { type Held, heldBy, isUnused, statusOf } from '../support/engine.js';
import { eventually } from '../support/eventually.js';
import { lineChart } from './line-chart.js';

/*
 * Traffic whose order and content are checked, for as long as you like, while its participants are killed and come back; and
 * what the engine holds meanwhile, as a chart.
 *
 *   npm run soak [-- --minutes 1] [--seed S] [--directory DIRECTORY]     writes DIRECTORY/soak.svg; without one, to a
 *                                                                      temporary one if something is wrong
 */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '0.8' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 1_000_000)}` },
    directory: { type: 'string' },
  },
});
const MS = Number(values.minutes) * 60_000;
/** How long what hangs may take beyond that. */
const GRACE_MS = 60_000;
const SAMPLE_MS = 500;
/** What the engine may hold more of in the last quarter of the time than in the second one. */
const GROWTH = { memory: 30, descriptors: 100, mappings: 200 } as const;

const program = compiler.compile('soak/soak.c', 'soak');
const problems: string[] = [];
const daemon = await Daemon.start(['--no-link']);
const enginePid = (await statusOf(daemon))?.devicePid as number;
const before = heldBy(enginePid);
const samples: Held[] = [];

console.log(`seed ${values.seed}`);
const timer = setInterval(() => {
  try {
    samples.push(heldBy(enginePid));
  } catch {
    clearInterval(timer); // the engine is gone
  }
}, SAMPLE_MS);
const outcome = await run(program, [daemon.device, values.seed, `${MS}`], MS + GRACE_MS);
clearInterval(timer);
process.stdout.write(outcome.stdout);
if (outcome.status !== 0) problems.push(outcome.stderr.trim() || 'order or content is not what it must be');
try {
  await eventually(() => isUnused(daemon), 'no peer is left, and nothing is in use');
  await eventually(() => heldBy(enginePid).descriptors <= before.descriptors, 'no descriptor is left');
  await eventually(() => heldBy(enginePid).pools === before.pools, 'no pool is left');
} catch (error) {
  problems.push((error as Error).message);
}
for (const line of daemon.log.split('\n')) if (/internal error|giving up|died/.test(line)) problems.push(line);
await daemon.stop().catch((error: Error) => problems.push(error.message));

const quarter = Math.floor(samples.length / 4);
for (const [what, most] of Object.entries(GROWTH) as [keyof typeof GROWTH, number][]) {
  const [early, late] = [samples.slice(quarter, 2 * quarter), samples.slice(3 * quarter)].map((part) =>
    median(part.map((held) => held[what])),
  ) as [number, number];
  if (late - early > most) problems.push(`${what} grows: from ${Math.round(early)} to ${Math.round(late)}`);
}
const directory = values.directory ?? (problems.length > 0 ? mkdtempSync(join(tmpdir(), 'bus1fs-soak-')) : undefined);
if (directory !== undefined) {
  mkdirSync(directory, { recursive: true });
  const chart = join(directory, 'soak.svg');
  const series = [
    { name: 'resident memory, MiB', values: samples.map(({ memory }) => memory) },
    { name: 'descriptors', values: samples.map(({ descriptors }) => descriptors) },
    { name: 'mappings', values: samples.map(({ mappings }) => mappings) },
  ];
  writeFileSync(chart, lineChart('What the engine holds', MS / 1000, series));
  console.log(chart);
}
for (const problem of problems) console.log(`FAILED: ${problem}`);
if (problems.length === 0)
  console.log('ok: order and content are right, the daemon lives, and nothing is left or grows');
process.exitCode = problems.length === 0 ? 0 : 1;
