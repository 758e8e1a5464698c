import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { ATTACH_ALL, AttachFlag, ItemType } from '../../../../src/kdbus/kdbus-abi.js';
import { MessageMetadata } from '../../../../src/kdbus/model/message-metadata.js';
import type { MetadataViewpoint } from '../../../../src/kdbus/model/metadata-viewpoint.js';
import type { ProcessFacts } from '../../../../src/kdbus/model/process-facts.js';
import { BOX, FACTS, HOST, INNER } from './facts.js';

const { TIMESTAMP, CREDS, PIDS, EXE, CGROUP, CONN_DESCRIPTION } = AttachFlag;

/** A message whose sender's facts count how often each is asked for. */
function message(options: { sendFlags?: number; isFaked?: boolean; facts?: ProcessFacts; root?: string | Errno } = {}) {
  const { sendFlags = 0, isFaked = false, facts = FACTS, root = '/' } = options;
  const asked: string[] = [];
  const thread = new Proxy(
    { ...facts, root },
    {
      get(target, key) {
        asked.push(String(key));
        return Reflect.get(target, key);
      },
    },
  );
  let stamps = 0;
  const metadata = new MessageMetadata({ sendFlags, isFaked, claims: new Map(), description: 'me' }, thread, () => ({
    sequence: 1,
    monotonic: BigInt(++stamps),
    realtime: 0n,
  }));
  return {
    asked,
    stamps: () => stamps,
    items: (receiveFlags: number, viewpoint: MetadataViewpoint = HOST) =>
      metadata.itemsFor({ receiveFlags, viewpoint }),
  };
}

/** The types of the items, or an errno. */
function types(bytes: Uint8Array | Errno): number[] | Errno {
  if (typeof bytes === 'number') return bytes;
  const buffer = Buffer.from(bytes);
  const found: number[] = [];
  for (let at = 0; at < buffer.length; at = Math.ceil((at + buffer.readUInt32LE(at)) / 8) * 8) {
    found.push(buffer.readUInt32LE(at + 8));
  }
  return found;
}

/** The AttachFlag bits of the items there are. */
const bitsOf = (bytes: Uint8Array | Errno): number => {
  const found = types(bytes);
  if (typeof found === 'number') throw new Error('failed');
  return found.reduce((bits, type) => bits | (1 << (type - ItemType.TIMESTAMP)), 0);
};

const PUBLIC = TIMESTAMP | CREDS | PIDS | AttachFlag.AUXGROUPS | CONN_DESCRIPTION;
const ALL = ATTACH_ALL & ~AttachFlag.NAMES;

describe('MessageMetadata', () => {
  test('gives whoever sees the thread what it wants, whatever the sender gives', () => {
    expect(bitsOf(message().items(ATTACH_ALL))).toBe(ALL);
    expect(bitsOf(message().items(ATTACH_ALL, BOX))).toBe(ALL & ~EXE);
    expect(bitsOf(message().items(CGROUP))).toBe(CGROUP);
  });

  test('gives everybody else what is public or given', () => {
    expect(bitsOf(message().items(ATTACH_ALL, INNER))).toBe(PUBLIC);
    expect(bitsOf(message({ sendFlags: CGROUP }).items(ATTACH_ALL, INNER))).toBe(PUBLIC | CGROUP);
    expect(bitsOf(message({ sendFlags: ATTACH_ALL, root: '/box' }).items(ATTACH_ALL, INNER))).toBe(ALL);
  });

  test('of who pretends to be somebody else tells nothing of a process', () => {
    for (const sendFlags of [0, ATTACH_ALL]) {
      const faked = message({ sendFlags, isFaked: true });
      expect(bitsOf(faked.items(ATTACH_ALL))).toBe(TIMESTAMP | CONN_DESCRIPTION);
      expect(faked.asked.filter((one) => one !== 'root')).toEqual([]);
    }
  });

  test('finds out only what somebody wants', () => {
    const { items, asked, stamps } = message();
    expect(items(0)).toEqual(new Uint8Array());
    expect(asked).toEqual([]);
    items(CONN_DESCRIPTION | CREDS);
    expect(asked).toEqual(['credentials']);
    expect(stamps()).toBe(0);
  });

  test('takes the time once', () => {
    const { items, stamps } = message();
    const [first, second] = [items(TIMESTAMP), items(TIMESTAMP, BOX)];
    expect(stamps()).toBe(1);
    expect(first).toEqual(second);
  });

  test('is made once for receivers in a row that want and see the same', () => {
    const { items, asked } = message();
    const first = items(ATTACH_ALL);
    const { length } = asked;
    expect(items(ATTACH_ALL)).toBe(first);
    expect(items(CREDS)).not.toBe(first);
    expect(types(items(CREDS, BOX))).toEqual([0x1001]);
    expect(items(CREDS, BOX)).not.toEqual(items(CREDS, HOST));
    expect(items(ATTACH_ALL)).toEqual(first);
    expect(length).toBeLessThan(asked.length);
  });

  test('fails for whom something could not be found out, and for nobody else', () => {
    const { items } = message({ facts: { ...FACTS, cgroup: Errno.EIO }, root: Errno.ENFILE });
    expect(items(CREDS | CGROUP)).toBe(Errno.EIO);
    expect(types(items(CREDS))).toEqual([0x1001]);
    expect(items(CREDS | EXE)).toBe(Errno.ENFILE);
    expect(types(items(PIDS | CREDS))).toEqual([0x1001, 0x1002]);
    const unknown = message({ facts: { ...FACTS, ids: Errno.ENOMEM } });
    expect(types(unknown.items(CREDS))).toEqual([0x1001]);
    expect(unknown.items(CGROUP)).toBe(Errno.ENOMEM);
  });

  test('has room for whatever there is', () => {
    const groups = Array.from({ length: 65536 }, (_, i) => i);
    const facts = { ...FACTS, groups, commandLine: Buffer.alloc(200_000, 'x') };
    const { items } = message({ facts });
    const found = items(AttachFlag.AUXGROUPS | AttachFlag.CMDLINE | CREDS);
    expect(types(found)).toEqual([0x1001, 0x1003, 0x1008]);
    expect(typeof found === 'number' ? 0 : found.length).toBe(80 + 16 + 65536 * 8 + 16 + 200_001);
  });
});
