import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { ExpectedError, UsageError } from '../base/expected-error.js';
import { writeAll } from '../base/log-output.js';
import { DEFAULT_LIMITS, DEFAULT_MAX_PEERS } from '../bus/quota.js';
import { groupId } from '../linux/group.js';
import { exitNow } from '../linux/process.js';
import { LATENCY_MODES } from '../supervisor/latency.js';
import { canonicalPath } from '../supervisor/mount-point.js';
import { supervise } from '../supervisor/supervisor.js';
import { announceDaemon, isDaemon, startDaemon } from './daemon.js';
import { logOptions, withLog } from './log-options.js';
import { withDirectory } from './mount-argument.js';

const INT_MAX = 0x7fff_ffff;
const GID_MAX = 0xffff_fffe;
const LIMITS = [
  'max-peers',
  'max-hands',
  'max-slices',
  'max-handles',
  'max-inflight-bytes',
  'max-inflight-fds',
  'max-held-bytes',
  'max-total-held-bytes',
] as const;
/** The largest value of each; others go to clients as 32-bit numbers. */
const MOST: Partial<Record<(typeof LIMITS)[number], number>> = {
  'max-held-bytes': Number.MAX_SAFE_INTEGER,
  'max-total-held-bytes': Number.MAX_SAFE_INTEGER,
};
const LOG_FILE = '/var/log/bus1fs.log';
const STDOUT = 1;
/** Clients pass through the directories that are made for the mount. */
const UMASK = 0o022;

const limit = (describe: string, fallback: number) =>
  ({ describe, type: 'number', default: fallback, requiresArg: true, group: 'Limits of each user:' }) as const;

function userIds(values: readonly (string | number)[]): number[] {
  const stranger = values.find((value) => !/^\d+$/.test(`${value}`));
  if (stranger !== undefined) throw new ExpectedError(`--trust-uid takes a numeric user id, not ${stranger}`);
  return values.map(Number);
}

export const addMount = (cli: Argv): Argv =>
  cli.command(
    'mount [directory]',
    'mount the device and serve it, in the foreground',
    (args) =>
      withLog(withDirectory(args))
        .option('link', {
          describe: 'a symlink to the device; --no-link for none',
          type: 'string',
          default: '/dev/bus1',
          requiresArg: true,
        })
        .option('mode', {
          describe: 'who may open the device, in octal as for chmod',
          type: 'string',
          default: '0666',
          requiresArg: true,
        })
        .option('group', {
          describe: "the device's group, by name or number",
          type: 'string',
          default: '0',
          requiresArg: true,
        })
        .option('daemon', { describe: 'return once the device is usable', type: 'boolean', default: false })
        .option('log-file', {
          describe: 'where --daemon logs to; SIGHUP opens it anew',
          type: 'string',
          defaultDescription: JSON.stringify(LOG_FILE),
          requiresArg: true,
        })
        .option('latency', {
          describe: 'keep CPUs awake: while there is traffic, always, never',
          choices: LATENCY_MODES,
          default: 'auto' as const,
          requiresArg: true,
        })
        .option('restart', {
          describe: 'let another process take over if the one that serves dies',
          type: 'boolean',
          default: true,
        })
        .option('max-peers', limit('open files', DEFAULT_MAX_PEERS))
        .option('max-hands', limit('calls that wait for slow memory at once', 16))
        .option('trust-uid', {
          describe: 'reach the memory of this user directly: faster, but it can stop the bus',
          type: 'array',
          default: [],
          requiresArg: true,
          coerce: userIds,
        })
        .option('max-slices', limit('messages received and not yet released, or waiting', DEFAULT_LIMITS.slices))
        .option('max-handles', limit('handles, nodes included', DEFAULT_LIMITS.handles))
        .option('max-inflight-bytes', limit('bytes sent and not yet received', DEFAULT_LIMITS.inflightBytes))
        .option('max-inflight-fds', limit('descriptors sent and not yet received', DEFAULT_LIMITS.inflightFds))
        .option('max-held-bytes', {
          describe: 'bytes of messages received and not yet released, or waiting',
          type: 'number',
          defaultDescription: 'half of --max-total-held-bytes',
          requiresArg: true,
          group: 'Limits of each user:',
        })
        .option('max-total-held-bytes', {
          describe: 'the same of all users; one may have half of what is left',
          type: 'number',
          defaultDescription: 'three quarters of the memory limit',
          requiresArg: true,
        })
        .check((argv) => {
          for (const name of LIMITS) {
            const value = argv[name];
            const most = MOST[name] ?? INT_MAX;
            if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= most)) continue;
            throw new UsageError(`--${name} takes a whole number from 0 to ${most}`);
          }
          if (argv['log-file'] !== undefined && !argv.daemon) {
            throw new UsageError('--log-file is for --daemon; in the foreground the log is standard error');
          }
          return true;
        })
        .example([
          ['$0 mount', 'serve /run/bus1/bus1, linked from /dev/bus1, until Ctrl-C'],
          ['$0 mount --daemon', 'the same in the background'],
          ['$0 mount /run/bus/bus1 --no-link', 'elsewhere, for containers that get /run/bus'],
          ['$0 mount --mode 0660 --group bus', 'for members of a group only'],
        ])
        .epilogue(
          'SIGTERM, SIGINT, SIGQUIT and SIGHUP unmount and end it, as bus1fs umount does; a --daemon takes SIGHUP as a ' +
            'request to open its --log-file anew. Other signals are ignored.',
        ),
    async (argv) => {
      const device = { mode: parseMode(argv.mode), uid: 0, gid: parseGroup(argv.group) };
      const logFile = argv.daemon ? resolve(argv.logFile ?? LOG_FILE) : undefined;
      if (logFile !== undefined && !isDaemon()) process.exit(await startDaemon(logFile));
      const directory = canonicalPath(argv.directory);
      const link = (argv.link as string | false) ? resolve(argv.link) : undefined;
      if (logFile !== undefined) process.chdir('/'); // the file system that it was started on can be unmounted
      process.umask(UMASK);
      const status = await supervise({
        directory,
        link,
        device,
        limits: {
          peers: argv.maxPeers,
          slices: argv.maxSlices,
          handles: argv.maxHandles,
          inflightBytes: argv.maxInflightBytes,
          inflightFds: argv.maxInflightFds,
          heldBytes: argv.maxHeldBytes,
        },
        restarts: argv.restart,
        totalHeldBytes: argv.maxTotalHeldBytes,
        maxHands: argv.maxHands,
        trustedUids: argv.trustUid,
        latency: argv.latency,
        log: logOptions(argv),
        logFile,
        announce: logFile === undefined ? announce : announceDaemon,
      });
      exitNow(status);
    },
  );

/** Whether anybody reads it makes no difference. */
async function announce(text: string): Promise<boolean> {
  writeAll(STDOUT, Buffer.from(text));
  return true;
}

function parseMode(text: string): number {
  if (!/^[0-7]{1,4}$/.test(text) || Number.parseInt(text, 8) > 0o777) {
    throw new UsageError('--mode takes permissions in octal, 0660 say');
  }
  return Number.parseInt(text, 8);
}

function parseGroup(text: string): number {
  const gid = /^\d+$/.test(text) ? Number(text) : groupId(text);
  if (gid === undefined || gid > GID_MAX) throw new ExpectedError(`there is no group ${text}`);
  return gid;
}
