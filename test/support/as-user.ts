import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLI } from './bus1fs.js';
import { ROOT } from './compile.js';
import { temporaryDirectory } from './temporary.js';

const SCRIPT = `
unset NODE_V8_COVERAGE # which it could not write
mount --bind "$1" "$0/tree" && mount --bind "$2" "$0/node" && shift 2 && exec setpriv "$@"`;

/**
 * The command that runs `bus1fs` as a user without privileges. This tree and Node may lie in the home of root, which nobody
 * else may enter, so both are mounted elsewhere, for this command alone.
 */
export function bus1fsAs(user: number, ...args: readonly string[]): [string, ...string[]] {
  const directory = temporaryDirectory('as-user');
  const [tree, node] = [join(directory, 'tree'), join(directory, 'node')];
  mkdirSync(tree);
  writeFileSync(node, '');
  const privileges = [`--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--bounding-set=-all'];
  return [
    ...['unshare', '--mount', 'sh', '-c', SCRIPT, directory, ROOT, process.execPath],
    ...[...privileges, '--', node, CLI.replace(ROOT, `${tree}/`), ...args],
  ] as [string, ...string[]];
}
