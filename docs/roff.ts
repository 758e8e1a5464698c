import { marked, type Token, type Tokens } from 'marked';

/*
 * Markdown as a man page: the subset that these documents are written in. What is not in it is an error, so that nothing
 * is lost on the way.
 */

/** A document; its title becomes a section of the page. */
export const toRoff = (markdown: string): string => marked.lexer(markdown).map(block).join('');

/** Text that stands for itself. */
export const escapeText = (text: string): string => text.replaceAll('\\', '\\e').replace(/^(?=[.'])/gm, '\\&');

const ASCII: Readonly<Record<string, string>> = {
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
};

/** Code, in which dashes and quotes stay those of ASCII, to be copied. */
export const escapeCode = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replace(/[-'`^~]/g, (character) => ASCII[character] ?? character)
    .replace(/^(?=\.)/gm, '\\&');

/** Code in a text, whose words are not to be divided. */
export const bold = (code: string): string => `\\fB${escapeCode(code).replace(/\S+/g, '\\%$&')}\\fR`;

/** A heading: `SH` for a section, `SS` for a part of one. */
export const heading = (macro: 'SH' | 'SS', text: string): string =>
  `.${macro} "${escapeText(macro === 'SH' ? text.toUpperCase() : text).replaceAll('"', '\\(dq')}"\n`;

export const paragraph = (text: string): string => `.PP\n${text}\n`;

/** A tag, and indented below it what there is to say about it. */
export const tagged = (tag: string, text: string): string => `.TP\n${tag}\n${text}\n`;

export const example = (code: string): string => `.PP\n.RS 4\n.EX\n${escapeCode(code)}\n.EE\n.RE\n`;

function block(token: Token): string {
  switch (token.type) {
    case 'space':
      return '';
    case 'heading':
      return heading(token['depth'] === 1 ? 'SH' : 'SS', token['text']);
    case 'paragraph':
      return isPicture(token as Tokens.Paragraph) ? '' : paragraph(inline(token.tokens));
    case 'code':
      return example(token['text']);
    case 'list':
      return list(token as Tokens.List);
    case 'table':
      return (token as Tokens.Table).rows.map(row).join('');
    default:
      throw new Error(`no man page can have this ${token.type}: ${token.raw}`);
  }
}

/** The text around a picture says in words what it shows. */
const isPicture = ({ tokens }: Tokens.Paragraph): boolean => tokens.every(({ type }) => type === 'image');

const list = ({ ordered, items }: Tokens.List): string =>
  items.map(({ tokens }, i) => `.IP ${ordered ? `${i + 1}. 4` : '\\(bu 2'}\n${inline(tokens)}\n`).join('');

/** The first cell is the tag, the others are sentences about it. */
const row = ([tag, ...cells]: readonly Tokens.TableCell[]): string =>
  tagged(
    inline(tag?.tokens),
    cells
      .map(({ tokens }) => inline(tokens))
      .filter((text) => text !== '')
      .map((text) => (/[.:?]$/.test(text) ? text : `${text}.`))
      .join(' '),
  );

const inline = (tokens: readonly Token[] = []): string => tokens.map(span).join('');

function span(token: Token): string {
  switch (token.type) {
    case 'text':
      return token['tokens'] === undefined ? escapeText(token['text']) : inline(token['tokens']);
    case 'escape':
      return escapeText(token['text']);
    case 'codespan':
      return bold(token['text']);
    case 'strong':
      return `\\fB${inline(token['tokens'])}\\fR`;
    case 'em':
    case 'link':
      return `\\fI${inline(token['tokens'])}\\fR`;
    default:
      throw new Error(`no man page can have this ${token.type} in its text: ${token.raw}`);
  }
}
