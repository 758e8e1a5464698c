import { fileURLToPath } from 'node:url';
import type { Argv } from 'yargs';

export const addIncludeDir = (cli: Argv): Argv =>
  cli.command(
    'include-dir',
    'print where linux/bus1.h is: cc -I$(bus1fs include-dir)',
    () => {},
    () => console.log(fileURLToPath(new URL('../../include', import.meta.url))),
  );
