import type { Argv } from 'yargs';
import { createLogger } from '../base/log.js';
import { SeccompAgent } from '../containers/agent.js';
import { Poller } from '../linux/poller.js';
import { logOptions, withLog } from './log-options.js';

export const addSeccompAgent = (cli: Argv): Argv =>
  cli.command(
    'seccomp-agent',
    'do for containers what run does for a program; see docker/seccomp.json',
    (args) =>
      withLog(args).option('socket', {
        describe: 'where container runtimes connect; the listenerPath of the profile',
        type: 'string',
        default: '/run/bus1-seccomp.sock',
        requiresArg: true,
      }),
    async (argv) => {
      const poller = new Poller();
      const agent = await SeccompAgent.start(argv.socket, poller, createLogger('bus1fs-seccomp', logOptions(argv)));
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => poller.stop());
      console.log(`bus1fs seccomp-agent ready: ${argv.socket}`);
      await poller.run();
      agent.stop();
      process.exit();
    },
  );
