import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fstatSync, openSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Argv } from 'yargs';
import { ExpectedError } from '../base/expected-error.js';
import { DEFAULT_LIMITS } from '../bus/quota.js';
import { LATENCY_MODES } from '../supervisor/latency.js';
import { supervise } from '../supervisor/supervisor.js';
import { logOptions, withLog } from './log-options.js';
import { withDirectory } from './mount-argument.js';

const INT_MAX = 0x7fff_ffff;
const LIMITS = ['max-hands', 'max-slices', 'max-handles', 'max-inflight-bytes', 'max-inflight-fds'] as const;

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
        .option('daemon', { describe: 'return once the device is usable', type: 'boolean', default: false })
        .option('log-file', {
          describe: 'where --daemon logs to',
          type: 'string',
          default: '/var/log/bus1fs.log',
          requiresArg: true,
        })
        .option('latency', {
          describe: 'keep CPUs awake: while there is traffic, always, never',
          choices: LATENCY_MODES,
          default: 'auto' as const,
        })
        .option('max-hands', limit('calls that wait for slow memory at once', 16))
        .option('trust-uid', {
          describe: 'reach the memory of this user directly: faster, but it can stop the bus for everybody',
          type: 'array',
          default: [],
          requiresArg: true,
          coerce: userIds,
        })
        .option('max-slices', limit('messages received and not yet released, or waiting', DEFAULT_LIMITS.slices))
        .option('max-handles', limit('handles, nodes included', DEFAULT_LIMITS.handles))
        .option('max-inflight-bytes', limit('bytes sent and not yet received', DEFAULT_LIMITS.inflightBytes))
        .option('max-inflight-fds', limit('descriptors sent and not yet received', DEFAULT_LIMITS.inflightFds))
        .check((argv) => {
          const wrong = LIMITS.find(
            (name) => !(Number.isInteger(argv[name]) && argv[name] >= 0 && argv[name] <= INT_MAX),
          );
          if (wrong !== undefined) throw new ExpectedError(`--${wrong} takes a whole number from 0 to ${INT_MAX}`);
          return true;
        }),
    async (argv) => {
      if (argv.daemon) return daemonize(argv.logFile);
      process.exitCode = await supervise({
        directory: argv.directory,
        link: (argv.link as string | false) || undefined,
        limits: {
          slices: argv.maxSlices,
          handles: argv.maxHandles,
          inflightBytes: argv.maxInflightBytes,
          inflightFds: argv.maxInflightFds,
        },
        maxHands: argv.maxHands,
        trustedUids: argv.trustUid,
        latency: argv.latency,
        log: logOptions(argv),
      });
      // The signal handlers would keep an idle event loop alive.
      process.exit();
    },
  );

/**
 * Starts the same command in a session of its own, with `logFile` for its standard error, and waits for its first
 * line, which says that it is ready.
 */
async function daemonize(logFile: string): Promise<void> {
  const log = openSync(logFile, 'a+', 0o640);
  const { size } = fstatSync(log);
  const args = process.argv.slice(1).filter((argument) => argument !== '--daemon');
  const child = spawn(process.execPath, [...process.execArgv, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
  });
  const line = await Promise.race([once(child.stdout as Readable, 'data'), once(child, 'exit').then(() => undefined)]);
  if (line !== undefined) process.stdout.write(line[0] as Buffer);
  else process.stderr.write(readFileSync(logFile).subarray(size));
  process.exit(line !== undefined ? 0 : 1);
}
