import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatTable } from '../../src/cli/table.js';
import { Daemon, isMounted, run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { statusOf } from '../support/engine.js';
import { temporaryDirectory } from '../support/temporary.js';
import { Bystander, type Notes } from './bystander.js';
import { ATTACKS, type Attack, NOT_YET, titleOf } from './cases.js';
import { Cgroup } from './cgroup.js';

/*
 * Attacks by ordinary users, one after the other, each on a daemon that somebody else uses at the same time. A second daemon,
 * which is not attacked, and its user tell how long calls take on this machine as it is meanwhile.
 *
 *   npm run attack [-- NAME...]     those with one of these in their name; all by default
 */

/** What the longest call of a bystander may take beyond thrice the longest on the daemon that is not attacked, in ms. */
const TOLERANCE_MS = 300;
const LIMIT_MS = 5000;
/** How long the processes of an attack may take to be gone once killed, and the daemon to be as before. */
const END_MS = 5000;
const STEP_MS = 20;
const REST_MS = 600;

const bystanderProgram = compiler.compile('attack/bystander.c', 'bystander');
const programs = {
  memory: compiler.compile('attack/memory.c', 'memory'),
  memory32: compiler.compile('attack/memory.c', 'memory32', '-m32'),
  descriptors: compiler.compile('attack/descriptors.c', 'descriptors'),
  processes: compiler.compile('attack/processes.c', 'processes'),
  limits: compiler.compile('attack/limits.c', 'limits'),
};

/** What an attack came to. */
interface Result {
  readonly attack: Attack;
  readonly notes: Notes;
  /** The longest call on the daemon that was not attacked, in ms. */
  readonly quiet: number;
  readonly killed: readonly string[];
  readonly problems: readonly string[];
}

/** A daemon with somebody who uses it. */
interface Bus {
  readonly daemon: Daemon;
  readonly bystander: Bystander;
  readonly enginePid: number;
  readonly cgroup: Cgroup | undefined;
}

async function startBus({ options = [], memory }: Partial<Attack> = {}): Promise<Bus> {
  const cgroup = memory === undefined ? undefined : Cgroup.create('memory');
  cgroup?.write(cgroup.isV2 ? 'memory.max' : 'memory.limit_in_bytes', `${memory}M`);
  const daemon = await Daemon.start(['--no-link', ...options], [], cgroup?.prefix);
  const bystander = await Bystander.start(bystanderProgram, daemon.device);
  return { daemon, bystander, cgroup, enginePid: (await statusOf(daemon))?.devicePid ?? 0 };
}

/** Returns what went wrong. */
async function stopBus({ daemon, bystander, cgroup }: Bus): Promise<string[]> {
  const problems: string[] = [];
  await daemon.stop().catch((error: Error) => problems.push(error.message.split('\n')[0] ?? ''));
  await bystander.stop();
  await cgroup?.remove();
  return problems;
}

/** Whether nothing is left of the attack, soon. */
async function isAsBefore({ daemon }: Bus): Promise<boolean> {
  for (let ms = 0; ms < END_MS; ms += STEP_MS) {
    const status = await statusOf(daemon);
    if (status?.bus1.peers.every(({ command }) => command === 'bystander')) return true;
    await sleep(STEP_MS);
  }
  return false;
}

/** Processor time of a process, in ms. */
const timeOf = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
};

/** Whether the engine does nothing where there is nothing to do; the bystander of one that died has given up. */
async function isResting(daemon: Daemon): Promise<boolean> {
  const pid = (await statusOf(daemon))?.devicePid;
  if (pid === undefined) return false;
  const before = timeOf(pid);
  await sleep(REST_MS);
  return timeOf(pid) - before < REST_MS / 4;
}

const isGroupGone = (pid: number): boolean => {
  try {
    process.kill(-pid, 0);
    return false;
  } catch {
    return true;
  }
};

/** Kills whatever there is of a process group, and waits until it is gone. */
async function endGroup(pid: number): Promise<boolean> {
  for (let ms = 0; ms < END_MS; ms += STEP_MS) {
    if (isGroupGone(pid)) return true;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      return true;
    }
    await sleep(STEP_MS);
  }
  return false;
}

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** Starts an attack in a process group of its own. */
function start(attack: Attack, device: string, environment: NodeJS.ProcessEnv): ChildProcess {
  const command = ['--pdeathsig', 'KILL', '--', programs[attack.program], device, attack.name];
  return spawn('setpriv', command, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: environment });
}

async function endOf(child: ChildProcess, limit: number): Promise<Ended | undefined> {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (output += data));
  const ended = once(child, 'close').then(([status, signal]) => ({ status, signal, output }) as Ended);
  return Promise.race([ended, sleep(limit, undefined, { ref: false })]);
}

