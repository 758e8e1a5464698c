import { ignoreSignals } from '../linux/signals.js';

const ENDING = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGXCPU', 'SIGHUP'] as const;
/** Ctrl-Z. */
const STOPPING = ['SIGTSTP'] as const;

/**
 * Takes over the signals of a process that must not end by one: those that ask it to end call `end`, except that SIGHUP
 * calls `reopen` where there is one; all others are ignored. Returns what gives those back that `end` was called for.
 */
export function takeSignals(end: (signal: NodeJS.Signals) => void, reopen?: () => void): () => void {
  const handlers = ENDING.map((signal) => {
    const handler = signal === 'SIGHUP' && reopen !== undefined ? reopen : () => end(signal);
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  ignoreSignals([...ENDING, ...STOPPING]);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
