import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary.js';

const PART = Buffer.alloc(65536);
const FILLING = Buffer.alloc(4096, '.');

/** A pipe that is full, and stays so until the test reads from it. */
export class FullPipe {
  /** The end to write to, where writing waits, and where others can open it. */
  readonly fd: number;
  readonly path = join(temporaryDirectory('pipe'), 'fifo');
  private readonly reader: number;

  constructor() {
    const { path } = this;
    execFileSync('mkfifo', [path]);
    this.reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const filler = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    for (let isFull = false; !isFull; ) {
      try {
        writeSync(filler, FILLING);
      } catch {
        isFull = true;
      }
    }
    this.fd = openSync(path, 'w');
    closeSync(filler);
  }

  /** What is in it, but for what it was filled with. */
  read(): string {
    let text = '';
    try {
      for (let length = -1; length !== 0; ) {
        length = readSync(this.reader, PART);
        text += PART.toString('utf8', 0, length);
      }
    } catch {
      // it is empty
    }
    return text.replace(/^\.+/, '');
  }

  /** Leaves nobody to read it. */
  closeReader(): void {
    closeSync(this.reader);
  }

  close(): void {
    closeSync(this.fd);
    closeSync(this.reader);
  }
}
