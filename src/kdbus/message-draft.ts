import { Bytes } from '../base/bytes.js';
import { Errno } from '../base/errno.js';
import type { Gap, WantedMemfd } from '../device.js';
import type { Parsed, ParsedItem } from './command-parser.js';
import {
  CONN_MAX_FDS_PER_USER,
  BloomFilter as FilterLayout,
  Item,
  ItemType,
  Memfd,
  MSG_MAX_MEMFD_ITEMS,
  MSG_MAX_PAYLOAD_VEC_SIZE,
  Msg,
  MsgFlag,
  Vec,
} from './kdbus-abi.js';
import { type BloomFilter, bloomWords } from './model/bloom.js';
import { textOf } from './model/command-item.js';
import type { FilePlace } from './model/message-queue.js';
import { isWellKnownName } from './model/well-known-name.js';

/** The end of user space on x86-64 and arm64 with 47- and 48-bit addresses. */
const USER_SPACE_END = 0x7fff_ffff_f000;
const TWO_64 = 1n << 64n;
const U64_SIZE = 8;
const INT_SIZE = 4;

/** A message as its sender gave it. */
export class MessageDraft {
  readonly flags: number;
  readonly isBroadcast: boolean;
  /** As written; meaningless for a broadcast. */
  readonly destination: number;
  readonly cookie: bigint;
  /** The time until which a reply is awaited, or the cookie of what is replied to. */
  readonly union: bigint;
  readonly priority: bigint;
  readonly source: number;
  readonly payloadType: bigint;
  /** What receivers get, see OutgoingMessage. */
  readonly head: Bytes;
  readonly payloads: { readonly offset: number; readonly position: number | undefined }[] = [];
  readonly vecs: { readonly address: number; readonly length: number }[] = [];
  readonly gaps: Gap[] = [];
  readonly wanted: (number | WantedMemfd)[] = [];
  readonly places: FilePlace[] = [];
  nBytes = 0;
  nFds = 0;
  hasFds = false;
  name: string | undefined;
  filter: BloomFilter | undefined;
  private position = 0;
  private nMemfds = 0;

  constructor({ bytes, items }: Parsed) {
    const last = items.at(-1);
    const size = last === undefined ? Msg.sizeof : last.offset + last.size;
    this.head = new Bytes(new ArrayBuffer(size));
    this.head.u8.set(bytes.u8.subarray(0, size));
    this.flags = bytes.u32(Msg.flags);
    this.isBroadcast = bytes.isAllOnes64(Msg.dst_id);
    this.destination = bytes.u64(Msg.dst_id);
    this.cookie = bytes.bigU64(Msg.cookie);
    this.union = bytes.bigU64(Msg.timeout_ns);
    this.priority = BigInt.asIntN(64, bytes.bigU64(Msg.priority));
    this.source = bytes.u64(Msg.src_id);
    this.payloadType = bytes.bigU64(Msg.payload_type);
  }

  get isSignal(): boolean {
    return (this.flags & MsgFlag.SIGNAL) !== 0;
  }

  get expectsReply(): boolean {
    return (this.flags & MsgFlag.EXPECT_REPLY) !== 0;
  }

  /** What is wrong with the header. */
  checkFlags(isSync: boolean): Errno {
    if (this.payloadType === 0n) return Errno.EINVAL;
    if (this.isBroadcast) {
      if (!this.isSignal) return Errno.EBADMSG;
      if (this.union !== 0n) return Errno.ENOTUNIQ;
      return this.expectsReply || isSync ? Errno.EINVAL : Errno.OK;
    }
    if (this.expectsReply) {
      if (this.union === 0n) return Errno.EINVAL;
      return this.isSignal ? Errno.ENOTUNIQ : Errno.OK;
    }
    return isSync || (this.isSignal && this.union !== 0n) ? Errno.EINVAL : Errno.OK;
  }

