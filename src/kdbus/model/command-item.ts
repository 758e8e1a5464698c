import type { Bytes } from '../../base/bytes.js';

/** An item of a command whose payload is as its type wants it. */
export interface CommandItem {
  /** One of ItemType. */
  readonly type: number;
  readonly payload: Bytes;
}

/** The text of an item that is one string, without the NUL at its end. */
export const textOf = ({ payload }: CommandItem): string => payload.text(0, payload.size - 1);
