const TWO_32 = 0x1_0000_0000;

/**
 * A window on memory holding C structures, little-endian.
 *
 * 64-bit fields are read as Numbers: exact below 2^53, and above it still above every bound they are compared with.
 */
export class Bytes {
  readonly u8: Uint8Array;
  private readonly view: DataView;

  constructor(buffer: ArrayBuffer, byteOffset = 0, byteLength = buffer.byteLength - byteOffset) {
    this.u8 = new Uint8Array(buffer, byteOffset, byteLength);
    this.view = new DataView(buffer, byteOffset, byteLength);
  }

  get size(): number {
    return this.view.byteLength;
  }

  u16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  i32(offset: number): number {
    return this.view.getInt32(offset, true);
  }

  u64(offset: number): number {
    return this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * TWO_32;
  }

  /** The upper half of a 64-bit field. */
  high32(offset: number): number {
    return this.view.getUint32(offset + 4, true);
  }

  bigU64(offset: number): bigint {
    return this.view.getBigUint64(offset, true);
  }

  setU16(offset: number, value: number): void {
    this.view.setUint16(offset, value, true);
  }

  setU32(offset: number, value: number): void {
    this.view.setUint32(offset, value, true);
  }

  setI32(offset: number, value: number): void {
    this.view.setInt32(offset, value, true);
  }

  /** Stores a non-negative integer below 2^53. */
  setU64(offset: number, value: number): void {
    const high = value < TWO_32 ? 0 : Math.floor(value / TWO_32);
    this.view.setUint32(offset, value - high * TWO_32, true);
    this.view.setUint32(offset + 4, high, true);
  }

  setBigU64(offset: number, value: bigint): void {
    this.view.setBigUint64(offset, value, true);
  }

  /** Stores 2^64 - 1. */
  setAllOnes64(offset: number): void {
    this.view.setUint32(offset, 0xffff_ffff, true);
    this.view.setUint32(offset + 4, 0xffff_ffff, true);
  }

  isAllOnes64(offset: number): boolean {
    return this.view.getUint32(offset, true) === 0xffff_ffff && this.view.getUint32(offset + 4, true) === 0xffff_ffff;
  }

  text(offset: number, end: number): string {
    return Buffer.from(this.u8.buffer, this.u8.byteOffset + offset, end - offset).toString();
  }

  zero(offset: number, end: number): void {
    this.u8.fill(0, offset, end);
  }
}
