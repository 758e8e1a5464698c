import { promisify } from 'node:util';
import koffi from 'koffi';

/** The C library this process already runs on, glibc or musl. */
const libc = koffi.load(null);

/**
 * What C functions are called with. Pointers are declared `uintptr_t` and passed as numbers: a user address has at most
 * 47 bits, so a number holds it exactly, and no koffi object is made per call; a `const char *` takes a string.
 */
type Argument = number | string;

/**
 * A C function by its prototype, which must name as many arguments as `Arguments` has. Variadic functions are declared
 * with the arguments they are used with; the Linux calling conventions of x86-64 and arm64 pass those alike.
 */
export const cFunction = <const Arguments extends readonly Argument[]>(
  prototype: string,
): ((...args: Arguments) => number) => libc.func(prototype);

/**
 * A C function that reports failure as system calls do, by -1 and errno. The result returns what it returned, or a
 * negative errno.
 */
export function systemCall<const Arguments extends readonly Argument[]>(
  prototype: string,
): (...args: Arguments) => number {
  const call = cFunction<Argument[]>(prototype);
  const wrapped = WRAPPERS[prototype.split(',').length - 1]?.(call);
  if (wrapped === undefined) throw new Error(`too many arguments: ${prototype}`);
  return wrapped as (...args: readonly Argument[]) => number;
}

const settled = (result: number): number => (result === -1 ? -koffi.errno() : result);

/** By number of arguments: koffi takes exactly as many as the prototype has, and spreading them costs time. */
const WRAPPERS: readonly ((call: (...args: Argument[]) => number) => (...args: Argument[]) => number)[] = [
  (call) => (a) => settled(call(a as Argument)),
  (call) => (a, b) => settled(call(a as Argument, b as Argument)),
  (call) => (a, b, c) => settled(call(a as Argument, b as Argument, c as Argument)),
  (call) => (a, b, c, d) => settled(call(a as Argument, b as Argument, c as Argument, d as Argument)),
  (call) => (a, b, c, d, e) => settled(call(a as Argument, b as Argument, c as Argument, d as Argument, e as Argument)),
  (call) => (a, b, c, d, e, f) =>
    settled(call(a as Argument, b as Argument, c as Argument, d as Argument, e as Argument, f as Argument)),
];

/** cFunction() on a thread of Node's pool, for calls that block; the event loop goes on meanwhile, and errno is lost. */
export const blockingFunction = <const Arguments extends readonly Argument[]>(
  prototype: string,
): ((...args: Arguments) => Promise<number>) =>
  promisify(libc.func(prototype).async as (...args: unknown[]) => void) as (...args: Arguments) => Promise<number>;

const dlsym = cFunction<[handle: number, name: string]>('uintptr_t dlsym(uintptr_t handle, const char *name)');

/** The address of a C function, for where one is called back by C code. */
export const functionAddress = (name: string): number => dlsym(0, name);

/** The address of the first byte of a buffer, which must not be moved or freed while the address is in use. */
export const addressOf = (bytes: Uint8Array): number => Number(koffi.address(bytes));
