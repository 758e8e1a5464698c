import { Errno } from '../base/errno.js';
import type { HeldFiles, Pending, Waitable } from '../device.js';
import { itemOf, parse } from './command-parser.js';
import { MESSAGE_FORM } from './forms.js';
import { Cmd, CmdSend, ItemType, Msg, SendFlag } from './kdbus-abi.js';
import type { KdbusCall } from './kdbus-call.js';
import { Dispatch } from './message-dispatch.js';
import { MessageDraft } from './message-draft.js';
import type { KdbusConnection } from './model/kdbus-connection.js';
import { MessageMetadata } from './model/message-metadata.js';
import type { OutgoingMessage, PayloadSource } from './model/transmission.js';
import { SyncCall } from './sync-call.js';
import { ThreadFacts } from './thread-facts.js';

const IOVEC_SIZE = 16;

/** SEND. */
export function sendMessage(sender: KdbusConnection, call: KdbusCall): Errno | Pending {
  const { caller, command } = call;
  const address = command.bytes.u64(CmdSend.msg_address);
  if (command.isNegotiation && address === 0) return Errno.OK;
  const message = parse(caller, address, MESSAGE_FORM);
  if (typeof message === 'number') return message;
  call.patch(...message.answers);
  if (message.error !== Errno.OK) return message.error;
  if (command.isNegotiation) return Errno.OK;
  if (message.isNegotiation) return Errno.EINVAL;

  const cancel = waitableOf(call);
  if (typeof cancel === 'number') return cancel;
  let isKept = false;
  try {
    const draft = new MessageDraft(message);
    if (draft.source !== 0 && draft.source !== sender.id) return Errno.EINVAL;
    draft.head.setU64(Msg.src_id, sender.id);
    const isSync = (command.bytes.u32(Cmd.flags) & SendFlag.SYNC_REPLY) !== 0;
    let error = draft.checkFlags(isSync);
    if (error === Errno.OK) error = draft.readItems(message.items, sender.bus.profile.bloomSize);
    if (error !== Errno.OK) return error;
    const outgoing = outgoingMessage(sender, call, draft);
    if (typeof outgoing === 'number') return outgoing;
    try {
      const result = dispatch(sender, call, draft, outgoing, isSync, cancel);
      isKept = typeof result === 'object';
      return result;
    } finally {
      outgoing.message.files?.release();
    }
  } finally {
    if (!isKept) cancel?.close();
  }
}

function waitableOf({ caller, command }: KdbusCall): Waitable | undefined | Errno {
  const payload = itemOf(command.items, ItemType.CANCEL_FD);
  return payload === undefined ? undefined : caller.takeWaitable(payload.i32(0));
}

interface Prepared {
  readonly message: OutgoingMessage;
  readonly facts: ThreadFacts;
}

/** Takes the files along, and a number on the bus. */
function outgoingMessage(sender: KdbusConnection, { caller }: KdbusCall, draft: MessageDraft): Prepared | Errno {
  const { bus } = sender;
  const sequence = bus.nextSequence();
  let files: HeldFiles | undefined;
  if (draft.wanted.length > 0) {
    const taken = caller.takeFiles(draft.wanted);
    if (typeof taken === 'number') return taken === Errno.EDQUOT ? Errno.EMFILE : taken;
    files = taken;
  }
  const facts = new ThreadFacts(caller, bus.domain.lastCapability);
  const { attachSend, claims, profile } = sender;
  const metadata = new MessageMetadata(
    { sendFlags: attachSend, isFaked: profile.facts.isFaked, claims, description: profile.description },
    facts,
    () => ({ sequence, ...bus.domain.time() }),
  );
  const { head, payloads, nBytes, gaps, priority, nFds, places } = draft;
  const name = draft.name === undefined ? undefined : bus.names.ownerOf(draft.name)?.name;
  const nVecs = draft.vecs.length;
  const message = { sender, head, payloads, nBytes, nVecs, gaps, priority, nFds, files, places, name, metadata };
  return { message, facts };
}

function dispatch(
  sender: KdbusConnection,
  call: KdbusCall,
  draft: MessageDraft,
  { message, facts }: Prepared,
  isSync: boolean,
  cancel: Waitable | undefined,
): Errno | Pending {
  const { caller } = call;
  const listVectors = (): void => {
    const vectors = caller.scratch(draft.vecs.length * IOVEC_SIZE);
    for (const [i, { address, length }] of draft.vecs.entries()) {
      vectors.setU64(i * IOVEC_SIZE, address);
      vectors.setU64(i * IOVEC_SIZE + 8, length);
    }
  };
  const source: PayloadSource = {
    gather(total, count, targets, gaps) {
      if (total === 0 || targets.length === 0) return Errno.OK;
      listVectors();
      return caller.gather(total, count, targets, gaps);
    },
    fetch(total, count) {
      listVectors();
      return caller.fetch(total, count, 0);
    },
  };
  const dispatcher = new Dispatch(sender, draft, message, facts, source);
  if (isSync) return new SyncCall(sender, call, draft, cancel).begin(dispatcher);
  const error = dispatcher.send();
  if (error === Errno.OK) call.set(CmdSend.reply, sender.poolSize, 0, 0);
  return error;
}
