/** Bytes, all of them ASCII. */
const MAX_LENGTH = 255;

const ELEMENT = '[A-Za-z_-][A-Za-z0-9_-]*';
const NAME = new RegExp(`^${ELEMENT}(?:\\.${ELEMENT})+$`);
const NAME_OR_WILDCARD = new RegExp(`^${ELEMENT}(?:\\.${ELEMENT})*\\.(?:${ELEMENT}|\\*)$`);

/** Two or more elements of letters, digits, `_` and `-`, none of which begins with a digit, with single dots between them. */
export const isWellKnownName = (text: string): boolean => text.length <= MAX_LENGTH && NAME.test(text);

/** The same, or with `*` as its last element. */
export const isNameOrWildcard = (text: string): boolean => text.length <= MAX_LENGTH && NAME_OR_WILDCARD.test(text);
