import { describe, expect, test } from 'vitest';
import { ATTACH_ALL, AttachFlag, ItemType } from '../../../../src/kdbus/kdbus-abi.js';
import { attachFlagsAt, creatorFlags, grantedFlags, infoFlags } from '../../../../src/kdbus/model/attach-flags.js';
import { numbersItem } from './items.js';

describe('attach flags', () => {
  test('are those there are, or all ones', () => {
    const read = (value: bigint) => attachFlagsAt(numbersItem(ItemType.ATTACH_FLAGS_SEND, [value]).payload, 0);
    expect([0n, 0x3fffn, 0x2001n].map(read)).toEqual([0, 0x3fff, 0x2001]);
    expect(read(0xffff_ffff_ffff_ffffn)).toBe(ATTACH_ALL);
    for (const value of [0x4000n, 0x7fffn, 0x1_0000_0000n, 0xffff_ffff_ffff_fffen]) expect(read(value)).toBeUndefined();
  });

  test('of a message are the receiver’s, less what its sender does not give and is not public', () => {
    const { TIMESTAMP: time, CREDS, PIDS, AUXGROUPS, NAMES, CONN_DESCRIPTION, EXE } = AttachFlag;
    expect(grantedFlags(0, ATTACH_ALL)).toBe(time | CREDS | PIDS | AUXGROUPS | NAMES | CONN_DESCRIPTION);
    expect(grantedFlags(EXE, ATTACH_ALL)).toBe(time | CREDS | PIDS | AUXGROUPS | NAMES | CONN_DESCRIPTION | EXE);
    expect(grantedFlags(ATTACH_ALL, EXE)).toBe(EXE);
    expect(grantedFlags(ATTACH_ALL, 0)).toBe(0);
  });

  test('of CONN_INFO and BUS_CREATOR_INFO are what is given and asked for, but of things that do not apply', () => {
    const { TIMESTAMP: time, CREDS, NAMES, CONN_DESCRIPTION, EXE } = AttachFlag;
    expect(infoFlags(ATTACH_ALL, time | CREDS | NAMES)).toBe(CREDS | NAMES);
    expect(infoFlags(EXE, ATTACH_ALL)).toBe(EXE);
    expect(creatorFlags(ATTACH_ALL, time | CREDS | NAMES | CONN_DESCRIPTION)).toBe(CREDS);
    expect(creatorFlags(0, ATTACH_ALL)).toBe(0);
  });
});
