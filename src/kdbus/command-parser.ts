import { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import { align8 } from '../bus/pool.js';
import type { Caller, MemoryPart, Piece } from '../device.js';
import { checkItem } from './item-checks.js';
import { CMD_MAX_SIZE, Cmd, Item, ItemType } from './kdbus-abi.js';
import type { CommandItem } from './model/command-item.js';

/** How often an item may occur; `one` must. */
export type Occurrence = 'one' | 'optional' | 'many';

/** What a command or a message is made of. */
export interface CommandForm {
  readonly headerSize: number;
  /** All its flags but NEGOTIATE. */
  readonly flags: number;
  readonly items: ReadonlyMap<number, Occurrence>;
}

/** An item, and where it is in its structure. */
export interface ParsedItem extends CommandItem {
  readonly offset: number;
  /** With its header, without padding. */
  readonly size: number;
}

/** A structure that a caller gave, as it was when it was read. */
export interface Parsed {
  readonly address: number;
  readonly bytes: Bytes;
  readonly size: number;
  readonly items: readonly ParsedItem[];
  /** Whether it only asks which flags and items there are. */
  readonly isNegotiation: boolean;
  /** What it gets told of that. */
  readonly answers: readonly MemoryPart[];
  /** What is wrong with it. */
  readonly error: Errno;
}

const U64_SIZE = 8;
const PAGE_SIZE = 4096;
/** How much is read at first: most structures have no more. */
const GUESS = 512;
/** NEGOTIATE, in the upper half of a field of flags. */
const NEGOTIATE_HIGH = 0x8000_0000;

/** Reads and checks a structure. An errno where it could not be read as what it is. */
export function parse(caller: Caller, address: number, form: CommandForm): Parsed | Errno {
  const read = readStructure(caller, address, form.headerSize);
  if (typeof read === 'number') return read;
  const { bytes, length: size } = read;
  const isNegotiation = bytes.high32(Cmd.flags) === NEGOTIATE_HIGH;
  const items: ParsedItem[] = [];
  const hasOtherFlags = (bytes.high32(Cmd.flags) & ~NEGOTIATE_HIGH) !== 0 || (bytes.u32(Cmd.flags) & ~form.flags) !== 0;
  let error = hasOtherFlags ? Errno.EINVAL : parseItems(bytes, size, form, items);
  if (error !== Errno.OK) return { address, bytes, size, items, isNegotiation, answers: [], error };
  const answers = negotiationAnswers(address, items, form);
  if (isNegotiation) answers.push({ address: address + Cmd.flags, bytes: u64Bytes(form.flags) });
  else if (lacksItem(items, form)) error = Errno.EINVAL;
  return { address, bytes, size, items, isNegotiation, answers, error };
}

/** A copy of a structure that says its own size first. */
function readStructure(caller: Caller, address: number, headerSize: number): Piece | Errno {
  if (address % U64_SIZE !== 0) return Errno.EFAULT;
  // what is not asked for is not read unless it comes along
  const guess = Math.max(headerSize, Math.min(GUESS, PAGE_SIZE - (address % PAGE_SIZE)));
  const first = caller.copyOf(address, guess);
  if (first.length < U64_SIZE) return Errno.EFAULT;
  const size = first.bytes.u64(Cmd.size);
  if (size < headerSize) return Errno.EINVAL;
  if (size > CMD_MAX_SIZE) return Errno.EMSGSIZE;
  if (size <= first.length) return { bytes: first.bytes, length: size };
  if (first.length < guess) return Errno.EFAULT;
  const { bytes, length } = caller.copyOf(address, size);
  if (length < size) return Errno.EFAULT;
  return bytes.u64(Cmd.size) === size ? { bytes, length } : Errno.EINVAL;
}

function parseItems(bytes: Bytes, size: number, { headerSize, items: known }: CommandForm, items: ParsedItem[]): Errno {
  const { buffer, byteOffset } = bytes.u8;
  const seen = new Set<number>();
  let at = headerSize;
  while (at < size) {
    const itemSize = size - at < Item.sizeof ? 0 : bytes.u64(at + Item.size);
    if (itemSize < Item.sizeof || at + itemSize > size) return Errno.EINVAL;
    const type = bytes.u64(at + Item.type);
    const occurrence = type === ItemType.NEGOTIATE ? 'optional' : known.get(type);
    if (occurrence === undefined) return Errno.EINVAL;
    const payload = new Bytes(buffer as ArrayBuffer, byteOffset + at + Item.sizeof, itemSize - Item.sizeof);
    const error = checkItem(type, payload);
    if (error !== Errno.OK) return error;
    if (occurrence !== 'many' && seen.has(type)) return Errno.EINVAL;
    seen.add(type);
    items.push({ type, payload, offset: at, size: itemSize });
    at += align8(itemSize);
  }
  return at === headerSize + align8(size - headerSize) ? Errno.OK : Errno.EINVAL;
}

const lacksItem = (items: readonly ParsedItem[], { items: known }: CommandForm): boolean =>
  Array.from(known).some(([type, occurrence]) => occurrence === 'one' && !items.some((item) => item.type === type));

/** Zeros for the types of items that are not known. */
function negotiationAnswers(
  address: number,
  items: readonly ParsedItem[],
  { items: known }: CommandForm,
): MemoryPart[] {
  const answers: MemoryPart[] = [];
  for (const { type, payload, offset } of items) {
    if (type !== ItemType.NEGOTIATE) continue;
    const answer = new Bytes(new ArrayBuffer(payload.size));
    for (let at = 0; at < payload.size; at += U64_SIZE) {
      const asked = payload.u64(at);
      if (asked === ItemType.NEGOTIATE || known.has(asked)) answer.setU64(at, asked);
    }
    answers.push({ address: address + offset + Item.sizeof, bytes: answer.u8 });
  }
  return answers;
}

/** The payload of the only item of its type. */
export const itemOf = (items: readonly ParsedItem[], type: number): Bytes | undefined =>
  items.find((item) => item.type === type)?.payload;

/** The text of such an item. */
export function textItemOf(items: readonly ParsedItem[], type: number): string | undefined {
  const payload = itemOf(items, type);
  return payload?.text(0, payload.size - 1);
}

export function u64Bytes(...values: readonly (number | bigint)[]): Uint8Array {
  const bytes = new Bytes(new ArrayBuffer(values.length * U64_SIZE));
  for (const [i, value] of values.entries()) {
    if (typeof value === 'number') bytes.setU64(i * U64_SIZE, value);
    else bytes.setBigU64(i * U64_SIZE, value);
  }
  return bytes.u8;
}