  /** Takes the items over, the first that is wrong says why. */
  readItems(items: readonly ParsedItem[], bloomSize: number): Errno {
    for (const item of items) {
      const error = this.readItem(item, bloomSize);
      if (error !== Errno.OK) return error;
    }
    // where there is not room for all, descriptors come before memfds
    this.places.sort((a, b) => Number(b.isFd) - Number(a.isFd));
    if ((this.filter !== undefined) !== this.isSignal) return Errno.EBADMSG;
    if (!this.isBroadcast && this.destination === 0 && this.name === undefined) return Errno.EDESTADDRREQ;
    return this.isBroadcast && this.hasFds ? Errno.ENOTUNIQ : Errno.OK;
  }

  private readItem(item: ParsedItem, bloomSize: number): Errno {
    switch (item.type) {
      case ItemType.PAYLOAD_VEC:
        return this.readVec(item);
      case ItemType.PAYLOAD_MEMFD:
        return this.readMemfd(item);
      case ItemType.FDS:
        return this.readFds(item);
      case ItemType.BLOOM_FILTER:
        return this.readFilter(item, bloomSize);
      case ItemType.DST_NAME:
        this.name = textOf(item);
        if (!isWellKnownName(this.name)) return Errno.EINVAL;
        return this.isBroadcast ? Errno.EBADMSG : Errno.OK;
      default:
        return Errno.EINVAL;
    }
  }

  private readVec({ payload, offset }: ParsedItem): Errno {
    const length = payload.u64(Vec.size);
    const address = payload.u64(Vec.address);
    if (length > MSG_MAX_PAYLOAD_VEC_SIZE) return Errno.EMSGSIZE;
    if (address + length > USER_SPACE_END) return Errno.EFAULT;
    this.head.setU64(offset + Item.type, ItemType.PAYLOAD_OFF);
    const at = offset + Item.sizeof + Vec.address;
    if (address === 0) {
      this.payloads.push({ offset: at, position: undefined });
      this.pad(length);
      return Errno.OK;
    }
    this.payloads.push({ offset: at, position: this.position });
    this.vecs.push({ address, length });
    this.nBytes += length;
    this.position += length;
    return Errno.OK;
  }

  /** What is not stored takes as much room that what follows keeps its place modulo eight. */
  private pad(length: number): void {
    const size = length % U64_SIZE;
    if (size > 0) this.gaps.push({ at: this.nBytes, size });
    this.position += size;
  }

  private readMemfd({ payload, offset }: ParsedItem): Errno {
    if (payload.bigU64(Memfd.start) + payload.bigU64(Memfd.size) >= TWO_64) return Errno.EMSGSIZE;
    if (++this.nMemfds > MSG_MAX_MEMFD_ITEMS) return Errno.E2BIG;
    const size = payload.u64(Memfd.size);
    const at = offset + Item.sizeof + Memfd.fd;
    this.place(at, false);
    this.wanted.push({ fd: payload.i32(Memfd.fd), start: payload.u64(Memfd.start), size });
    this.pad(Number(payload.bigU64(Memfd.size) % BigInt(U64_SIZE)));
    return Errno.OK;
  }

  private readFds({ payload, offset }: ParsedItem): Errno {
    this.nFds = payload.size / INT_SIZE;
    this.hasFds = true;
    if (this.nFds > CONN_MAX_FDS_PER_USER) return Errno.EMFILE;
    for (let i = 0; i < this.nFds; i++) {
      this.place(offset + Item.sizeof + i * INT_SIZE, true);
      this.wanted.push(payload.i32(i * INT_SIZE));
    }
    return Errno.OK;
  }

  /** Receivers see no number until the file is theirs. */
  private place(offset: number, isFd: boolean): void {
    this.places.push({ offset, index: this.wanted.length, isFd });
    this.head.setI32(offset, -1);
  }

  private readFilter({ payload }: ParsedItem, bloomSize: number): Errno {
    const size = payload.size - FilterLayout.sizeof;
    if (size % U64_SIZE !== 0) return Errno.EFAULT;
    if (size !== bloomSize) return Errno.EDOM;
    this.filter = { generation: payload.u64(FilterLayout.generation), words: bloomWords(payload, FilterLayout.sizeof) };
    return Errno.OK;
  }
}
