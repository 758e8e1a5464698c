import { bold, escapeCode, paragraph, tagged } from './roff.js';

/*
 * What `--help` prints, as part of a man page. Its lines are told apart by how far they are indented: paragraphs and the
 * titles of lists not at all, what a list is about a little, and what is said about that further still.
 */

const LAST_COLUMN_OF_TAGS = 8;

/** One entry of a list: a command, an argument or an option. */
interface Entry {
  readonly tag: string;
  readonly text: string;
}

/** The names of the commands that the help of the whole lists. */
export function commandsIn(help: string): string[] {
  return [...help.matchAll(/^ {2}bus1fs (\S+)/gm)].map(([, name = '']) => name);
}

/** How a command is used: the first line of its help. */
export const usageIn = (help: string): string => help.split('\n', 1)[0] ?? '';

/** The rest of its help. */
export const helpToRoff = (help: string): string => help.trim().split(/\n\n+/).slice(1).map(part).join('');

/** What stands between two empty lines: paragraphs, titles and entries. */
function part(text: string): string {
  let roff = '';
  for (const line of joinContinued(text)) {
    const entry = parseEntry(line);
    if (entry !== undefined) roff += tagged(bold(entry.tag), escapeCode(entry.text));
    else roff += paragraph(/:$/.test(line) ? `\\fI${escapeCode(line)}\\fR` : escapeCode(line.trim()));
  }
  return roff;
}

/** Lines that go on below each other become one. */
function joinContinued(text: string): string[] {
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    const last = lines.pop();
    const goesOn = last !== undefined && indentOf(line) > LAST_COLUMN_OF_TAGS;
    if (last !== undefined) lines.push(goesOn ? `${last}  ${line.trim()}` : last);
    if (!goesOn) lines.push(line);
  }
  return lines;
}

const indentOf = (line: string): number => line.search(/\S|$/);

function parseEntry(line: string): Entry | undefined {
  const [tag, ...texts] = line.trim().split(/ {2,}/);
  if (indentOf(line) === 0 || tag === undefined || texts.length === 0) return undefined;
  // yargs puts what it knows of an option in brackets at the right edge, sometimes without a space before
  return { tag, text: texts.join(' ').replace(/(?<=\S)\[(?=[a-z]+[:\]])/g, ' [') };
}
