import type { Argv } from 'yargs';
import { examine } from '../supervisor/examination.js';
import { formatTable } from './table.js';

export const addDoctor = (cli: Argv): Argv =>
  cli.command(
    'doctor',
    'tell whether bus1fs can run here, and what to do if not',
    () => {},
    () => {
      const findings = examine();
      const rows = findings.map(({ what, state, found }) => [what, state, found]);
      console.log(formatTable([['WHAT', 'STATE', 'FOUND'], ...rows]));
      for (const { what, state, advice } of findings) if (state !== 'ok') console.log(`\n${what}: ${advice}`);
      process.exitCode = findings.some(({ state }) => state === 'missing') ? 1 : 0;
    },
  );
