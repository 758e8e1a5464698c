import { describe, expect, test } from 'vitest';
import { Errno } from '../../../../src/base/errno.js';
import { ItemType } from '../../../../src/kdbus/kdbus-abi.js';
import { fakedCredentials, fakedIds } from '../../../../src/kdbus/model/faked-facts.js';
import { numbersItem } from './items.js';

describe('what a connection pretends to be', () => {
  const IDS = {
    uid: (id: number) => (id < 10 ? id + 1000 : undefined),
    gid: (id: number) => (id < 10 ? id + 2000 : undefined),
  };
  const credentials = (...values: (number | bigint)[]) =>
    fakedCredentials(numbersItem(ItemType.CREDS, values).payload, IDS);
  const NO = 0xffff_ffff;
  const ZEROS: (number | bigint)[] = [0, 0, 0, 0, 0, 0, 0, 0];

  test('are its caller’s ids, each of which may be left open', () => {
    expect(credentials(0, 1, NO, 3, 4, NO, 6, 7)).toEqual({
      uid: 1000,
      euid: 1001,
      suid: undefined,
      fsuid: 1003,
      gid: 2004,
      egid: undefined,
      sgid: 2006,
      fsgid: 2007,
    });
  });

  test.each([10, 0x1_0000_0000, 0xffff_ffff_ffff_ffffn])('are not others, like %s, in any place', (id) => {
    for (let i = 0; i < 8; i++) expect(credentials(...ZEROS.with(i, id))).toBe(Errno.EINVAL);
  });

  test('are not what does not fit, whatever the namespace says', () => {
    const everybody = { uid: (id: number) => id, gid: (id: number) => id };
    const faked = (id: number) => fakedCredentials(numbersItem(ItemType.CREDS, ZEROS.with(0, id)).payload, everybody);
    expect(faked(0xffff_fffe)).toMatchObject({ uid: 0xffff_fffe });
    expect(faked(0x1_0000_0000)).toBe(Errno.EINVAL);
  });

  test('are processes its caller sees, or none', () => {
    const pid = { namespaces: ['host'], numbers: [5] };
    const ids = (...values: (number | bigint)[]) =>
      fakedIds(numbersItem(ItemType.PIDS, values).payload, (number) => (number === 5 ? pid : undefined));
    expect(ids(5, 0, 5)).toEqual({ pid, tid: undefined, ppid: pid });
    expect(ids(0, 0, 0)).toEqual({ pid: undefined, tid: undefined, ppid: undefined });
    for (const values of [
      [6, 0, 0],
      [0, 6, 0],
      [5, 5, 6],
      [0x1_0000_0005, 0, 0],
    ]) {
      expect(ids(...values)).toBe(Errno.EINVAL);
    }
  });
});
