import { closeSync, openSync, read, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  INIT_OUT_SIZE,
  InHeader,
  InitOut,
  OutHeader,
} from '../../src/fuse/fuse-abi.js';
import { MNT_DETACH, MNT_FORCE, mount, unmount } from '../../src/linux/mount-table.js';
import { NativeBuffer } from '../../src/linux/native-buffer.js';
import { temporaryDirectory } from './temporary.js';

/** A file system that takes requests and answers none: who makes one cannot even be killed. */
export class DeadFileSystem {
  readonly directory = temporaryDirectory('dead');
  private readonly fuse = openSync('/dev/fuse', 'r+');
  private readonly request = new NativeBuffer(65536);

  constructor() {
    const options = `fd=${this.fuse},rootmode=40755,user_id=0,group_id=0`;
    if (mount('dead', this.directory, 'fuse', 0, options) !== 0) throw new Error('no FUSE');
    readSync(this.fuse, this.request.u8);
    const reply = new NativeBuffer(INIT_OUT_SIZE);
    reply.setU32(OutHeader.len, INIT_OUT_SIZE);
    reply.setU64(OutHeader.unique, this.request.u64(InHeader.unique));
    reply.setU32(InitOut.major, FUSE_KERNEL_VERSION);
    reply.setU32(InitOut.minor, FUSE_KERNEL_MINOR_VERSION);
    writeSync(this.fuse, reply.u8);
  }

  /** Takes the next request. */
  async take(): Promise<void> {
    await promisify(read)(this.fuse, this.request.u8, 0, this.request.size, null);
  }

  /** Lets everybody go who waits. */
  end(): void {
    unmount(this.directory, MNT_FORCE);
    unmount(this.directory, MNT_DETACH);
    closeSync(this.fuse);
  }
}
