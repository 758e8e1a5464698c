import { fstatSync, statSync, writeSync } from 'node:fs';
import { Command, HandleTransfer, Recv, RecvFlag, Send } from '../bus1/bus1-abi.js';
import { ioctl, O_CLOEXEC, open } from '../linux/file.js';
import { mapFile, SharedMemory } from '../linux/memory.js';
import { IOVEC_SIZE, NativeBuffer } from '../linux/native-buffer.js';
import { POLLIN, pollNow } from '../linux/poll.js';
import { PR_SET_DUMPABLE, prctl } from '../linux/process.js';
import type { TrialReport, TrialStep } from './trial.js';

/*
 * A client of the bus: two peers of one process, one of which sends the other a message with all that a message can carry.
 * It says on standard output which step it begins and how that ended, one JSON text a line, and ends with the first failure.
 *
 *   trial-client.js DEVICE [UID]
 *
 * It becomes the user UID itself, after it has loaded everything, so that what it is made of may be readable for root only.
 */

/** What was wrong: a negative errno, or a text. */
type Failure = number | string;

const O_RDWR = 2;
const STDOUT = 1;
/** Owners choose the ids of their nodes: any number with the lowest two bits clear. */
const DESTINATION = 4;
const CARRIED = 8;
const HANDLE_REMOTE = 2;
const PAYLOAD = 'bus1fs doctor '.repeat(1000);
const MAPPED_SIZE = 65536;

const [, , device = '', uid] = process.argv;
const payload = new NativeBuffer(PAYLOAD.length);
payload.u8.set(Buffer.from(PAYLOAD));
const received = new NativeBuffer(Recv.sizeof);
let sender = -1;
let receiver = -1;
let handle = 0;
let file = -1;
let installed = -1;

const STEPS: readonly (readonly [TrialStep, () => Failure | undefined])[] = [
  ...(uid === undefined ? [] : ([['user', becomeUser]] as const)),
  ['open', openPeers],
  ['stat', lookAtDevice],
  ['transfer', transferHandle],
  ['send', send],
  ['poll', poll],
  ['receive', receive],
  ['map', map],
  ['descriptor', useDescriptor],
];

for (const [step, run] of STEPS) {
  say({ step, state: 'begun' });
  const failure = outcome(run);
  if (failure === undefined) say({ step, state: 'done' });
  else say({ step, state: 'failed', why: failure });
  if (failure !== undefined && step !== 'stat') break; // that one is no condition of the others
}

function say(report: TrialReport): void {
  writeSync(STDOUT, `${JSON.stringify(report)}\n`);
}

/** Functions of Node's throw what system calls return here. */
function outcome(run: () => Failure | undefined): Failure | undefined {
  try {
    return run();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    return errno === undefined ? String(error) : -Math.abs(errno); // some of them have it positive
  }
}

function becomeUser(): Failure | undefined {
  const id = Number(uid);
  process.setgroups?.([]);
  process.setgid?.(id);
  process.setuid?.(id);
  // A process that has changed its user belongs to root in /proc until it runs another program; clients have done that.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  return undefined;
}

function openPeers(): Failure | undefined {
  sender = open(device, O_RDWR | O_CLOEXEC, 0);
  if (sender < 0) return sender;
  receiver = open(device, O_RDWR | O_CLOEXEC, 0);
  return receiver < 0 ? receiver : undefined;
}

function lookAtDevice(): Failure | undefined {
  return statSync(device).isCharacterDevice() ? undefined : 'it looks like a regular file';
}

function command(peer: number, number: number, argument: NativeBuffer): Failure | undefined {
  const result = ioctl(peer, number, argument.address);
  return result < 0 ? result : undefined;
}

function transferHandle(): Failure | undefined {
  const transfer = new NativeBuffer(HandleTransfer.sizeof);
  transfer.setU64(HandleTransfer.src_handle, DESTINATION);
  transfer.setU64(HandleTransfer.dst_fd, sender);
  const failure = command(receiver, Command.HANDLE_TRANSFER, transfer);
  handle = transfer.u64(HandleTransfer.dst_handle);
  return failure;
}

function send(): Failure | undefined {
  const memory = SharedMemory.create('bus1fs-doctor', 1);
  if (typeof memory === 'number') return memory;
  file = memory.fd;
  const arrays = new NativeBuffer(3 * 8 + IOVEC_SIZE);
  const [destinations, handles, fds, vector] = [0, 8, 16, 24] as const;
  arrays.setU64(destinations, handle);
  arrays.setU64(handles, CARRIED);
  arrays.setI32(fds, file);
  arrays.setIovec(vector, payload.address, payload.size);
  const message = new NativeBuffer(Send.sizeof);
  message.setU64(Send.ptr_destinations, arrays.address + destinations);
  message.setU64(Send.n_destinations, 1);
  message.setU64(Send.ptr_vecs, arrays.address + vector);
  message.setU64(Send.n_vecs, 1);
  message.setU64(Send.ptr_handles, arrays.address + handles);
  message.setU64(Send.n_handles, 1);
  message.setU64(Send.ptr_fds, arrays.address + fds);
  message.setU64(Send.n_fds, 1);
  return command(sender, Command.SEND, message);
}

function poll(): Failure | undefined {
  const events = [sender, receiver].map((peer) => pollNow(peer, POLLIN));
  const failure = events.find((result) => result < 0);
  if (failure !== undefined) return failure;
  return events[0] === 0 && events[1] === POLLIN ? undefined : `unexpected events ${events}`;
}

function receive(): Failure | undefined {
  received.setU64(Recv.flags, RecvFlag.INSTALL_FDS);
  received.setAllOnes64(Recv.max_offset);
  const failure = command(receiver, Command.RECV, received);
  if (failure !== undefined) return failure;
  const whom = `uid ${received.u32(Recv.uid)}, pid ${received.u32(Recv.pid)}`;
  const expected = `uid ${process.getuid?.()}, pid ${process.pid}`;
  return whom === expected ? undefined : `the sender is said to be ${whom}, and is ${expected}`;
}

function map(): Failure | undefined {
  const pool = mapFile(receiver, MAPPED_SIZE);
  if (typeof pool === 'number') return pool;
  const offset = received.u64(Recv.offset);
  const counts = [Recv.n_bytes, Recv.n_handles, Recv.n_fds].map((field) => received.u64(field));
  if (`${counts}` !== `${[PAYLOAD.length, 1, 1]}`) return `not all of the message arrived: ${counts}`;
  if (pool.text(offset, offset + PAYLOAD.length) !== PAYLOAD) return 'the payload is not what was sent';
  const handles = offset + Math.ceil(PAYLOAD.length / 8) * 8;
  if ((pool.u32(handles) & HANDLE_REMOTE) === 0) return 'the handle is not one to a node of another peer';
  installed = pool.i32(handles + 8);
  return undefined;
}

function useDescriptor(): Failure | undefined {
  return installed !== file && fstatSync(installed).ino === fstatSync(file).ino ? undefined : 'it is another file';
}
