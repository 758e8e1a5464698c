import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { run } from '../support/bus1fs.js';
import { compiler } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const program = compiler.compile('bench/floor.c', 'floor', '-O2');

/** Starts the bare C FUSE server of floor.c; `prefix` is a command that runs it. */
export async function startFloor(
  prefix: readonly string[],
): Promise<{ readonly file: string; readonly mailbox: string; readonly stop: () => Promise<void> }> {
  const directory = temporaryDirectory('floor');
  const [command = '', ...args] = [...prefix, 'setpriv', '--pdeathsig', 'TERM', '--', program, directory];
  const server = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(server, 'exit');
  await once(server.stdout, 'data');
  return {
    file: join(directory, 'floor'),
    mailbox: join(directory, 'mailbox'),
    stop: async () => {
      await run('umount', [directory]);
      await exited;
    },
  };
}
