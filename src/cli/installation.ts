import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Argv } from 'yargs';
import { ExpectedError, UsageError } from '../base/expected-error.js';
import { stablePath } from '../containers/stable-path.js';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const TEMPLATES = fileURLToPath(new URL('../../mount/', import.meta.url));
/** What every file of ours says somewhere, so that nobody else's is overwritten or removed. */
const MARK = 'bus1fs install';
const ENABLED = '/etc/systemd/system/multi-user.target.wants/bus1fs.service';

/** A file of the system, made from one in mount/; where that calls bus1fs, `call.from` finds how. */
interface SystemFile {
  readonly template: string;
  readonly path: string;
  readonly mode: number;
  readonly call?: { readonly from: RegExp; readonly quote: (word: string) => string };
}

const quoteForSystemd = (word: string): string =>
  `"${word.replaceAll(/["\\]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`;
const quoteForShell = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

const FILES: readonly SystemFile[] = [
  {
    template: 'bus1fs.service',
    path: '/etc/systemd/system/bus1fs.service',
    mode: 0o644,
    call: { from: /(?<=^ExecStart=)\S+/m, quote: quoteForSystemd },
  },
  { template: 'bus1fs.tmpfiles', path: '/etc/tmpfiles.d/bus1fs.conf', mode: 0o644 },
  {
    template: 'mount.bus1',
    path: '/sbin/mount.bus1',
    mode: 0o755,
    call: { from: /(?<=^exec )bus1fs/m, quote: quoteForShell },
  },
];

export const addInstall = (cli: Argv): Argv =>
  cli.command(
    'install',
    'write the systemd unit, its tmpfiles entry and the helper of mount -t bus1',
    (args) =>
      args
        .option('root', {
          describe: 'the directory that stands for /, to make a package or an image',
          type: 'string',
          default: '/',
          requiresArg: true,
        })
        .option('print', { describe: 'print the files instead', type: 'boolean', default: false })
        .option('remove', { describe: 'remove them', type: 'boolean', default: false })
        .example([
          ['$0 install && systemctl enable --now bus1fs', 'serve /dev/bus1 from now on'],
          ['$0 install --print', 'see what that would write'],
          ['systemctl disable --now bus1fs && $0 install --remove', 'take everything back'],
        ])
        .epilogue(`The files: ${FILES.map(({ path }) => path).join(', ')}. They call Node and bus1fs by their paths.`),
    ({ root, print, remove }) => {
      if (print && remove) throw new UsageError('--print and --remove exclude each other');
      if (remove) removeFiles(resolve(root));
      else if (print) console.log(FILES.map((file) => `# ${file.path}\n${contentOf(file)}`).join('\n'));
      else writeFiles(resolve(root));
    },
  );

function writeFiles(root: string): void {
  const files = FILES.map((file) => ({ path: join(root, file.path), mode: file.mode, text: contentOf(file) }));
  for (const { path } of files) {
    if (existsSync(path) && !isOurs(path)) throw new ExpectedError(`${path} is somebody else's; move it away first`);
  }
  for (const { path, mode, text } of files) {
    mkdirSync(dirname(path), { recursive: true });
    const draft = `${path}.new`; // so that it appears whole
    writeFileSync(draft, text);
    chmodSync(draft, mode);
    renameSync(draft, path);
    console.log(`wrote ${path}`);
  }
  if (root === '/') console.log('now: systemctl enable --now bus1fs');
  for (const { path } of ownProgram().filter(({ lasts }) => !lasts)) {
    console.error(`bus1fs: they need ${path}; when that goes, with an update say, run this again`);
  }
}

function removeFiles(root: string): void {
  const enabled = join(root, ENABLED);
  if (lstatSync(enabled, { throwIfNoEntry: false }) !== undefined) {
    throw new ExpectedError('the service is enabled; first: systemctl disable --now bus1fs');
  }
  for (const path of FILES.map((file) => join(root, file.path)).filter((path) => existsSync(path))) {
    if (isOurs(path)) {
      rmSync(path);
      console.log(`removed ${path}`);
    } else console.error(`bus1fs: ${path} is somebody else's, and was left alone`);
  }
}

const isOurs = (path: string): boolean => readFileSync(path, 'utf8').includes(MARK);

function contentOf({ template, call }: SystemFile): string {
  const text = readFileSync(join(TEMPLATES, template), 'utf8');
  if (call === undefined) return text;
  const words = ownProgram().map(({ path }) => call.quote(path));
  return text.replace(call.from, () => words.join(' '));
}

/** Node and bus1fs, by paths that outlast an update where there are such. */
const ownProgram = () => [stablePath(process.execPath, 'node'), stablePath(MAIN, 'bus1fs')];
