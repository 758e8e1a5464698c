import type { Bytes } from '../../base/bytes.js';
import { Errno } from '../../base/errno.js';
import { Creds, Pids } from '../kdbus-abi.js';
import { type NamespaceIds, NO_ID } from './namespace-ids.js';
import type { Credentials, Pid, ProcessIds } from './process-facts.js';

type CredentialField = keyof Credentials;

const USER_FIELDS: readonly CredentialField[] = ['uid', 'euid', 'suid', 'fsuid'];
const GROUP_FIELDS: readonly CredentialField[] = ['gid', 'egid', 'sgid', 'fsgid'];
const UNSET: Credentials = {
  uid: undefined,
  euid: undefined,
  suid: undefined,
  fsuid: undefined,
  gid: undefined,
  egid: undefined,
  sgid: undefined,
  fsgid: undefined,
};

/** CREDS of a HELLO: what its connection pretends to be. EINVAL for an id that its caller's namespace does not have. */
export function fakedCredentials(payload: Bytes, ids: NamespaceIds): Credentials | Errno {
  const faked: Partial<Record<CredentialField, number>> = {};
  for (const field of [...USER_FIELDS, ...GROUP_FIELDS]) {
    const inside = payload.u64(Creds[field]);
    if (inside === NO_ID) continue;
    if (inside > NO_ID) return Errno.EINVAL;
    const id = USER_FIELDS.includes(field) ? ids.uid(inside) : ids.gid(inside);
    if (id === undefined) return Errno.EINVAL;
    faked[field] = id;
  }
  return { ...UNSET, ...faked };
}

/** PIDS of a HELLO. `find` looks in its caller's pid namespace; EINVAL for a process or thread that is not there. */
export function fakedIds(payload: Bytes, find: (number: number) => Pid | undefined): ProcessIds | Errno {
  const faked: Partial<Record<keyof ProcessIds, Pid>> = {};
  for (const field of ['pid', 'tid', 'ppid'] as const) {
    const number = payload.u64(Pids[field]);
    if (number === 0) continue;
    const pid = number > NO_ID ? undefined : find(number);
    if (pid === undefined) return Errno.EINVAL;
    faked[field] = pid;
  }
  return { pid: undefined, tid: undefined, ppid: undefined, ...faked };
}
