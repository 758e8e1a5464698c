import koffi from 'koffi';
import { F_SETFD, fcntl } from './file.js';
import { cFunction, functionAddress } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const spawnp = cFunction<[pid: number, file: number, actions: number, attributes: number, argv: number, envp: number]>(
  'int posix_spawnp(uintptr_t pid, uintptr_t file, uintptr_t actions, uintptr_t attributes, uintptr_t argv, uintptr_t envp)',
);
const initAttributes = cFunction<[attributes: number]>('int posix_spawnattr_init(uintptr_t attributes)');
const setFlags = cFunction<[attributes: number, flags: number]>(
  'int posix_spawnattr_setflags(uintptr_t attributes, short flags)',
);
const setDefaultSignals = cFunction<[attributes: number, set: number]>(
  'int posix_spawnattr_setsigdefault(uintptr_t attributes, uintptr_t set)',
);
const setSignalMask = cFunction<[attributes: number, set: number]>(
  'int posix_spawnattr_setsigmask(uintptr_t attributes, uintptr_t set)',
);

const POSIX_SPAWN_SETSIGDEF = 0x4;
const POSIX_SPAWN_SETSIGMASK = 0x8;
/** More than sizeof(posix_spawnattr_t) of glibc and musl, 336. */
const ATTRIBUTES_SIZE = 512;
const SIGSET_SIZE = 128;
const NO_ACTIONS = 0;

const STDIO = [0, 1, 2];
/** The address of `char **environ`. */
const ENVIRON = functionAddress('environ');

/**
 * Starts a program, looked for in PATH, from the calling thread, with no signal blocked or ignored, the environment as it
 * is, standard input, output and error, and what else is not close-on-exec. It is nobody's but the caller's to wait for, unlike Node's own
 * children. Returns its pid or a negative errno.
 */
export function spawnProgram(command: readonly Uint8Array[]): number {
  for (const fd of STDIO) fcntl(fd, F_SETFD, 0); // Node keeps them from its children, if it can
  const none = new NativeBuffer(SIGSET_SIZE);
  const all = new NativeBuffer(SIGSET_SIZE);
  all.u8.fill(0xff);
  const attributes = new NativeBuffer(ATTRIBUTES_SIZE);
  initAttributes(attributes.address);
  setDefaultSignals(attributes.address, all.address);
  setSignalMask(attributes.address, none.address);
  setFlags(attributes.address, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const strings = command.map(cString);
  const argv = new NativeBuffer((strings.length + 1) * 8);
  for (const [i, { address }] of strings.entries()) argv.setU64(i * 8, address);
  const environ = Number(new BigUint64Array(koffi.view(ENVIRON, 8))[0]);
  const pid = new NativeBuffer(4);
  const file = strings[0]?.address ?? 0;
  const error = spawnp(pid.address, file, NO_ACTIONS, attributes.address, argv.address, environ);
  return error === 0 ? pid.i32(0) : -error;
}

function cString(bytes: Uint8Array): NativeBuffer {
  const buffer = new NativeBuffer(bytes.length + 1);
  buffer.u8.set(bytes);
  return buffer;
}
