import type { Argv } from 'yargs';

/** The positional argument that says which mount a command is about. */
export const withDirectory = <T>(args: Argv<T>) =>
  args.positional('directory', {
    describe: 'where the device directory is mounted',
    type: 'string',
    default: '/run/bus1',
  });
