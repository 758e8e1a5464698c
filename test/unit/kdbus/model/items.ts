import { Bytes } from '../../../../src/base/bytes.js';
import { ItemType, PolicyAccess } from '../../../../src/kdbus/kdbus-abi.js';
import type { CommandItem } from '../../../../src/kdbus/model/command-item.js';

export const bytesOf = (values: Iterable<number>): Bytes => new Bytes(Uint8Array.from(values).buffer);

/** An item with these bytes. */
export const item = (type: number, payload: Iterable<number>): CommandItem => ({ type, payload: bytesOf(payload) });

/** An item that is a string. */
export const textItem = (type: number, text: string): CommandItem => item(type, Buffer.from(`${text}\0`));

/** An item of 64-bit numbers, and perhaps a string after them. */
export function numbersItem(type: number, numbers: readonly (number | bigint)[], text?: string): CommandItem {
  const payload = Buffer.alloc(numbers.length * 8);
  for (const [i, value] of numbers.entries()) payload.writeBigUInt64LE(BigInt(value), i * 8);
  return item(type, text === undefined ? payload : Buffer.concat([payload, Buffer.from(`${text}\0`)]));
}

export const nameItem = (text: string): CommandItem => textItem(ItemType.NAME, text);

export function accessItem(type: number, level: number | bigint, id: number | bigint = 0): CommandItem {
  const found = numbersItem(ItemType.POLICY_ACCESS, [type, level, id]);
  if (found.payload.size !== PolicyAccess.sizeof) throw new Error('wrong size');
  return found;
}
