import { beforeEach, describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { Command, SendFlag } from '../../../src/bus1/bus1-abi.js';
import type { HandleId } from '../../../src/bus1/model/handle-id.js';
import {
  BAD_ADDRESS,
  Client,
  type Connection,
  type Received,
  type SendArguments,
  World,
} from '../../support/client.js';

const INT_MAX = 0x7fff_ffff;
const USER_SPACE_END = 0x7fff_ffff_f000;
const UNKNOWN_ID = 0xdead_0003;
const LIMIT = 100;

let world: World;
let client: Client;
let sender: Connection;
let receiver: Connection;
/** The sender's handle of node 8 of the receiver. */
let handle: HandleId;

function arrange(): void {
  world = new World({ handles: LIMIT });
  client = new Client();
  sender = world.open(client);
  receiver = world.open(client);
  handle = receiver.give(8, sender);
}

beforeEach(arrange);

const bad = (count: number) => ({ address: BAD_ADDRESS, count });
/** An array of ids of which only those given can be read, and there should be one more. */
const tooShort = (ids: readonly HandleId[]) => ({ address: client.putIds(ids), count: ids.length + 1 });
const state = (): unknown =>
  [sender, receiver].map(({ file }) => {
    const { queued, handles, nodes, poolBytes, used } = file.status();
    return { queued, handles, nodes, poolBytes, used };
  });
const received = (connection = receiver): Received => {
  const message = connection.receive();
  if (typeof message === 'number') throw new Error(`RECV: errno ${message}`);
  return message;
};
/** So many vectors in one array, all of them empty. */
const emptyVectors = (count: number) =>
  Array<{ address: number; length: number }>(count).fill({ address: 0, length: 0 });

describe('SEND', () => {
  test('brings payload, handles and descriptors to where the layout has them', () => {
    const own = 16;
    expect(sender.send({ destinations: [handle], payload: 'hello', handles: [own, own], fds: [3, 4, 5] })).toBe(
      Errno.OK,
    );
    const message = received();
    expect(message).toMatchObject({ type: 1, destination: 8, offset: 0, nBytes: 5, nHandles: 2, nFds: 3 });
    expect(receiver.text(0, 5)).toBe('hello');
    expect([8, 16].map((at) => receiver.idAt(at))).toEqual([11, 11]);
    expect(receiver.file.status().poolBytes).toBe(8 + 16 + 16);
  });

  test('gathers the payload from its vectors, to all receivers', () => {
    const other = world.open(client);
    const second = other.give(8, sender);
    const vectors = ['ab', '', 'cde', 'f'].map((part) => {
      const bytes = Buffer.from(part);
      return { address: client.put(bytes), length: bytes.length };
    });
    expect(sender.send({ destinations: [handle, second], vectors })).toBe(Errno.OK);
    for (const each of [receiver, other]) expect(each.text(received(each).offset, 6)).toBe('abcdef');
  });

  test('a 32-bit program has vectors of half the size', () => {
    client.is32Bit = true;
    const vectors = ['ab', 'cde'].map((part) => ({ address: client.put(Buffer.from(part)), length: part.length }));
    expect(sender.send({ destinations: [handle], vectors, handles: [16] })).toBe(Errno.OK);
    expect(receiver.text(received().offset, 5)).toBe('abcde');
    expect(receiver.idAt(8)).toBe(11);
    const negative = [{ address: 0, length: 0xffff_ffff }];
    expect(sender.send({ destinations: [handle], vectors: negative })).toBe(Errno.EMSGSIZE);
  });

  test('to nobody keeps new nodes and reads no payload', () => {
    expect(sender.send({ vectors: [{ address: BAD_ADDRESS, length: 5 }], handles: [16, 24], fds: [3] })).toBe(Errno.OK);
    expect(sender.file.status()).toMatchObject({ nodes: 2, used: { handles: 3 } });
    expect(client.taken.map(({ holders }) => holders)).toEqual([0]);
    expect(receiver.receive()).toBe(Errno.EAGAIN);
  });

  test('wakes each receiver once', () => {
    for (let i = 0; i < 3; i++) sender.send({ destinations: [handle] });
    expect([sender.wakes, receiver.wakes]).toEqual([0, 1]);
  });

  test('descriptors are held once for each receiver, until the last has taken them', () => {
    const other = world.open(client);
    expect(sender.send({ destinations: [handle, other.give(8, sender)], fds: [3] })).toBe(Errno.OK);
    const [files] = client.taken;
    const holders = [files?.holders];
    received(receiver);
    holders.push(files?.holders);
    other.close();
    holders.push(files?.holders);
    expect(holders).toEqual([2, 1, 0]);
  });

  test('who sent is known as it was at that time', () => {
    receiver = world.open(Object.assign(new Client(), { shift: 5 }));
    client.files.set(receiver.fd, receiver.file);
    const far = sender.transfer(8, receiver.fd);
    expect(far).toBe(11);
    sender.send({ destinations: [8] });
    const { credentials } = received(sender);
    expect(credentials).toEqual([1000, 20, 300, 301]);
  });

  describe('security contexts', () => {
    test('come at the end, for who wants them', () => {
      const other = world.open(client);
      const second = other.give(8, sender);
      receiver.reset({ flags: 0, peer_flags: 1 });
      client.secctx = Buffer.from('system_u:x');
      expect(sender.send({ destinations: [handle, second], payload: '123456789', handles: [16], fds: [3] })).toBe(
        Errno.OK,
      );
      const [wanted, unwanted] = [received(receiver), received(other)];
      expect(wanted).toMatchObject({ nSecctx: 10, flags: 1 });
      expect(receiver.text(16 + 8 + 8, 10)).toBe('system_u:x');
      expect(unwanted).toMatchObject({ nSecctx: 0, flags: 0 });
      expect([receiver, other].map(({ file }) => file.status().poolBytes)).toEqual([48, 32]);
      expect(client.secctxReads).toBe(1);
    });

    test('that nobody wants are not asked for, and none is none', () => {
      sender.send({ destinations: [handle] });
      expect(client.secctxReads).toBe(0);
      receiver.reset({ flags: 0, peer_flags: 1 });
      sender.send({ destinations: [handle] });
      expect([received(), received()]).toMatchObject([
        { nSecctx: 0, flags: 0 },
        { nSecctx: 0, flags: 0 },
      ]);
    });

    test('that cannot be written fail the call', () => {
      receiver.reset({ flags: 0, peer_flags: 1 });
      client.secctx = Buffer.from('x');
      receiver.memory.isFull = true;
      const before = state();
      expect(sender.send({ destinations: [handle] })).toBe(Errno.ENOMEM);
      expect(state()).toEqual(before);
    });
  });
});

/** Something wrong with a SEND, and what it is answered with. */
interface Fault {
  readonly name: string;
  readonly errno: Errno;
  /** What it changes of a SEND that would succeed. */
  readonly what: () => SendArguments;
  /** What has to be so before. */
  readonly given?: () => unknown;
  /** Whether it is found only at a second destination. */
  readonly isAtSecond?: boolean;
  /** Whether it is one of the receiving side, with which CONTINUE goes on. */
  readonly isReceivers?: boolean;
}

const fault = (
  name: string,
  errno: Errno,
  what: Fault['what'],
  more: Pick<Fault, 'given' | 'isAtSecond' | 'isReceivers'> = {},
): Fault => ({ name, errno, what, ...more });

/** In the order in which the contract has them found, section 6. */
const FAULTS: readonly Fault[] = [
  fault('an unknown flag', Errno.EINVAL, () => ({ flags: 4 })),
  fault('a flag of the upper half', Errno.EINVAL, () => ({ flags: 2 ** 32 })),
  fault('SEED with CONTINUE', Errno.EINVAL, () => ({ flags: SendFlag.SEED | SendFlag.CONTINUE, destinations: [] })),
  fault('SEED with a destination', Errno.EINVAL, () => ({ flags: SendFlag.SEED })),
  fault('too many destinations for anybody', Errno.EMSGSIZE, () => ({ destinations: bad(INT_MAX + 1) })),
  fault('too many vectors', Errno.EMSGSIZE, () => ({ vectors: bad(1025) })),
  fault('too many descriptors', Errno.EMSGSIZE, () => ({ fds: bad(257) })),
  fault('more destinations than handles', Errno.EINVAL, () => ({ destinations: bad(LIMIT + 1) })),
  fault('more handles carried than there may be', Errno.EDQUOT, () => ({ handles: bad(LIMIT + 1) })),
  fault('vectors that cannot be read', Errno.EFAULT, () => ({ vectors: bad(1) })),
  fault('a vector of negative length', Errno.EMSGSIZE, () => ({ vectors: [{ address: 0, length: -1 }] })),
  fault('a handle that cannot be read', Errno.EFAULT, () => ({ handles: bad(1) })),
  fault('a handle that is unknown', Errno.ENXIO, () => ({ handles: [UNKNOWN_ID] })),
  fault('a descriptor number that cannot be read', Errno.EFAULT, () => ({ fds: bad(1) })),
  fault('a descriptor that is not open', Errno.EBADF, () => ({ fds: [-1] })),
  fault('a descriptor of the bus', Errno.EOPNOTSUPP, () => ({ fds: [sender.fd] })),
  fault('more descriptors than the daemon can hold', Errno.EDQUOT, () => ({ fds: [3] }), {
    given: () => {
      client.takeError = Errno.EDQUOT;
    },
  }),
  fault('a destination that cannot be read', Errno.EFAULT, () => ({ destinations: bad(1) })),
  fault('a destination that is unknown', Errno.ENXIO, () => ({ destinations: [UNKNOWN_ID] })),
  fault('a destination twice', Errno.ENOTUNIQ, () => ({ destinations: [handle, handle] }), { isAtSecond: true }),
  fault('a destination that is gone', Errno.ESHUTDOWN, () => ({}), {
    isReceivers: true,
    given: () => receiver.u64(Command.PEER_DISCONNECT, 0),
  }),
  fault('no slice left', Errno.EDQUOT, () => ({}), {
    isReceivers: true,
    given: () => receiver.reset({ flags: 0, max_slices: 0 }),
  }),
  fault('a payload that is larger than a pool', Errno.EMSGSIZE, () => ({
    vectors: [{ address: 0, length: 0x2000_0000 }],
  })),
  fault('no bytes left in flight', Errno.EDQUOT, () => ({}), {
    isReceivers: true,
    given: () => receiver.reset({ flags: 0, max_inflight_bytes: 7 }),
  }),
  fault('no memory left for the user', Errno.EDQUOT, () => ({}), {
    isReceivers: true,
    given: () => {
      receiver.file.peer.user.heldBytes.max = 4095;
    },
  }),
  fault('a payload that cannot be read', Errno.EFAULT, () => ({ vectors: [{ address: BAD_ADDRESS, length: 5 }] })),
  fault('a new node more than there may be', Errno.EDQUOT, () => ({ destinations: [handle, 800] }), {
    given: () => sender.reset({ flags: 0, max_handles: 1 }),
  }),
  fault('errors that cannot be written', Errno.EFAULT, () => ({ flags: SendFlag.CONTINUE, errors: BAD_ADDRESS })),
  fault('a sender that cannot be told', Errno.ENOMEM, () => ({}), {
    given: () => {
      client.identityError = Errno.ENOMEM;
    },
  }),
];

const GOOD = (): SendArguments => ({ destinations: [handle], payload: 'x' });

/** What a SEND is about, as far as it can be wrong in one way only. */
const fieldsOf = (what: SendArguments): string[] =>
  Object.keys(what).map((name) => (name === 'vectors' ? 'payload' : name));

function canMeet(first: Fault, second: Fault): boolean {
  const theirs = fieldsOf(second.what());
  if (fieldsOf(first.what()).some((name) => theirs.includes(name))) return false;
  // what is wrong with the first destination is found before the second is looked at
  if (first.isAtSecond && (second.isReceivers || theirs.includes('payload'))) return false;
  return !(first.isReceivers && second.what().flags === SendFlag.CONTINUE);
}

describe('a SEND with', () => {
  test.each(FAULTS)('$name fails, and leaves everything as it was', ({ errno, what, given }) => {
    given?.();
    const before = state();
    expect(sender.send({ handles: [16], fds: [3], ...GOOD(), ...what() })).toBe(errno);
    expect(state()).toEqual(before);
    expect(client.taken.every(({ holders }) => holders === 0)).toBe(true);
  });

  test.each([...FAULTS.entries()].map(([i, first]) => ({ i, name: first.name, first })))(
    '$name says so, whatever else is wrong that is found later',
    ({ i, first }) => {
      for (const second of FAULTS.slice(i + 1)) {
        arrange();
        if (!canMeet(first, second)) continue;
        first.given?.();
        second.given?.();
        expect(sender.send({ ...GOOD(), ...first.what(), ...second.what() }), second.name).toBe(first.errno);
      }
    },
  );
});

describe('the vectors of a SEND', () => {
  const send = (...vectors: readonly { readonly address: number; readonly length: number }[]): Errno =>
    sender.send({ destinations: [handle], vectors });
  const fine = () => ({ address: client.put(Buffer.from('x')), length: 1 });

  test('may be as many as 1024', () => {
    expect([send(...emptyVectors(1024)), send(...emptyVectors(1025))]).toEqual([Errno.OK, Errno.EMSGSIZE]);
  });

  test('must not reach out of user space, even where they are empty', () => {
    expect(send({ address: USER_SPACE_END, length: 0 })).toBe(Errno.OK);
    expect(send({ address: USER_SPACE_END + 1, length: 0 })).toBe(Errno.EFAULT);
    expect(send({ address: USER_SPACE_END - 5, length: 6 })).toBe(Errno.EFAULT);
    expect(send({ address: 2 ** 63, length: 0 })).toBe(Errno.EFAULT);
  });

  test('sum up to 0x7ffff000 at most, of which no slice is that large', () => {
    const half = { address: 0, length: 0x4000_0000 };
    expect(sender.send({ vectors: [half, { address: 0, length: 0x3fff_f000 }] })).toBe(Errno.OK);
    expect(sender.send({ vectors: [half, { address: 0, length: 0x3fff_f001 }] })).toBe(Errno.EMSGSIZE);
    expect(sender.send({ vectors: [{ address: 0, length: INT_MAX }] })).toBe(Errno.EMSGSIZE);
  });

  test('are looked at one after the other', () => {
    const outside = { address: USER_SPACE_END, length: 1 };
    const negative = { address: 0, length: -1 };
    expect(send(fine(), outside, negative)).toBe(Errno.EFAULT);
    expect(send(fine(), negative, outside)).toBe(Errno.EMSGSIZE);
    expect(send({ address: USER_SPACE_END, length: -1 })).toBe(Errno.EMSGSIZE);
  });

  test('an array that ends too early is EFAULT before anything in it', () => {
    const address = client.putVectors([{ address: 0, length: -1 }]);
    expect(sender.send({ destinations: [handle], vectors: { address, count: 2 } })).toBe(Errno.EFAULT);
  });

  test('a payload that is readable in part is EFAULT', () => {
    const { address } = fine();
    expect(send({ address, length: 2 })).toBe(Errno.EFAULT);
    expect(receiver.receive()).toBe(Errno.EAGAIN);
  });
});

describe('arrays of a SEND that end too early', () => {
  test('are EFAULT after the errors of what can be read', () => {
    expect(sender.send({ handles: tooShort([16]) })).toBe(Errno.EFAULT);
    expect(sender.send({ handles: tooShort([UNKNOWN_ID]) })).toBe(Errno.ENXIO);
    expect(sender.send({ destinations: tooShort([handle]) })).toBe(Errno.EFAULT);
    expect(sender.send({ destinations: tooShort([UNKNOWN_ID]) })).toBe(Errno.ENXIO);
    const fds = (first: number) => ({ address: client.putInts([first]), count: 2 });
    expect(sender.send({ fds: fds(3) })).toBe(Errno.EFAULT);
    expect(sender.send({ fds: fds(-1) })).toBe(Errno.EBADF);
    expect(client.taken.every(({ holders }) => holders === 0)).toBe(true);
  });

  test('half an entry is none', () => {
    const address = client.put(new Uint8Array(12));
    expect(sender.send({ handles: { address, count: 2 } })).toBe(Errno.EFAULT);
  });

  test('each array is read for itself: one that is bad does not hide another', () => {
    expect(sender.send({ destinations: bad(1), handles: [UNKNOWN_ID] })).toBe(Errno.ENXIO);
    expect(sender.send({ destinations: bad(1), fds: [-1] })).toBe(Errno.EBADF);
    expect(sender.send({ fds: bad(1), handles: [UNKNOWN_ID] })).toBe(Errno.ENXIO);
  });

  test('are not read where they have no entries', () => {
    expect(sender.send({ destinations: bad(0), handles: bad(0), fds: bad(0), vectors: bad(0) })).toBe(Errno.OK);
  });
});

describe('CONTINUE', () => {
  let others: Connection[];
  let destinations: HandleId[];
  let errors: number;

  beforeEach(() => {
    others = Array.from({ length: 3 }, () => world.open(client));
    destinations = others.map((each) => each.give(8, sender));
    errors = client.putInts([-7, -7, -7, -7]);
    others[0]?.u64(Command.PEER_DISCONNECT, 0);
    others[1]?.reset({ flags: 0, max_slices: 0 });
  });

  test('reports each destination, and delivers to the others', () => {
    const flags = SendFlag.CONTINUE;
    expect(sender.send({ flags, destinations: [...destinations, handle], payload: 'x', errors })).toBe(Errno.OK);
    expect(client.ints(errors)).toEqual([Errno.ESHUTDOWN, Errno.EDQUOT, 0, 0]);
    expect([others[2] as Connection, receiver].map((each) => received(each).nBytes)).toEqual([1, 1]);
  });

  test('need not be told', () => {
    expect(sender.send({ flags: SendFlag.CONTINUE, destinations })).toBe(Errno.OK);
    expect(received(others[2]).type).toBe(1);
  });

  test('errors of the sender fail the call all the same, and no error is written', () => {
    const flags = SendFlag.CONTINUE;
    expect(sender.send({ flags, destinations: [...destinations, UNKNOWN_ID], errors })).toBe(Errno.ENXIO);
    expect(sender.send({ flags, destinations: [...destinations, handle, handle], errors })).toBe(Errno.ENOTUNIQ);
    const vectors = [{ address: BAD_ADDRESS, length: 1 }];
    expect(sender.send({ flags, destinations, vectors, errors })).toBe(Errno.EFAULT);
    expect(client.ints(errors)).toEqual([-7, -7, -7, -7]);
    expect(others[2]?.receive()).toBe(Errno.EAGAIN);
  });

  test('too large a message is an error of the sender', () => {
    const vectors = [{ address: 0, length: 0x2000_0000 }];
    expect(sender.send({ flags: SendFlag.CONTINUE, destinations: [handle], vectors })).toBe(Errno.EMSGSIZE);
  });

  test('without it no error is written, and the first fails the call', () => {
    expect(sender.send({ destinations: [handle, ...destinations], errors })).toBe(Errno.ESHUTDOWN);
    expect(client.ints(errors)).toEqual([-7, -7, -7, -7]);
    expect(receiver.receive()).toBe(Errno.EAGAIN);
    expect(sender.send({ destinations: [handle], errors: BAD_ADDRESS })).toBe(Errno.OK);
  });

  test('errors that can be written in part deliver nothing', () => {
    const short = client.putInts([0]);
    expect(sender.send({ flags: SendFlag.CONTINUE, destinations: [handle, ...destinations], errors: short })).toBe(
      Errno.EFAULT,
    );
    expect(receiver.receive()).toBe(Errno.EAGAIN);
  });
});

describe('SEED', () => {
  const seed = (payload: string, more: SendArguments = {}): Errno =>
    sender.send({ flags: SendFlag.SEED, payload, ...more });
  const RECV_SEED = 2;

  test('is kept for its peer, and replaced by the next', () => {
    expect([seed('first', { fds: [3] }), seed('second', { handles: [16] })]).toEqual([Errno.OK, Errno.OK]);
    expect(client.taken.map(({ holders }) => holders)).toEqual([0]);
    const message = sender.receive(RECV_SEED);
    expect(message).toMatchObject({ type: 1, nBytes: 6, nHandles: 1, flags: 0 });
    expect(sender.receive(RECV_SEED)).toBe(Errno.EAGAIN);
  });

  test('takes nothing of what is in flight, but of slices and handles', () => {
    sender.reset({ flags: 0, max_inflight_bytes: 0, max_inflight_fds: 0 });
    expect(seed('x', { fds: [3] })).toBe(Errno.OK);
    expect(sender.file.status().used).toMatchObject({ slices: 1, inflightBytes: 0, inflightFds: 0 });
    sender.reset({ flags: 0, max_slices: 1 });
    expect(seed('y')).toBe(Errno.EDQUOT);
    expect(sender.receive(RECV_SEED)).toMatchObject({ nBytes: 1 });
  });

  test('does not make its peer readable', () => {
    seed('x');
    expect([sender.receive(), sender.wakes]).toEqual([Errno.EAGAIN, 0]);
  });
});

test('descriptors that cannot be held are logged', () => {
  client.takeError = Errno.EDQUOT;
  world.descriptors.charge(1000, 8);
  expect(sender.send({ destinations: [handle], fds: [3, 4] })).toBe(Errno.EDQUOT);
  expect(world.lines.at(-1)?.msg).toMatch(
    /asked for 2 more descriptors of peer 1 .*, but all users have 8 of \d+ in use, .*; raise it with ulimit -n/,
  );
});

test('a caller that lacks descriptors to be known by is told that it is a matter of quota', () => {
  client.identityError = Errno.ENFILE;
  expect(sender.send(GOOD())).toBe(Errno.EDQUOT);
});
