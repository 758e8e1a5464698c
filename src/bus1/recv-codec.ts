import type { Bytes } from '../base/bytes.js';
import type { Credentials } from '../device.js';
import { Message2019Flag, MessageFlag, Recv, Recv2019, Recv2019Flag, RecvFlag, writeHandleId } from './bus1-abi.js';
import type { Message } from './model/message.js';

/** What RECV asked for. */
export interface RecvRequest {
  readonly isPeek: boolean;
  readonly takesSeed: boolean;
  readonly installsFds: boolean;
}

/** What RECV tells beside the message itself. */
export interface Delivery {
  readonly request: RecvRequest;
  /** Whether the next message belongs to the same transaction. */
  readonly continues: boolean;
  /** Who sent it, as the receiver sees it; asked only by the revision that tells. */
  credentials(): Credentials;
}

/** RECV as one revision of the header has it. */
export interface RecvCodec {
  /** All flags that there are. */
  readonly flags: number;
  request(flags: number): RecvRequest;
  write(argument: Bytes, message: Message, delivery: Delivery): void;
}

export const RECV_2016: RecvCodec = {
  flags: RecvFlag.PEEK | RecvFlag.SEED | RecvFlag.INSTALL_FDS,

  request: (flags) => ({
    isPeek: (flags & RecvFlag.PEEK) !== 0,
    takesSeed: (flags & RecvFlag.SEED) !== 0,
    installsFds: (flags & RecvFlag.INSTALL_FDS) !== 0,
  }),

  write(argument, message, { continues, credentials }) {
    const nSecctx = message.cargo?.layout.nSecctx ?? 0;
    const flags = (continues ? MessageFlag.CONTINUE : 0) | (nSecctx > 0 ? MessageFlag.HAS_SECCTX : 0);
    writeMessage(argument, Recv, message, flags, message.cargo?.files?.count ?? 0);
    const { uid, gid, pid, tid } = credentials();
    argument.setU32(Recv.uid, uid);
    argument.setU32(Recv.gid, gid);
    argument.setU32(Recv.pid, pid);
    argument.setU32(Recv.tid, tid);
    argument.setU64(Recv.n_secctx, nSecctx);
  },
};

/**
 * The 2019 header knows no PEEK, no credentials and no security contexts. For four weeks in 2017 its RECV had this size with the
 * flags of 2016: bit 2, which means nothing in 2019, is taken for what INSTALL_FDS was then.
 */
export const RECV_2019: RecvCodec = {
  flags: Recv2019Flag.SEED | Recv2019Flag.INSTALL_FDS | RecvFlag.INSTALL_FDS,

  request: (flags) => ({
    isPeek: false,
    takesSeed: (flags & Recv2019Flag.SEED) !== 0,
    installsFds: (flags & (Recv2019Flag.INSTALL_FDS | RecvFlag.INSTALL_FDS)) !== 0,
  }),

  write(argument, message, { continues, request }) {
    const nFds = request.installsFds ? (message.cargo?.files?.count ?? 0) : 0;
    writeMessage(argument, Recv2019, message, continues ? Message2019Flag.CONTINUE : 0, nFds);
  },
};

/** Fills in what both revisions have. */
function writeMessage(argument: Bytes, layout: typeof Recv2019, message: Message, flags: number, nFds: number): void {
  const { cargo, destination } = message;
  argument.setU64(layout.type, message.type);
  argument.setU64(layout.msg_flags, flags);
  if (destination === undefined) argument.setAllOnes64(layout.destination);
  else writeHandleId(argument, layout.destination, destination.id);
  if (cargo === undefined) argument.setAllOnes64(layout.offset);
  else argument.setU64(layout.offset, cargo.slice.offset);
  argument.setU64(layout.n_bytes, cargo?.layout.nBytes ?? 0);
  argument.setU64(layout.n_handles, cargo?.handles.length ?? 0);
  argument.setU64(layout.n_fds, nFds);
}