async function carryOut(attack: Attack, bus: Bus, quietBus: Bus, environment: NodeJS.ProcessEnv): Promise<Result> {
  const { daemon, bystander, enginePid } = bus;
  const problems: string[] = [];
  const killed: string[] = [];
  const logged = daemon.log.length;
  if (attack.isAlone) bystander.pause();
  bystander.clear();
  quietBus.bystander.clear();
  const child = start(attack, daemon.device, environment);
  const ending = endOf(child, attack.limit ?? LIMIT_MS);
  if (attack.daemon !== undefined) {
    await sleep(1000);
    if (attack.daemon === 'dies') process.kill(enginePid, 'SIGKILL');
    else await daemon.stop().catch((error: Error) => problems.push(error.message.split('\n')[0] ?? ''));
    if (attack.daemon === 'ends' && isMounted(daemon.directory)) problems.push('still mounted');
  }
  const ended = await ending;
  const notes = bystander.notes;
  const quiet = quietBus.bystander.notes.worst;
  if (!(await endGroup(child.pid as number))) problems.push('its processes cannot be killed');
  if (attack.isAlone) bystander.resume();

  if (ended === undefined) problems.push('it did not end');
  // without a daemon it has nothing to say
  const output = attack.daemon === 'ends' ? '' : (ended?.output ?? '');
  const lines = output.split('\n').filter((line) => line !== '');
  for (const line of lines) (line.startsWith('killed: ') ? killed : problems).push(line.replace(/^killed: /, ''));
  if (ended !== undefined && ended.status !== 0 && attack.daemon !== 'ends' && lines.length === 0) {
    problems.push(`it ended with ${ended.signal ?? ended.status}`);
  }
  if (killed.length > 0) problems.push('somebody was killed');
  if (attack.daemon === undefined) {
    if (!attack.isAlone && notes.worst > 3 * quiet + TOLERANCE_MS) problems.push(`${notes.kind} of others waited`);
    for (const error of notes.errors) problems.push(`calls of others failed with errno ${error}`);
    if (!existsSync(`/proc/${enginePid}`)) killed.push('the daemon');
    if (killed.includes('the daemon')) problems.push('the daemon died');
    else if (!(await isAsBefore(bus))) problems.push('the daemon is not as before');
  }
  if (attack.daemon === 'dies' && !(await isResting(daemon))) problems.push('the engine that took over does not rest');
  if (/internal error|giving up/.test(daemon.log.slice(logged))) problems.push('an internal error');
  return { attack, notes, quiet, killed, problems };
}

const verdictOf = ({ attack, problems }: Result): string => {
  const why = NOT_YET[titleOf(attack)];
  if (problems.length > 0) return `${why === undefined ? 'FAILED' : 'NOT YET'}: ${why ?? problems.join('; ')}`;
  return why === undefined ? 'ok' : 'ok (and listed as NOT YET)';
};

const ms = (value: number): string => value.toFixed(1);

async function main(wanted: readonly string[]): Promise<number> {
  const attacks = ATTACKS.filter(
    (attack) => wanted.length === 0 || wanted.some((part) => titleOf(attack).includes(part)),
  );
  const directory = temporaryDirectory('attack');
  const fuse = join(directory, 'fuse');
  await run('mknod', [fuse, 'c', '10', '229']);
  chmodSync(fuse, 0o666);
  const helper = compiler.compile('attack/set-user-id.c', 'set-user-id', ...HELPER_FLAGS);
  chmodSync(helper, 0o4755);
  const freezer = Cgroup.create('freezer');
  const environment = {
    ...process.env,
    FUSE: fuse,
    SET_USER_ID: helper,
    ...(freezer !== undefined && {
      FREEZER: freezer.path,
      FREEZER_FILE: freezer.isV2 ? 'cgroup.freeze' : 'freezer.state',
      FROZEN: freezer.isV2 ? '1' : 'FROZEN',
      THAWED: freezer.isV2 ? '0' : 'THAWED',
    }),
  };
  const quietBus = await startBus();
  let bus: Bus | undefined;
  const results: Result[] = [];
  try {
    for (const attack of attacks) {
      const isSpecial = attack.options !== undefined || attack.memory !== undefined || attack.daemon !== undefined;
      if (isSpecial && bus !== undefined) {
        await stopBus(bus);
        bus = undefined;
      }
      bus ??= await startBus(attack);
      const result = await carryOut(attack, bus, quietBus, environment);
      results.push(result);
      console.log(`${titleOf(attack).padEnd(56)} ${verdictOf(result)}`);
      if (result.problems.length > 0) for (const problem of result.problems) console.log(`    ${problem}`);
      if (isSpecial || result.problems.length > 0) {
        await stopBus(bus);
        bus = undefined;
      }
    }
  } finally {
    if (bus !== undefined) await stopBus(bus);
    await stopBus(quietBus);
    freezer?.write(freezer.isV2 ? 'cgroup.freeze' : 'freezer.state', freezer.isV2 ? '0' : 'THAWED');
    await freezer?.remove();
  }
  const rows = results.map((result) => {
    const { attack, notes, quiet, killed } = result;
    const beyond = Math.max(0, notes.worst - quiet);
    const times = attack.isAlone || attack.daemon !== undefined ? ['', ''] : [ms(notes.worst), ms(beyond)];
    return [titleOf(attack), ...times, killed.join(', ') || 'nobody', attack.must, verdictOf(result)];
  });
  console.log(
    `\n${formatTable([['attack', "bystander's worst, ms", 'beyond quiet', 'killed', 'must hold', ''], ...rows])}`,
  );
  return results.some((result) => verdictOf(result).startsWith('FAILED')) ? 1 : 0;
}

/** At an address of its own, which processes.c has memory at too. */
const HELPER_FLAGS = ['-static', '-no-pie', '-Wl,--section-start=.zeros=0x10000000'];

process.exitCode = await main(process.argv.slice(2));
