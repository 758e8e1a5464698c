import { parseArgs } from 'node:util';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { heldBy, isUnused, statusOf } from '../support/engine.js';
import { eventually } from '../support/eventually.js';

/*
 * Says to the device all that its grammar has, right and wrong, from processes that come and go, and looks what is left in the
 * end. The seed that is printed makes the same choices again; with one worker, the same run.
 *
 *   npm run fuzz [-- --seconds 50] [--seed S] [--workers 6]
 */

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '50' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 1_000_000)}` },
    workers: { type: 'string', default: '6' },
  },
});
const MS = Number(values.seconds) * 1000;
/** How long what hangs may take beyond that. */
const GRACE_MS = 30_000;
/** Low enough to be reached, in many ways. */
const LIMITS = ['--max-slices=400', '--max-handles=600', '--max-inflight-bytes=1000000', '--max-inflight-fds=100'];

const program = compiler.compile('fuzz/fuzz.c', 'fuzz');
const problems: string[] = [];
const daemon = await Daemon.start(['--no-link', ...LIMITS]);
const enginePid = (await statusOf(daemon))?.devicePid as number;
const before = heldBy(enginePid);

console.log(`seed ${values.seed}`);
const outcome = await run(program, [daemon.device, values.seed, `${MS}`, values.workers], MS + GRACE_MS);
process.stdout.write(outcome.stdout);
if (outcome.status !== 0) problems.push(outcome.stderr.trim() || 'what commands answer is not what they may answer');
try {
  await eventually(() => isUnused(daemon), 'no peer is left, and nothing is in use');
  await eventually(() => heldBy(enginePid).descriptors <= before.descriptors, 'no descriptor is left');
  await eventually(() => heldBy(enginePid).pools === before.pools, 'no pool is left');
} catch (error) {
  problems.push((error as Error).message);
}
for (const line of daemon.log.split('\n')) if (/internal error|giving up|died/.test(line)) problems.push(line);
await daemon.stop().catch((error: Error) => problems.push(error.message));

for (const problem of problems) console.log(`FAILED: ${problem}`);
if (problems.length === 0) console.log('ok: no internal error, the daemon lives, and nothing is left');
process.exitCode = problems.length === 0 ? 0 : 1;
