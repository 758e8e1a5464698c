import type { Logger } from 'pino';
import { ExpectedError } from '../base/expected-error.js';
import { type Condition, circumstances, type Deed, preconditions } from './conditions.js';
import type { Finding } from './finding.js';
import { trial } from './trial.js';

/**
 * Tells whether bus1fs can run here: by trying it, and by looking at what a trial cannot show or explains why it fails.
 * `command` is bus1fs. Puts the calling thread into a mount namespace of its own, if it may.
 */
export async function examine(command: readonly string[]): Promise<readonly Finding[]> {
  const conditions = [...preconditions(), ...circumstances()];
  const findings: Finding[] = conditions.map(({ what, state, found, advice }) => {
    return { what, state, found, advice: state === 'ok' ? '' : advice };
  });
  for await (const finding of trial(command, (deeds) => explain(conditions, deeds))) findings.push(finding);
  return findings;
}

/** What stands in the way of serving, or of serving everybody, as far as that can be told at once. */
export const preflight = (): readonly Finding[] => preconditions().filter(({ state }) => state !== 'ok');

/** Warns of what will not work for everybody. Throws if nothing can. */
export function assertCanServe(log: Logger): void {
  const findings = preflight();
  const missing = findings.filter(({ state }) => state === 'missing');
  if (missing[0] !== undefined) {
    const names = missing.map(({ what, found }) => `${what} (${found})`).join(', ');
    throw new ExpectedError(`nobody could be served: ${names}. ${missing[0].advice} See: bus1fs doctor`);
  }
  for (const { what, found, advice } of findings) log.warn({ what, found }, advice);
}

/** Names the conditions that may be the cause when one of `deeds` fails. */
function explain(conditions: readonly Condition[], deeds: readonly Deed[]): string {
  const causes = conditions.filter(
    ({ state, refuses }) => state !== 'ok' && refuses.some((deed) => deeds.includes(deed)),
  );
  const names = causes.map(({ what, found }) => `${what} (${found})`);
  return names.length === 0 ? '' : `Likely because of ${names.join(', ')}: see there.`;
}
