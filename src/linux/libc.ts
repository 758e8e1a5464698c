import { promisify } from 'node:util';
import koffi from 'koffi';

/** The C library this process already runs on, glibc or musl. */
const libc = koffi.load(null);

/**
 * Binds a C function by its prototype.
 *
 * Pointers are declared `uintptr_t` and passed as Numbers: a user address has at most 47 bits, so a Number holds it
 * exactly, and no koffi object is made per call. Variadic functions are declared with the arguments they are used
 * with; the Linux calling conventions of x86-64 and arm64 pass those alike.
 */
// biome-ignore lint/suspicious/noExplicitAny: the prototype is the type, and koffi checks it at run time
export const bind = (prototype: string): ((...args: any[]) => number) => libc.func(prototype);

/** The same on a thread of Node's pool, for calls that block; the event loop goes on meanwhile, and errno() says nothing. */
export const bindAsync = (prototype: string): ((...args: number[]) => Promise<number>) =>
  promisify(libc.func(prototype).async as (...args: unknown[]) => void) as (...args: number[]) => Promise<number>;

/** `errno` of the calling thread; meaningful right after a bound function reported failure. */
export const errno = (): number => koffi.errno();

const dlsym = bind('uintptr_t dlsym(uintptr_t handle, const char *name)');

/** The address of a C function, for where one is called back by C code. */
export const functionAddress = (name: string): number => dlsym(0, name);

/** The address of the first byte of a buffer, which must not be moved or freed while the address is in use. */
export const addressOf = (bytes: Uint8Array): number => Number(koffi.address(bytes));
