import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { spawnProgram } from '../linux/spawn.js';
import { collectChild } from '../linux/wait.js';

/** Signals that are this process's own: what cannot be caught, what tells of children, and what only a fault raises. */
const OWN: ReadonlySet<string> = new Set([
  ...['SIGKILL', 'SIGSTOP', 'SIGCHLD'],
  ...['SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGTRAP', 'SIGSYS'],
]);
/** The signals that a program may be sent through this process, by number; some have two names. */
export const PASSED_SIGNALS = new Map<number, NodeJS.Signals>(
  Object.entries(constants.signals)
    .filter(([name]) => !OWN.has(name))
    .map(([name, number]) => [number, name as NodeJS.Signals]),
);
const { SIGINT, SIGQUIT, SIGTSTP, SIGWINCH, SIGTTIN, SIGTTOU } = constants.signals;
/** What a terminal sends to all processes of the job in its foreground, and of one in the background. */
const FOREGROUND: readonly number[] = [SIGINT, SIGQUIT, SIGTSTP, SIGWINCH];
const BACKGROUND: readonly number[] = [SIGTTIN, SIGTTOU];
const STOPS: readonly number[] = [SIGTSTP, ...BACKGROUND];

/** What shells add the number of a signal to. */
const SIGNAL_BASE = 128;

/** The program that this process stands in for: its child, which gets the signals meant for it. */
export class Program {
  private readonly onEnd: () => void;
  /** 0 before it has started and after it has ended, so that nobody else is signalled in its place. */
  private pid = 0;
  /** How it ended, as a shell would say it. */
  status = 0;

  constructor(onEnd: () => void) {
    this.onEnd = onEnd;
  }

  /** Starts it; what is no program, and can be executed, is taken for a shell script. Returns 0 or a negative errno. */
  start(command: readonly Uint8Array[]): number {
    let pid = spawnProgram(command);
    if (pid === -constants.errno.ENOEXEC) pid = spawnProgram([Buffer.from('/bin/sh'), ...command]);
    if (pid < 0) return pid;
    this.pid = pid;
    return 0;
  }

  /** Passes on a signal that this process got. */
  pass(signal: number): void {
    if (isFromTerminal(signal)) {
      // The program has it already. A shell that watches this process must see the job stopped.
      if (STOPS.includes(signal)) process.kill(process.pid, 'SIGSTOP');
    } else if (this.pid !== 0) {
      try {
        process.kill(this.pid, signal);
      } catch {
        // it has become another user's
      }
    }
  }

  /** To be called on SIGCHLD. Collects orphans too: this process may be the first of a container. */
  collect(): void {
    for (let ended = collectChild(); ended !== undefined; ended = collectChild()) {
      if (ended.pid !== this.pid) continue;
      this.pid = 0;
      this.status = ended.signal === 0 ? ended.exitStatus : SIGNAL_BASE + ended.signal;
      this.onEnd();
    }
  }
}

/** Whether it is likely that a terminal sent a signal, to the program as well as to this process (proc_pid_stat(5)). */
function isFromTerminal(signal: number): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [, , group, , terminal, foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return terminal !== '0' && (group === foreground ? FOREGROUND : BACKGROUND).includes(signal);
}
