import type { Bytes } from '../../base/bytes.js';

const WORD = 4;

/** What a signal says of itself: bits that its sender set, in one of several generations of ways to do that. */
export interface BloomFilter {
  readonly generation: number;
  readonly words: Int32Array;
}

/** Bits that a filter must have: a row for each generation, of which the last one serves all later ones too. */
export interface BloomMask {
  readonly words: Int32Array;
  /** In words. */
  readonly rowLength: number;
}

/** The bits in bytes of which there is a multiple of four. */
export function bloomWords({ u8 }: Bytes, start = 0): Int32Array {
  const words = new Int32Array((u8.length - start) / WORD);
  new Uint8Array(words.buffer).set(u8.subarray(start));
  return words;
}

/** A mask in rows of `size` bytes; undefined if it is not one or more whole rows. */
export function bloomMask(bytes: Bytes, size: number): BloomMask | undefined {
  if (bytes.size < size || bytes.size % size !== 0) return undefined;
  return { words: bloomWords(bytes), rowLength: size / WORD };
}

/** Whether the filter has all bits that the mask wants of its generation. */
export function passesMask({ generation, words }: BloomFilter, { words: wanted, rowLength }: BloomMask): boolean {
  const row = Math.min(generation * rowLength, wanted.length - rowLength);
  for (let i = 0; i < rowLength; i++) {
    const bits = wanted[row + i] as number;
    if (((words[i] as number) & bits) !== bits) return false;
  }
  return true;
}
