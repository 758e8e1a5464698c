import { writeSync } from 'node:fs';
import { type LogSink, lossLine } from '../base/log.js';
import { F_GETFL, F_SETFL, fcntl, O_NONBLOCK } from '../linux/file.js';

/**
 * The log of a process that never waits, on a pipe or socket that another one reads. Lines for which there is no room are
 * counted, and that is said before the next for which there is.
 */
export class LogPipe implements LogSink {
  private readonly name: string;
  private readonly fd: number;
  private lost = 0;
  /** The end of the last line, if there was no room for all of it. */
  private rest: Uint8Array = new Uint8Array();

  constructor(name: string, fd: number) {
    this.name = name;
    this.fd = fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  }

  write(line: string): void {
    this.rest = this.rest.subarray(this.writeSome(this.rest));
    const text = Buffer.from(this.lost === 0 ? line : lossLine(this.name, this.lost) + line);
    const written = this.rest.length === 0 ? this.writeSome(text) : 0;
    if (written === 0) {
      this.lost++;
      return;
    }
    this.lost = 0;
    this.rest = text.subarray(written);
  }

  /** Returns how many bytes there was room for. */
  private writeSome(bytes: Uint8Array): number {
    try {
      return bytes.length === 0 ? 0 : writeSync(this.fd, bytes);
    } catch {
      return 0;
    }
  }
}
