import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { VARIABLE } from './temporary.js';

/** How long what has been told to end may take to be gone. */
const PATIENCE_MS = 5000;

/** What outlives the tests of this process: mounts in their temporary directory, and processes they started. */
export async function leftBehind(): Promise<string[]> {
  const directory = process.env[VARIABLE];
  if (directory === undefined) return [];
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(100)) {
    const left = [...mountsIn(directory), ...processesOf(directory)];
    if (left.length === 0 || Date.now() > deadline) return left;
  }
}

const mountsIn = (directory: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .filter((path) => path.startsWith(directory))
    .map((path) => `mount ${path}`);

/** By the variable that every child inherits; the workers of Vitest, which have it too, end after this. */
const processesOf = (directory: string): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const [environment = '', command = ''] = ['environ', 'cmdline'].map((file) =>
          readFileSync(`/proc/${pid}/${file}`, 'latin1').replaceAll('\0', ' '),
        );
        const isOurs = environment.includes(`${VARIABLE}=${directory}`) && !command.startsWith('node (vitest');
        return isOurs ? [`process ${pid} ${command}`] : [];
      } catch {
        return []; // it has ended
      }
    });
