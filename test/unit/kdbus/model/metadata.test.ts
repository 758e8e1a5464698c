import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { ATTACH_ALL, AttachFlag, ItemType, NameFlag } from '../../../../src/kdbus/kdbus-abi.js';
import { ItemWriter } from '../../../../src/kdbus/model/item-writer.js';
import { writeMetadata } from '../../../../src/kdbus/model/metadata.js';
import type { Timestamp } from '../../../../src/kdbus/model/metadata-codec.js';
import type { MetadataViewpoint } from '../../../../src/kdbus/model/metadata-viewpoint.js';
import { Claim, ClaimedName } from '../../../../src/kdbus/model/name-claim.js';
import { NO_FACTS, type ProcessFacts } from '../../../../src/kdbus/model/process-facts.js';
import { BOX, FACTS, HOST, INNER } from './facts.js';

const TIMESTAMP: Timestamp = { sequence: 9, monotonic: 2n ** 60n + 1n, realtime: 2n ** 61n + 1n };
const CLAIMS = new Map(
  [
    ['foo.one', NameFlag.PRIMARY | NameFlag.QUEUE],
    ['foo.waits', NameFlag.IN_QUEUE],
    ['foo.second', NameFlag.PRIMARY],
  ].map(([text, flags]) => [text as string, new Claim<unknown>({}, new ClaimedName(text as string), flags as number)]),
);

interface Options {
  readonly process?: ProcessFacts;
  readonly viewpoint?: MetadataViewpoint;
  readonly callerRoot?: string | undefined | Errno;
  readonly description?: string | undefined;
  readonly claims?: ReadonlyMap<string, Claim<unknown>>;
}

function written(flags: number, options: Options = {}): Buffer {
  const { process = FACTS, viewpoint = BOX, claims = CLAIMS } = options;
  const description = 'description' in options ? options.description : 'me';
  const callerRoot = 'callerRoot' in options ? options.callerRoot : viewpoint.root;
  const writer = new ItemWriter();
  const error = writeMetadata(
    writer,
    flags,
    { process, claims, description },
    { viewpoint, callerRoot },
    () => TIMESTAMP,
  );
  expect(error).toBe(Errno.OK);
  const { size } = writer;
  const taken = writer.take();
  expect(taken.length).toBe(size);
  return Buffer.from(taken);
}

/** Takes items apart, checking their places and padding. */
function items(bytes: Buffer): { type: number; payload: Buffer }[] {
  const found = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + Number(bytes.readBigUInt64LE(at));
    found.push({ type: Number(bytes.readBigUInt64LE(at + 8)), payload: bytes.subarray(at + 16, end) });
    at = Math.ceil(end / 8) * 8;
    expect([...bytes.subarray(end, at)].every((byte) => byte === 0)).toBe(true);
    if (end >= bytes.length) expect(bytes.length).toBe(end);
  }
  return found;
}

const numbers = (payload: Buffer): number[] =>
  Array.from({ length: payload.length / 8 }, (_, i) => Number(payload.readBigUInt64LE(i * 8)));

/** The payload of the only item. */
function payload(flag: number, options?: Options): Buffer {
  const [one, ...others] = items(written(flag, options));
  expect(others).toEqual([]);
  if (one === undefined) throw new Error('no item');
  return one.payload;
}

describe('metadata', () => {
  test('comes in one order', () => {
    expect(items(written(ATTACH_ALL)).map(({ type }) => type)).toEqual([
      ItemType.CREDS,
      ItemType.PIDS,
      ItemType.AUXGROUPS,
      ItemType.TID_COMM,
      ItemType.PID_COMM,
      ItemType.EXE,
      ItemType.CMDLINE,
      ItemType.CGROUP,
      ItemType.CAPS,
      ItemType.SECLABEL,
      ItemType.AUDIT,
      ItemType.OWNED_NAME,
      ItemType.OWNED_NAME,
      ItemType.CONN_DESCRIPTION,
      ItemType.TIMESTAMP,
    ]);
  });

  test.each([
    ['CREDS', 80],
    ['PIDS', 40],
    ['AUXGROUPS', 32],
    ['TID_COMM', 23],
    ['PID_COMM', 24],
    ['EXE', 39],
    ['CMDLINE', 20],
    ['CGROUP', 18],
    ['CAPS', 52],
    ['SECLABEL', 27],
    ['AUDIT', 24],
    ['NAMES', 32 + 35],
    ['CONN_DESCRIPTION', 19],
    ['TIMESTAMP', 40],
  ] as const)('%s takes %i bytes, unpadded', (name, size) => {
    expect(written(AttachFlag[name]).length).toBe(size);
  });

  test('is what was asked for and is known', () => {
    expect(written(0).length).toBe(0);
    expect(written(ATTACH_ALL, { process: NO_FACTS, claims: new Map(), description: undefined }).length).toBe(40);
    expect(items(written(AttachFlag.PIDS | AttachFlag.AUDIT)).map(({ type }) => type)).toEqual([
      ItemType.PIDS,
      ItemType.AUDIT,
    ]);
  });

  test('fails where something that is asked for could not be found out', () => {
    const process = { ...FACTS, cgroup: Errno.ENOMEM, audit: Errno.EIO };
    const subject = { process, claims: CLAIMS, description: undefined };
    const error = (flags: number, callerRoot: string | Errno = '/box') =>
      writeMetadata(new ItemWriter(), flags, subject, { viewpoint: BOX, callerRoot });
    expect(error(ATTACH_ALL)).toBe(Errno.ENOMEM);
    expect(error(AttachFlag.AUDIT)).toBe(Errno.EIO);
    expect(error(ATTACH_ALL & ~(AttachFlag.AUDIT | AttachFlag.CGROUP))).toBe(Errno.OK);
    expect(error(AttachFlag.EXE, Errno.ENFILE)).toBe(Errno.ENFILE);
    expect(error(AttachFlag.PIDS, Errno.ENFILE)).toBe(Errno.OK);
  });
});

