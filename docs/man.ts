import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandsIn, helpToRoff, usageIn } from './help.js';
import { bold, escapeText, heading, paragraph, tagged, toRoff } from './roff.js';

/*
 * Writes the man pages bus1(4), from the documents next to this file, and bus1fs(1), from what the built command line
 * prints for --help:
 *
 *   tsx docs/man.ts [DIRECTORY]     default dist/man
 */

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CLI = join(ROOT, 'dist/cli/main.js');
const { version, description } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly version: string;
  readonly description: string;
};

const document = (name: string): string => toRoff(readFileSync(join(ROOT, 'docs', name), 'utf8'));

const helpOf = (...command: readonly string[]): string =>
  execFileSync(process.execPath, [CLI, ...command, '--help'], { encoding: 'utf8' });

/** The day of the build, or of the sources where that is asked for (reproducible-builds.org). */
function date(): string {
  const epoch = process.env['SOURCE_DATE_EPOCH'];
  return (epoch === undefined ? new Date() : new Date(Number(epoch) * 1000)).toISOString().slice(0, 10);
}

/** A page: its title, its name line, and the rest. */
function page(name: string, section: number, what: string, body: string): string {
  const title = `.TH ${name.toUpperCase()} ${section} ${date()} "bus1fs ${version}"\n.ad l\n`;
  const head = `${heading('SH', 'Name')}${name} \\- ${escapeText(what)}\n`;
  return title + head + body.replace(/^(\.S[HS] .*\n)\.PP\n/gm, '$1');
}

const bus1 = (): string =>
  page(
    'bus1',
    4,
    'message bus device',
    heading('SH', 'Synopsis') +
      `.B #include <linux/bus1.h>\n${paragraph(bold('cc -I$(bus1fs include-dir) program.c'))}` +
      document('concepts.md') +
      document('commands.md') +
      document('restart.md') +
      heading('SH', 'Files') +
      tagged(bold('/dev/bus1'), 'A link to the device, which is in the directory that the daemon has mounted.') +
      tagged(bold('/run/bus1/bus1'), 'The device, where no other directory is given.') +
      heading('SH', 'See also') +
      '.BR bus1fs (1),\n.BR ioctl (2),\n.BR mmap (2),\n.BR poll (2),\n.BR unix (7)\n' +
      paragraph('The package has examples, and documents on how processes meet and on life cycles.'),
  );

function commandPart(command: string): string {
  const help = helpOf(command);
  return heading('SS', usageIn(help)) + helpToRoff(help);
}

function bus1fs(): string {
  const help = helpOf();
  return page(
    'bus1fs',
    1,
    description,
    heading('SH', 'Synopsis') +
      `${bold(usageIn(help))}\n` +
      heading('SH', 'Description') +
      helpToRoff(help) +
      heading('SH', 'Commands') +
      commandsIn(help).map(commandPart).join('') +
      heading('SH', 'See also') +
      '.BR bus1 (4)\n',
  );
}

const directory = process.argv[2] ?? join(ROOT, 'dist/man');
mkdirSync(directory, { recursive: true });
writeFileSync(join(directory, 'bus1.4'), bus1());
writeFileSync(join(directory, 'bus1fs.1'), bus1fs());
