/** Control characters, C0 and C1, and those that are invisible: bidirectional controls, joiners, separators of lines. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Text from somebody who must not drive a terminal, or write lines of its own, with such characters as \uXXXX. In JSON it
 * may be applied to the whole text: there they occur in strings only, and mean the same when escaped.
 */
export const printable = (text: string): string =>
  text.replace(UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, i) => escapeUnit(character.charCodeAt(i))).join(''),
  );

const escapeUnit = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`;

/** The same for a text of several lines. */
export const printableLines = (text: string): string => text.split('\n').map(printable).join('\n');
