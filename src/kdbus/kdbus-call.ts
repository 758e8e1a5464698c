import { Errno } from '../base/errno.js';
import { type Caller, type MemoryPart, Suspension } from '../device.js';
import { type Parsed, u64Bytes } from './command-parser.js';
import { Cmd } from './kdbus-abi.js';

const NOTHING = new Uint8Array();

/** One command that was read, and what it is going to tell its caller. */
export class KdbusCall {
  readonly caller: Caller;
  readonly command: Parsed;
  returnFlags = 0;
  /** Whether return_flags is left as it is, as after a negotiation. */
  keepsReturnFlags = false;
  private isFinished = false;
  private readonly patches: MemoryPart[];

  constructor(caller: Caller, command: Parsed) {
    this.caller = caller;
    this.command = command;
    this.patches = [...command.answers];
  }

  /** Sets 64-bit fields of the structure, from `offset` on. */
  set(offset: number, ...values: readonly (number | bigint)[]): void {
    this.patch({ address: this.command.address + offset, bytes: u64Bytes(...values) });
  }

  patch(...patches: readonly MemoryPart[]): void {
    this.patches.push(...patches);
  }

  /** Tells all that, and the result, once; EFAULT where that cannot be told. By now everything is done. */
  finish(error: Errno): Errno {
    if (this.isFinished) return error;
    this.isFinished = true;
    if (!this.keepsReturnFlags) this.set(Cmd.return_flags, this.returnFlags);
    return this.write(error);
  }

  private write(error: Errno): Errno {
    try {
      return this.caller.scatter(NOTHING, 0, 0, this.patches) === Errno.OK ? error : Errno.EFAULT;
    } catch (thrown) {
      if (thrown instanceof Suspension) thrown.rest = () => this.write(error);
      throw thrown;
    }
  }
}
