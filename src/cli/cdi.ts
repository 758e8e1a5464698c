import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Argv } from 'yargs';
import { ExpectedError } from '../base/expected-error.js';
import { CDI_DEVICE, cdiSpecification } from '../containers/cdi-specification.js';
import { linkInContainer } from '../containers/link-hook.js';
import { canonicalPath } from '../supervisor/mount-point.js';
import { withDirectory } from './mount-argument.js';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const HOOK = 'cdi-hook';
const STDIN = 0;

export const addCdi = (cli: Argv): Argv =>
  cli
    .command(
      'cdi [directory]',
      `let containers ask for the device by name: --device ${CDI_DEVICE}`,
      (args) =>
        withDirectory(args)
          .option('output', {
            describe: 'where the specification goes; - prints it',
            type: 'string',
            default: '/etc/cdi/bus1fs.json',
            requiresArg: true,
          })
          .option('bind', {
            describe: 'the directory, or one above it, that containers get',
            type: 'string',
            defaultDescription: 'the directory',
            requiresArg: true,
          })
          .option('link', {
            describe: 'the symlink to the device in containers, in /dev',
            type: 'string',
            default: '/dev/bus1',
            requiresArg: true,
          }),
      (argv) => {
        const directory = canonicalPath(argv.directory);
        const bind = argv.bind === undefined ? directory : canonicalPath(argv.bind);
        if (relative(bind, directory).startsWith('..')) throw new ExpectedError(`${directory} is not in ${bind}`);
        if (dirname(argv.link) !== '/dev') throw new ExpectedError('--link takes a path in /dev');
        const hook = [process.execPath, MAIN, HOOK];
        const text = `${JSON.stringify(cdiSpecification({ directory, bind, link: argv.link, hook }), undefined, 2)}\n`;
        if (argv.output === '-') process.stdout.write(text);
        else writeSpecification(resolve(argv.output), text);
      },
    )
    .command(
      HOOK,
      false, // for container runtimes only
      (args) =>
        args
          .option('link', { type: 'string', demandOption: true })
          .option('target', { type: 'string', demandOption: true }),
      ({ link, target }) => linkInContainer(JSON.parse(readFileSync(STDIN, 'utf8')), link, target),
    );

/** An engine may read the directory at any moment, so the file appears whole. */
function writeSpecification(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.new`;
  writeFileSync(draft, text);
  renameSync(draft, path);
  console.log(`wrote ${path}; now: docker run --device ${CDI_DEVICE} …`);
}
