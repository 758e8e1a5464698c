import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { getSystemErrorName } from 'node:util';
import { Errno } from '../base/errno.js';
import { messageOf } from '../base/expected-error.js';
import { FUSE_PASSTHROUGH_FLAGS2, InitIn } from '../fuse/fuse-abi.js';
import { MNT_DETACH, mount, unmount } from '../linux/mount-table.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import type { Deed } from './conditions.js';
import type { Finding } from './finding.js';
import { FILE_SYSTEM_TYPE } from './mount-point.js';
import { TrialDaemon } from './trial-daemon.js';
import { trialDirectory } from './trial-directory.js';

/** What a client of the trial does, in this order. */
export type TrialStep = 'user' | 'open' | 'stat' | 'transfer' | 'send' | 'poll' | 'receive' | 'map' | 'descriptor';

/** A line of a client's standard output. */
export interface TrialReport {
  readonly step: TrialStep;
  readonly state: 'begun' | 'done' | 'failed';
  /** Of a failure: a negative errno, or what was wrong. */
  readonly why?: number | string;
}

/** What a step is called, and what the daemon does for it that the system may refuse. */
const STEPS: Readonly<Record<TrialStep, { readonly title: string; readonly deeds: readonly Deed[] }>> = {
  user: { title: 'setuid()', deeds: [] },
  open: { title: 'open()', deeds: ['pool', 'look'] },
  stat: { title: 'stat()', deeds: ['look'] },
  transfer: { title: 'HANDLE_TRANSFER', deeds: ['look'] },
  send: { title: 'SEND', deeds: ['reach'] },
  poll: { title: 'poll()', deeds: [] },
  receive: { title: 'RECV', deeds: ['reach', 'install'] },
  map: { title: 'mmap()', deeds: ['pool'] },
  descriptor: { title: 'received descriptor', deeds: ['install'] },
};

/** What the failure of a deed may come from; empty if nothing is known. */
export type Explain = (deeds: readonly Deed[]) => string;

/** `nobody` of most systems. */
const ANOTHER_USER = 65534;
const CLIENT = fileURLToPath(new URL('./trial-client.js', import.meta.url));
const CLIENT_TIMEOUT_MS = 10_000;

const ok = (what: string, found: string): Finding => ({ what, state: 'ok', found, advice: '' });

const missing = (what: string, found: string, ...advice: readonly string[]): Finding => ({
  what,
  state: 'missing',
  found,
  advice: advice.filter(Boolean).join(' ') || 'Nothing that bus1fs knows explains this; please report it.',
});

/**
 * Serves a bus that nobody else sees, with the privileges of this process, and lets clients of root and of another user
 * use it. Each step is a finding; those after one that failed are not tried, but the other client is.
 *
 * `command` is bus1fs. Puts the calling thread into a mount namespace of its own, if it may.
 */
export async function* trial(command: readonly string[], explain: Explain): AsyncGenerator<Finding> {
  let directory: ReturnType<typeof trialDirectory>;
  try {
    directory = trialDirectory([process.execPath, CLIENT]);
  } catch (error) {
    const advice = 'Make one of these writable, or name another with TMPDIR; in a container: docker run --tmpfs /run.';
    return yield missing('a directory to mount on', messageOf(error), advice);
  }
  try {
    const findings = mounting(directory.path, explain);
    yield* findings;
    if (findings.every(({ state }) => state === 'ok')) yield* serving(command, directory.path, explain);
  } finally {
    directory.remove();
  }
}

/** Mounts without serving, and looks at what the kernel offers in its first request. */
function mounting(directory: string, explain: Explain): readonly Finding[] {
  let fuse: number;
  try {
    fuse = openSync('/dev/fuse', 'r+');
  } catch (error) {
    const mayNot = (error as NodeJS.ErrnoException).code === 'EACCES';
    const advice = mayNot ? 'Run as root.' : 'Load it (modprobe fuse); in a container: docker run --device /dev/fuse.';
    return [missing('/dev/fuse', messageOf(error), advice)];
  }
  const opened = ok('/dev/fuse', 'can be opened');
  try {
    const data = `fd=${fuse},rootmode=40755,user_id=0,group_id=0`;
    const error = mount('bus1fs-doctor', directory, FILE_SYSTEM_TYPE, 0, data);
    if (error < 0) {
      const deed = error === -Errno.EACCES ? 'confined mount' : 'mount';
      return [opened, missing('mount()', getSystemErrorName(error), explain([deed]))];
    }
    const request = new NativeBuffer(8192);
    readSync(fuse, request.u8);
    unmount(directory, MNT_DETACH);
    const isOffered = (request.u32(InitIn.flags2) & FUSE_PASSTHROUGH_FLAGS2) !== 0;
    const advice = 'The kernel must be built with CONFIG_FUSE_PASSTHROUGH.';
    return [
      opened,
      ok('mount()', 'works'),
      isOffered ? ok('passthrough', 'offered') : missing('passthrough', 'not offered', explain(['pool']), advice),
    ];
  } finally {
    closeSync(fuse);
  }
}

async function* serving(command: readonly string[], directory: string, explain: Explain): AsyncGenerator<Finding> {
  const daemon = new TrialDaemon(command, directory);
  try {
    if (await daemon.isReady()) {
      yield ok('daemon', 'serves');
      yield* await client('root', daemon, explain);
      if (!daemon.isAborted) yield* await client(`user ${ANOTHER_USER}`, daemon, explain, ANOTHER_USER);
    } else {
      yield missing('daemon', daemon.complaint() || 'does not get ready', explain(['pool', 'look', 'reach']));
    }
  } finally {
    await daemon.stop();
  }
}

/** Runs a client, as another user if `uid` is given, and tells what its steps came to. */
async function client(who: string, daemon: TrialDaemon, explain: Explain, uid?: number): Promise<readonly Finding[]> {
  const args = [CLIENT, daemon.device, ...(uid === undefined ? [] : [`${uid}`])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].on('data', (data) => {
      output[stream] += data;
    });
  }
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    daemon.abort(); // or a client that waits for its answer would live on
  }, CLIENT_TIMEOUT_MS);
  await once(child, 'close');
  clearTimeout(timer);

  const reports = output.stdout.split('\n').filter(Boolean);
  const steps = reports.map((line) => JSON.parse(line) as TrialReport);
  const last = steps.at(-1);
  const silence = output.stderr.trim() || 'does not end';
  if (last === undefined) return [missing(who, silence)];
  if (last.state === 'begun') steps.push({ ...last, state: 'failed', why: silence });
  return steps.filter(({ state }) => state !== 'begun').map((report) => judge(who, report, daemon, explain));
}

function judge(who: string, { step, state, why }: TrialReport, daemon: TrialDaemon, explain: Explain): Finding {
  const { title, deeds } = STEPS[step];
  const what = `${who}: ${title}`;
  if (state === 'done') return ok(what, 'works');
  const found = typeof why === 'number' ? getSystemErrorName(why) : `${why}`;
  if (step !== 'user') return missing(what, found, explain(deeds), daemon.complaint());
  const advice =
    'Clients of another user were not tried: that takes CAP_SETUID and CAP_SETGID, which the daemon itself does not ' +
    'need. They are served if CAP_DAC_OVERRIDE is there.';
  return { what, state: 'limited', found, advice };
}
