import type { Argv } from 'yargs';
import { openLog, writeAll } from '../base/log-output.js';
import { SeccompAgent } from '../containers/agent.js';
import { Poller } from '../linux/poller.js';
import { exitNow } from '../linux/process.js';
import { collectOrphans } from '../supervisor/orphans.js';
import { takeSignals } from '../supervisor/service-signals.js';
import { logOptions, withLog } from './log-options.js';

const STDOUT = 1;
/** How long the last lines of the log may take. */
const FLUSH_MS = 500;

export const addSeccompAgent = (cli: Argv): Argv =>
  cli.command(
    'seccomp-agent',
    'do for containers what run does for a program; see docker/seccomp.json',
    (args) =>
      withLog(args)
        .option('socket', {
          describe: 'where container runtimes connect; the listenerPath of the profile',
          type: 'string',
          default: '/run/bus1-seccomp.sock',
          requiresArg: true,
        })
        .example('$0 seccomp-agent', 'serve containers that run under docker/seccomp.json')
        .epilogue('SIGTERM, SIGINT, SIGQUIT and SIGHUP end it. Other signals are ignored.'),
    async (argv) => {
      const { output, log } = openLog('bus1fs-seccomp', logOptions(argv));
      const poller = new Poller();
      takeSignals((signal) => {
        log.info({ signal }, 'ending');
        poller.stop();
      });
      collectOrphans(() => false);
      const agent = await SeccompAgent.start(argv.socket, poller, log);
      void writeAll(STDOUT, Buffer.from(`bus1fs seccomp-agent ready: ${argv.socket}\n`));
      await poller.run();
      agent.stop();
      await output.flush(FLUSH_MS);
      exitNow(0);
    },
  );
