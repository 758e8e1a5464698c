#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { ExpectedError } from '../base/expected-error.js';
import { VERSION } from '../base/version.js';
import { addCdi } from './cdi.js';
import { addDoctor } from './doctor.js';
import { addIncludeDir } from './include-dir.js';
import { addMount } from './mount.js';
import { addRun } from './run.js';
import { addSeccompAgent } from './seccomp-agent.js';
import { addStatus } from './status.js';
import { addUmount } from './umount.js';

const cli = yargs(hideBin(process.argv))
  .scriptName('bus1fs')
  .usage('$0 COMMAND\n\nServes /dev/bus1, the bus1 kernel message bus, from user space.')
  .demandCommand(1, 'Say what to do.')
  .recommendCommands()
  .strict()
  .parserConfiguration({ 'populate--': true })
  .version(VERSION)
  .alias({ h: 'help', V: 'version' })
  .wrap(Math.min(100, process.stdout.columns ?? 100))
  .fail((message, error) => {
    if (error) throw error;
    throw new ExpectedError(`${message} See: bus1fs --help`);
  });
for (const add of [addMount, addUmount, addStatus, addDoctor, addIncludeDir, addCdi, addRun, addSeccompAgent]) add(cli);

try {
  await cli.parseAsync();
} catch (error) {
  if (!(error instanceof ExpectedError || isSystemError(error))) throw error;
  console.error(`bus1fs: ${error.message}`);
  process.exit(1);
}

/** A system call that failed, by its name and the file it was about: no defect of ours, and it says all there is to say. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
