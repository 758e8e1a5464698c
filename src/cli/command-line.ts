import { isatty } from 'node:tty';
import yargs, { type Argv } from 'yargs';
import { ExpectedError, UsageError } from '../base/expected-error.js';
import { printable } from '../base/printable.js';
import { VERSION } from '../base/version.js';
import { exitNow } from '../linux/process.js';
import { addCdi } from './cdi.js';
import { addCompletion } from './completion.js';
import { addDoctor } from './doctor.js';
import { addIncludeDir } from './include-dir.js';
import { addInstall } from './installation.js';
import { addMount } from './mount.js';
import { addRun, separateProgram } from './run.js';
import { addSeccompAgent } from './seccomp-agent.js';
import { addStatus } from './status.js';
import { addUmount } from './umount.js';

const FAILURE = 1;
const WRONG_USAGE = 2;
const WIDTH = 100;
const STDOUT = 1;

const COMMANDS: Readonly<Record<string, (cli: Argv) => Argv>> = {
  mount: addMount,
  umount: addUmount,
  status: addStatus,
  run: addRun,
  doctor: addDoctor,
  install: addInstall,
  cdi: addCdi,
  'seccomp-agent': addSeccompAgent,
  'include-dir': addIncludeDir,
  completion: addCompletion,
};

/** Obeys a command line, of which `line` are the words after bus1fs. */
export async function runCommand(line: readonly string[]): Promise<void> {
  try {
    await parser(separateProgram(line)).parseAsync();
  } catch (error) {
    if (isWrongUsage(error)) fail(`${inOneLine(error.message)}; see: bus1fs ${helpOf(line)}`, WRONG_USAGE);
    if (error instanceof ExpectedError || isSystemError(error)) fail(error.message, FAILURE);
    throw error;
  }
}

function parser(line: readonly string[]): Argv {
  const cli = yargs([...line])
    .scriptName('bus1fs')
    .usage('$0 COMMAND\n\nServes /dev/bus1, the bus1 kernel message bus, from user space.')
    .demandCommand(1, 'Say what to do')
    .recommendCommands()
    .strict()
    .parserConfiguration({ 'populate--': true, 'duplicate-arguments-array': false })
    .version(VERSION)
    .alias({ h: 'help', V: 'version' })
    // Asking a pipe for its width would make it non-blocking for everybody who has it.
    .wrap(isatty(STDOUT) ? Math.min(WIDTH, process.stdout.columns) : WIDTH)
    .example([
      ['$0 doctor', 'can it run here, and what is missing?'],
      ['$0 mount --daemon', 'serve /dev/bus1'],
      ['$0 status', 'who is on the bus'],
      ['$0 mount --help', 'what a command does and takes'],
    ])
    .epilogue('Exit status: 0 for success, 1 for failure, 2 for a command line that makes no sense; run has its own.')
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
  for (const add of Object.values(COMMANDS)) add(cli);
  return cli;
}

function fail(message: string, status: number): never {
  console.error(`bus1fs: ${printable(message)}`);
  return exitNow(status);
}

/** Ours, or what yargs throws for an option without a value. */
const isWrongUsage = (error: unknown): error is Error =>
  error instanceof UsageError || (error instanceof Error && error.name === 'YError');

/** A system call that failed, by its name and the file it was about: no defect of ours, and it says all there is to say. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && 'syscall' in error;

const inOneLine = (text: string): string => text.replaceAll(/[\s:]*\n\s*/g, ': ').replace(/\.$/, '');

const helpOf = ([command = '']: readonly string[]): string => (command in COMMANDS ? `${command} --help` : '--help');
