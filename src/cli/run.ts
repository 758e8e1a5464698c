import { readFileSync } from 'node:fs';
import type { Argv } from 'yargs';
import { Errno, errnoName } from '../base/errno.js';
import { ExpectedError, UsageError } from '../base/expected-error.js';
import { NULL_DISCONNECT_FILTER } from '../containers/disconnect-filter.js';
import { answerNotification } from '../containers/disconnect-notification.js';
import { Poller } from '../linux/poller.js';
import { PR_SET_NO_NEW_PRIVS, prctl } from '../linux/process.js';
import { watchRealtimeSignals } from '../linux/realtime-signals.js';
import { installFilter } from '../linux/seccomp.js';
import { PASSED_SIGNALS, Program } from './program.js';

/** What env(1), nohup(1) and shells exit with when a command cannot be run. */
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/** In a command line for `run`, puts -- before the program, so that its options are its own. */
export const separateProgram = (args: readonly string[]): readonly string[] =>
  args[0] === 'run' && args[1] !== undefined && !args[1].startsWith('-') ? ['run', '--', ...args.slice(1)] : args;

export const addRun = (cli: Argv): Argv =>
  cli.command(
    'run',
    'run a program for which PEER_DISCONNECT with NULL works too',
    (args) =>
      args
        .usage('$0 run PROGRAM [ARGUMENT…]')
        .example('$0 run ./server --port 80', 'run it; its options are its own')
        .epilogue(
          'Every signal that can be passed on is passed on to the program. Exit status: that of the program, 128 and the ' +
            'number of the signal that ended it, 127 if it was not found, 126 if it could not be run.',
        ),
    async (argv) => {
      const { length } = (argv['--'] as string[] | undefined) ?? [];
      if (length === 0) throw new UsageError('say what to run: bus1fs run PROGRAM [ARGUMENT…]');
      process.exitCode = await runUnderFilter(lastArguments(length));
    },
  );

/** The last `n` arguments of this process as they were given; argv has them decoded, which loses what is not UTF-8. */
const lastArguments = (n: number): readonly Uint8Array[] =>
  readFileSync('/proc/self/cmdline', 'latin1')
    .split('\0')
    .slice(-n - 1, -1)
    .map((argument) => Buffer.from(argument, 'latin1'));

/** Runs a program under the filter and answers what it reports. Resolves to the exit status a shell would give it. */
async function runUnderFilter(command: readonly Uint8Array[]): Promise<number> {
  const poller = new Poller();
  const listener = listen();
  poller.watch(listener, () => answerNotification(listener));
  const program = new Program(() => poller.stop());
  // Before there is a program, so that none comes too early: they are handled when this function waits, and then there is one.
  for (const [number, name] of PASSED_SIGNALS) process.on(name, () => program.pass(number));
  watchRealtimeSignals(poller, (number) => program.pass(number));
  process.on('SIGCHLD', () => program.collect());
  // The filter is that of this thread, and the program starts from it.
  const error = program.start(command);
  if (error !== 0) {
    console.error(`bus1fs: spawn ${command[0]} ${errnoName(error)}`);
    return error === -Errno.ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
  }
  await poller.run();
  return program.status;
}

function listen(): number {
  let listener = installFilter(NULL_DISCONNECT_FILTER);
  if (listener === -Errno.EACCES) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    listener = installFilter(NULL_DISCONNECT_FILTER);
  }
  if (listener >= 0) return listener;
  throw new ExpectedError(
    listener === -Errno.EBUSY
      ? 'a supervisor of system calls is at work here already (another bus1fs run, or the seccomp agent of a container runtime), and there can be one only'
      : `installing a seccomp filter failed with ${errnoName(listener)}`,
  );
}