describe('each kind', () => {
  test('CREDS: ids in the viewpoint’s namespace, 65534 for those it does not have, -1 for unset ones', () => {
    expect(numbers(payload(AttachFlag.CREDS))).toEqual([0, 1, 65534, 3, 0, 65534, 2, 0xffff_ffff]);
    expect(numbers(payload(AttachFlag.CREDS, { viewpoint: HOST }))).toEqual([
      1000, 1001, 7, 1003, 2000, 8, 2002, 0xffff_ffff,
    ]);
  });

  test('PIDS: numbers in the viewpoint’s namespace, 0 for what is not there', () => {
    expect(numbers(payload(AttachFlag.PIDS, { viewpoint: HOST }))).toEqual([100, 101, 99]);
    expect(numbers(payload(AttachFlag.PIDS))).toEqual([10, 11, 0]);
    expect(numbers(payload(AttachFlag.PIDS, { viewpoint: INNER }))).toEqual([0, 0, 0]);
    const unset = { ...FACTS, ids: { pid: undefined, tid: undefined, ppid: undefined } };
    expect(numbers(payload(AttachFlag.PIDS, { process: unset }))).toEqual([0, 0, 0]);
  });

  test('AUXGROUPS: 64 bits each, also none', () => {
    expect(numbers(payload(AttachFlag.AUXGROUPS))).toEqual([65534, 1]);
    expect(payload(AttachFlag.AUXGROUPS, { process: { ...FACTS, groups: [] } }).length).toBe(0);
  });

  test.each([
    ['TID_COMM', 'thread'],
    ['PID_COMM', 'program'],
    ['EXE', '/bin/program (deleted)'],
    ['CGROUP', '/'],
    ['SECLABEL', 'unconfined'],
    ['CONN_DESCRIPTION', 'me'],
  ] as const)('%s: text and a NUL', (name, text) => {
    expect(payload(AttachFlag[name]).toString()).toBe(`${text}\0`);
  });

  test('CMDLINE: bytes as they are', () => {
    expect([...payload(AttachFlag.CMDLINE)]).toEqual([0xff, 0x20, 0xfe, 0]);
  });

  test('EXE: only for whom the calling thread’s root is its own', () => {
    expect(written(AttachFlag.EXE, { callerRoot: '/' }).length).toBe(0);
    expect(written(AttachFlag.EXE, { callerRoot: undefined }).length).toBe(0);
    expect(written(AttachFlag.EXE, { callerRoot: undefined, viewpoint: { ...BOX, root: undefined } }).length).toBe(0);
    expect(written(AttachFlag.EXE, { callerRoot: '/', viewpoint: HOST }).length).toBe(39);
  });

  test('CAPS: the last one and four sets, low words first, without bits that there are not', () => {
    const words = (bytes: Buffer) => Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readUInt32LE(i * 4));
    expect(words(payload(AttachFlag.CAPS))).toEqual([
      40, 1, 0, 0xffff_fffe, 0x1ff, 0x4567_89ab, 0x123, 0xffff_ffff, 0x1ff,
    ]);
    expect(words(payload(AttachFlag.CAPS, { viewpoint: HOST }))).toEqual([40, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(words(payload(AttachFlag.CAPS, { viewpoint: INNER }))).toEqual([
      40, 0, 0, 0xffff_ffff, 0x1ff, 0xffff_ffff, 0x1ff, 0xffff_ffff, 0x1ff,
    ]);
  });

  test('AUDIT: session and login uid, -1 for one that is unset or not mapped', () => {
    const words = (bytes: Buffer) => [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
    expect(words(payload(AttachFlag.AUDIT))).toEqual([3, 4]);
    for (const loginUid of [5, undefined]) {
      const process = { ...FACTS, audit: { sessionId: 0xffff_ffff, loginUid } };
      expect(words(payload(AttachFlag.AUDIT, { process }))).toEqual([0xffff_ffff, 0xffff_ffff]);
    }
  });

  test('NAMES: those that are owned', () => {
    const found = items(written(AttachFlag.NAMES)).map(({ payload: one }) => [
      Number(one.readBigUInt64LE()),
      one.toString('latin1', 8),
    ]);
    expect(found).toEqual([
      [0x24, 'foo.one\0'],
      [0x20, 'foo.second\0'],
    ]);
  });

  test('TIMESTAMP: number and both clocks, exactly', () => {
    const found = payload(AttachFlag.TIMESTAMP);
    expect([0, 8, 16].map((at) => found.readBigUInt64LE(at))).toEqual([9n, 2n ** 60n + 1n, 2n ** 61n + 1n]);
  });
});
