import { once } from 'node:events';
import { closeSync, existsSync, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Errno } from '../../../src/base/errno.js';
import { close } from '../../../src/linux/file.js';
import { IOVEC_SIZE, NativeBuffer } from '../../../src/linux/native-buffer.js';
import {
  AF_UNIX,
  accept,
  Cmsghdr,
  listenAt,
  Msghdr,
  receiveWithDescriptors,
  SCM_RIGHTS,
  SOL_SOCKET,
  sendDatagram,
  sendmsg,
  socketDomain,
} from '../../../src/linux/socket.js';
import { packetPair } from '../../support/kernel.js';
import { temporaryDirectory } from '../../support/temporary.js';

/** Sends a text with descriptors, as sendmsg(2) has it. */
function sendWithDescriptors(socket: number, text: string, fds: readonly number[]): void {
  const controlSize = Cmsghdr.sizeof + fds.length * 4;
  const control = new NativeBuffer(Math.ceil(controlSize / 8) * 8);
  control.setU64(Cmsghdr.len, controlSize);
  control.setI32(Cmsghdr.level, SOL_SOCKET);
  control.setI32(Cmsghdr.type, SCM_RIGHTS);
  for (const [i, fd] of fds.entries()) control.setI32(Cmsghdr.sizeof + i * 4, fd);
  const data = new NativeBuffer(text.length);
  data.u8.set(Buffer.from(text));
  const vector = new NativeBuffer(IOVEC_SIZE);
  vector.setIovec(0, data.address, text.length);
  const message = new NativeBuffer(Msghdr.sizeof);
  message.setU64(Msghdr.iov, vector.address);
  message.setU64(Msghdr.iovlen, 1);
  if (fds.length > 0) {
    message.setU64(Msghdr.control, control.address);
    message.setU64(Msghdr.controllen, controlSize);
  }
  expect(sendmsg(socket, message.address, 0)).toBe(text.length);
}

describe('receiveWithDescriptors', () => {
  test('gives text and descriptors, and afterwards neither', () => {
    const [a, b] = packetPair();
    const null_ = openSync('/dev/null', 'r');
    sendWithDescriptors(a, 'two of them', [null_, null_]);
    const { text, fds } = receiveWithDescriptors(b);
    expect([text, fds.length]).toEqual(['two of them', 2]);
    for (const fd of fds) {
      expect(fstatSync(fd).rdev).toBe(fstatSync(null_).rdev);
      closeSync(fd);
    }
    sendWithDescriptors(a, 'none', []);
    expect(receiveWithDescriptors(b)).toEqual({ text: 'none', fds: [] });
    expect(receiveWithDescriptors(b)).toEqual({ text: '', fds: [] });
    for (const fd of [a, b, null_]) close(fd);
  });
});

describe('socketDomain', () => {
  test('tells Unix sockets from others and from what is none', () => {
    const [a, b] = packetPair();
    const file = openSync('/dev/null', 'r');
    expect([socketDomain(a), socketDomain(file), socketDomain(-1)]).toEqual([AF_UNIX, -1, -1]);
    for (const fd of [a, b, file]) close(fd);
  });
});

describe('listenAt', () => {
  test('makes a socket for its owner alone, and leaves the mask of this process', async () => {
    const path = join(temporaryDirectory('socket'), 's');
    const mask = process.umask(0o022);
    const socket = listenAt(path);
    expect(process.umask(mask)).toBe(0o022);
    expect(socket).toBeGreaterThanOrEqual(0);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const client = createConnection(path);
    await once(client, 'connect');
    const connection = accept(socket);
    expect(socketDomain(connection)).toBe(AF_UNIX);
    client.destroy();
    for (const fd of [connection, socket]) close(fd);
    rmSync(path);
  });

  test('says why it cannot', () => {
    const path = join(temporaryDirectory('socket'), 's');
    const socket = listenAt(path);
    expect(-listenAt(path)).toBe(98); // EADDRINUSE
    expect(-listenAt('/nonexistent/s')).toBe(Errno.ENOENT);
    close(socket);
    rmSync(path);
    expect(existsSync(path)).toBe(false);
  });
});

describe('sendDatagram', () => {
  test('is false where nobody takes it', () => {
    expect(sendDatagram('/nonexistent', 'x')).toBe(false);
    expect(sendDatagram('@bus1fs-nobody', 'x')).toBe(false);
  });
});
