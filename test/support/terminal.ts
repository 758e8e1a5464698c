import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { ioctl } from '../../src/linux/file.js';
import { NativeBuffer } from '../../src/linux/native-buffer.js';

/** asm-generic/ioctls.h */
const TIOCGPTN = 0x8004_5430;
const TIOCSPTLCK = 0x4004_5431;
const CTRL_S = '\x13';

/** A terminal whose user is the test. */
export class Terminal {
  /** What programs have as their standard input, output or error. */
  readonly fd: number;
  readonly path: string;
  private readonly user: number;

  constructor() {
    const { O_RDWR, O_NOCTTY, O_NONBLOCK } = constants;
    this.user = openSync('/dev/ptmx', O_RDWR | O_NOCTTY | O_NONBLOCK);
    const number = new NativeBuffer(4);
    ioctl(this.user, TIOCSPTLCK, number.address);
    ioctl(this.user, TIOCGPTN, number.address);
    this.path = `/dev/pts/${number.u32(0)}`;
    this.fd = openSync(this.path, O_RDWR | O_NOCTTY);
  }

  type(text: string): void {
    writeSync(this.user, text);
  }

  /** From then on whoever writes to it waits. */
  stop(): void {
    this.type(CTRL_S);
  }

  /** What has been shown since the last time. */
  shown(): string {
    const bytes = Buffer.alloc(65536);
    try {
      return bytes.toString('utf8', 0, readSync(this.user, bytes));
    } catch {
      return '';
    }
  }

  close(): void {
    closeSync(this.fd);
    closeSync(this.user);
  }
}
