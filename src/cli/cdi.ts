import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Argv } from 'yargs';
import { ExpectedError } from '../base/expected-error.js';
import {
  CDI_DEVICE,
  CDI_DIRECTORIES,
  type CdiOptions,
  cdiSpecification,
  readCdiSpecification,
} from '../containers/cdi-specification.js';
import { linkInContainer } from '../containers/link-hook.js';
import { stablePath } from '../containers/stable-path.js';
import { canonicalPath } from '../supervisor/mount-point.js';
import { withDirectory } from './mount-argument.js';
import { formatTable } from './table.js';

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
            default: join(CDI_DIRECTORIES[0], 'bus1fs.json'),
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
          })
          .option('list', { describe: 'show what engines find, and whether it works', type: 'boolean', default: false })
          .option('remove', { describe: 'remove the specification at --output', type: 'boolean', default: false }),
      (argv) => {
        if (argv.list && argv.remove) throw new ExpectedError('--list and --remove exclude each other');
        if (argv.list) return console.log(list());
        if (argv.remove) return remove(resolve(argv.output));
        const directory = canonicalPath(argv.directory);
        const bind = argv.bind === undefined ? directory : canonicalPath(argv.bind);
        if (relative(bind, directory).startsWith('..')) throw new ExpectedError(`${directory} is not in ${bind}`);
        if (dirname(argv.link) !== '/dev') throw new ExpectedError('--link takes a path in /dev');
        const programs = [stablePath(process.execPath, 'node'), stablePath(MAIN, 'bus1fs')];
        const hook = [...programs.map(({ path }) => path), HOOK];
        const text = `${JSON.stringify(cdiSpecification({ directory, bind, link: argv.link, hook }), undefined, 2)}\n`;
        if (argv.output === '-') process.stdout.write(text);
        else writeSpecification(resolve(argv.output), text);
        for (const { path } of programs.filter(({ lasts }) => !lasts)) {
          console.error(`bus1fs: containers need ${path}; when that goes, with an update say, run this again`);
        }
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

function remove(path: string): void {
  if (!existsSync(path)) throw new ExpectedError(`there is no ${path}; see: bus1fs cdi --list`);
  if (readCdiSpecification(readFileSync(path, 'utf8')) === undefined) {
    throw new ExpectedError(`${path} was not written by bus1fs cdi`);
  }
  rmSync(path);
  console.log(`removed ${path}`);
}

function list(): string {
  const rows = CDI_DIRECTORIES.filter((directory) => existsSync(directory)).flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.endsWith('.json'))
      .flatMap((name) => {
        const path = join(directory, name);
        const options = readCdiSpecification(readFileSync(path, 'utf8'));
        return options === undefined ? [] : [[path, options.directory, options.bind, options.link, stateOf(options)]];
      }),
  );
  if (rows.length === 0) return `no specification of ${CDI_DEVICE} in ${CDI_DIRECTORIES.join(' or ')}`;
  return formatTable([['FILE', 'DIRECTORY', 'BIND', 'LINK', 'STATE'], ...rows]);
}

/** Whether containers that ask for it can be started. */
function stateOf({ bind, hook }: CdiOptions): string {
  const gone = [bind, ...hook.slice(0, -1)].filter((path) => !existsSync(path));
  return gone.length === 0 ? 'ok' : `missing: ${gone.join(', ')}`;
}
