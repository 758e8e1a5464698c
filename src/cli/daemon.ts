import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { writeAll } from '../base/log-output.js';
import { dup3 } from '../linux/file.js';
import { inheritNoDescriptors } from '../linux/process.js';
import { NO_DEBUGGER } from '../supervisor/engine-process.js';

const STDOUT = 1;
const ENDING = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const;
const LOG_FILE_MODE = 0o640;
/** Set for the process that is the daemon, and by nobody else. */
const VARIABLE = 'BUS1FS_IS_DAEMON';

/** Whether this process is the daemon that startDaemon() started. */
export const isDaemon = (): boolean => process.env[VARIABLE] !== undefined;

/**
 * Starts this same command as a daemon: in a session of its own, with `logFile` for its standard error. Waits until it has
 * announced that it is ready, passes that on, and resolves to 0; or, if it ends before, to 1, and passes on what it logged.
 */
export async function startDaemon(logFile: string): Promise<number> {
  const log = openSync(logFile, 'a+', LOG_FILE_MODE);
  const { size } = fstatSync(log);
  inheritNoDescriptors();
  // Until it is ready it is a part of this command. These are handled when this function waits, and then there is a child.
  for (const signal of ENDING) process.on(signal, () => child.kill());
  const child = spawn(process.execPath, [...process.execArgv, ...NO_DEBUGGER, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
    env: { ...process.env, [VARIABLE]: '1' },
  });
  const exited = once(child, 'exit');
  exited.catch(() => {}); // it is looked at when there is nothing more to read
  let said = '';
  for await (const text of (child.stdout as Readable).setEncoding('utf8')) said += text;
  process.stdout.write(said);
  if (said !== '') return 0;
  await exited;
  process.stderr.write(readFrom(log, size));
  return 1;
}

/** What a file has from `offset` on; nothing, where it is no regular one. */
function readFrom(fd: number, offset: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(fstatSync(fd).size - offset, 0));
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, offset));
}

/** Tells whoever started the daemon that it is ready, and lets go of it. False if it has gone. */
export async function announceDaemon(text: string): Promise<boolean> {
  const bytes = Buffer.from(text);
  const written = await writeAll(STDOUT, bytes);
  const nowhere = openSync('/dev/null', 'r+');
  dup3(nowhere, STDOUT, 0);
  closeSync(nowhere);
  return written === bytes.length;
}
