import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Argv } from 'yargs';
import { Errno } from '../base/errno.js';
import { ExpectedError } from '../base/expected-error.js';
import { NULL_DISCONNECT_FILTER } from '../containers/disconnect-filter.js';
import { answerNotification } from '../containers/disconnect-notification.js';
import { Poller } from '../linux/poller.js';
import { PR_SET_NO_NEW_PRIVS, prctl } from '../linux/process.js';
import { installFilter } from '../linux/seccomp.js';

/** What env(1), nohup(1) and shells exit with when a command cannot be run. */
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;
const SIGNAL_BASE = 128;

export const addRun = (cli: Argv): Argv =>
  cli.command(
    'run',
    'run -- PROGRAM: run one for which PEER_DISCONNECT with NULL works too',
    (args) => args.usage('$0 run -- PROGRAM [ARGUMENT…]'),
    async (argv) => {
      const [program, ...args] = (argv['--'] as string[] | undefined) ?? [];
      if (program === undefined) throw new ExpectedError('say what to run: bus1fs run -- PROGRAM [ARGUMENT…]');
      process.exitCode = await runUnderFilter(program, args);
    },
  );

/** Runs a program under the filter and answers what it reports. Resolves to the exit status a shell would give it. */
async function runUnderFilter(program: string, args: readonly string[]): Promise<number> {
  const listener = listen();
  const poller = new Poller();
  poller.watch(listener, () => answerNotification(listener));
  // Before there is a program, so that none comes too early: handlers run when this function waits, and then there is one.
  forwardSignals(() => child);
  // The filter is that of this thread, and spawn() starts the child from it.
  const child = spawn(program, args, { stdio: 'inherit' });
  const status = new Promise<number>((ended) => {
    child.once('exit', (code, signal) =>
      ended(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal])),
    );
    child.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      console.error(`bus1fs: ${message}`);
      ended(code === 'ENOENT' ? NOT_FOUND : NOT_EXECUTABLE);
    });
  });
  status.finally(() => poller.stop());
  await poller.run();
  return status;
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
      : `installing a seccomp filter failed with errno ${-listener}`,
  );
}

/** What is sent to this process is meant for the program; a terminal's signals reach that one by themselves. */
function forwardSignals(child: () => ChildProcess): void {
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => child().kill(signal));
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    process.on(signal, () => {
      if (!process.stdin.isTTY) child().kill(signal);
    });
  }
}
