import { Bytes } from '../../base/bytes.js';
import { align8 } from '../../bus/pool.js';
import { Item } from '../kdbus-abi.js';

const LEAST_CAPACITY = 1024;

/** Items one after the other, each at a multiple of eight and what is between them zero. */
export class ItemWriter {
  private memory = new Bytes(new ArrayBuffer(LEAST_CAPACITY));
  private end = 0;

  /** Bytes so far, without padding after the last item. */
  get size(): number {
    return this.end;
  }

  /** Adds an item; `write` fills in the payload, of which every byte counts. */
  add(type: number, size: number, write: (bytes: Bytes, offset: number) => void): void {
    const start = align8(this.end);
    const payload = start + Item.sizeof;
    this.reserve(payload + size);
    this.memory.zero(this.end, start);
    this.memory.setU64(start + Item.size, Item.sizeof + size);
    this.memory.setU64(start + Item.type, type);
    write(this.memory, payload);
    this.end = payload + size;
  }

  /** Adds an item that is a string of these bytes. */
  addText(type: number, text: Uint8Array): void {
    this.add(type, text.length + 1, (bytes, offset) => writeText(bytes, offset, text));
  }

  private reserve(size: number): void {
    if (size <= this.memory.size) return;
    const { u8 } = this.memory;
    this.memory = new Bytes(new ArrayBuffer(Math.max(size, 2 * u8.length)));
    this.memory.u8.set(u8.subarray(0, this.end));
  }

  /** Starts anew. */
  clear(): void {
    this.end = 0;
  }

  /** Hands out a copy of what was written, and starts anew. */
  take(): Uint8Array {
    const taken = this.memory.u8.slice(0, this.end);
    this.clear();
    return taken;
  }
}

/** Writes bytes and a NUL. */
export function writeText(bytes: Bytes, offset: number, text: Uint8Array): void {
  bytes.u8.set(text, offset);
  bytes.u8[offset + text.length] = 0;
}
