import type { Argv } from 'yargs';
import { DEFAULT_DIRECTORY } from '../supervisor/mount-point.js';

/** The positional argument that says which mount a command is about. */
export const withDirectory = <T>(args: Argv<T>) =>
  args.positional('directory', {
    describe: 'where the device directory is mounted',
    type: 'string',
    default: DEFAULT_DIRECTORY,
  });
