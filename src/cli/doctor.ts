import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Argv } from 'yargs';
import { examine } from '../supervisor/examination.js';
import type { Finding } from '../supervisor/finding.js';
import { formatTable } from './table.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What shells add to the number of the signal that ended a program. */
const SIGNAL_BASE = 128;
const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

export const addDoctor = (cli: Argv): Argv =>
  cli.command(
    'doctor',
    'try whether bus1fs can run here, and say what to do if not',
    (args) =>
      args
        .option('json', { describe: 'print JSON', type: 'boolean', default: false })
        .epilogue(
          'Serves a bus that nobody else sees and lets clients of root and of another user use it. Exit status: 0 if bus1fs ' +
            'can run, perhaps with limits; 1 if something is missing.',
        ),
    async (argv) => {
      // by exit(), so that what was started for the trial ends too
      for (const signal of SIGNALS) process.once(signal, () => process.exit(SIGNAL_BASE + constants.signals[signal]));
      const findings = await examine([process.execPath, ...process.execArgv, MAIN]);
      const isMissing = findings.some(({ state }) => state === 'missing');
      console.log(argv.json ? JSON.stringify({ canRun: !isMissing, findings }, undefined, 2) : format(findings));
      process.exitCode = isMissing ? 1 : 0;
    },
  );

function format(findings: readonly Finding[]): string {
  const rows = findings.map(({ what, state, found }) => [what, state, found]);
  const advice = findings.filter(({ state }) => state !== 'ok').map(({ what, advice }) => `\n${what}: ${advice}`);
  return [formatTable([['WHAT', 'STATE', 'FOUND'], ...rows]), ...advice].join('\n');
}
