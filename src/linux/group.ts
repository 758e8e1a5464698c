import koffi from 'koffi';
import { cFunction } from './libc.js';

const getgrnam = cFunction<[name: string]>('uintptr_t getgrnam(const char *name)');

/** `struct group` of glibc and musl on 64-bit machines: name, password, gid, members. */
const GID = 16;

/** The gid of a group, from wherever the system keeps its groups. Undefined if there is none of that name. */
export function groupId(name: string): number | undefined {
  const address = getgrnam(name);
  return address === 0 ? undefined : new Uint32Array(koffi.view(address + GID, 4))[0];
}
