import { struct } from '../base/struct.js';
import { close } from './file.js';
import { addressOf, systemCall } from './libc.js';
import { NativeBuffer } from './native-buffer.js';

const socket = systemCall<[domain: number, type: number, protocol: number]>(
  'int socket(int domain, int type, int protocol)',
);
const sendto = systemCall<
  [fd: number, buffer: number, length: number, flags: number, address: number, addressLength: number]
>('int64_t sendto(int fd, uintptr_t buffer, size_t length, int flags, uintptr_t address, unsigned int addressLength)');

const bind = systemCall<[fd: number, address: number, addressLength: number]>(
  'int bind(int fd, uintptr_t address, unsigned int addressLength)',
);
const listen = systemCall<[fd: number, backlog: number]>('int listen(int fd, int backlog)');
const accept4 = systemCall<[fd: number, address: number, addressLength: number, flags: number]>(
  'int accept4(int fd, uintptr_t address, uintptr_t addressLength, int flags)',
);
const recvmsg = systemCall<[fd: number, message: number, flags: number]>(
  'int64_t recvmsg(int fd, uintptr_t message, int flags)',
);
export const sendmsg = systemCall<[fd: number, message: number, flags: number]>(
  'int64_t sendmsg(int fd, uintptr_t message, int flags)',
);
const getsockopt = systemCall<[fd: number, level: number, option: number, value: number, length: number]>(
  'int getsockopt(int fd, int level, int option, uintptr_t value, uintptr_t length)',
);

export const AF_UNIX = 1;
const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CTRUNC = 0x8;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;
export const MSG_DONTWAIT = 0x40;
export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
const SO_DOMAIN = 39;

/** Most descriptors in one SCM_RIGHTS message. */
export const SCM_MAX_FD = 253;

/** `struct msghdr` and `struct cmsghdr` on 64-bit Linux. */
export const Msghdr = struct({
  name: 'u64',
  namelen: 'u32',
  padding: 'u32',
  iov: 'u64',
  iovlen: 'u64',
  control: 'u64',
  controllen: 'u64',
  flags: 'u32',
});
export const Cmsghdr = struct({ len: 'u64', level: 'i32', type: 'i32' });

const domainBuffer = new NativeBuffer(8);

/** The address family of a socket, or -1 if it is none. */
export function socketDomain(fd: number): number {
  domainBuffer.setU32(4, 4);
  const failed = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, domainBuffer.address, domainBuffer.address + 4) !== 0;
  return failed ? -1 : domainBuffer.i32(0);
}

/** Sends one datagram to a Unix socket; a leading @ stands for the abstract namespace. False if nobody takes it now. */
export function sendDatagram(path: string, text: string): boolean {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const data = Buffer.alloc(Buffer.byteLength(text), text);
  const address = socketAddress(path);
  const sent = sendto(
    fd,
    addressOf(data),
    data.length,
    MSG_NOSIGNAL | MSG_DONTWAIT,
    addressOf(address),
    address.length,
  );
  close(fd);
  return sent === data.length;
}

/** `struct sockaddr_un`. */
function socketAddress(path: string): Buffer {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  return address;
}

const PRIVATE = 0o177;
const BACKLOG = 128;

/** Makes a stream socket at a path, which only its owner can connect to. Returns it, or a negative errno. */
export function listenAt(path: string): number {
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  const address = socketAddress(path);
  const mask = process.umask(PRIVATE);
  const bound = bind(fd, addressOf(address), address.length);
  process.umask(mask);
  const error = bound < 0 ? bound : listen(fd, BACKLOG);
  if (error === 0) return fd;
  close(fd);
  return error;
}

/** The next connection to a listening socket, or a negative errno. */
export const accept = (fd: number): number => accept4(fd, 0, 0, SOCK_CLOEXEC);

const PART_SIZE = 65536;
const part = new NativeBuffer(PART_SIZE);
const control = new NativeBuffer(Cmsghdr.sizeof + SCM_MAX_FD * 4);
const envelope = new NativeBuffer(Msghdr.sizeof + 16);

/** Receives what has arrived on a stream, with the descriptors that came along. Empty text means its end. */
export function receiveWithDescriptors(fd: number): { readonly text: string; readonly fds: readonly number[] } {
  envelope.zero(0, envelope.size);
  envelope.setIovec(Msghdr.sizeof, part.address, PART_SIZE);
  envelope.setU64(Msghdr.iov, envelope.address + Msghdr.sizeof);
  envelope.setU64(Msghdr.iovlen, 1);
  envelope.setU64(Msghdr.control, control.address);
  envelope.setU64(Msghdr.controllen, control.size);
  const length = recvmsg(fd, envelope.address, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (length <= 0) return { text: '', fds: [] };
  const hasFds =
    envelope.u64(Msghdr.controllen) > Cmsghdr.sizeof &&
    control.i32(Cmsghdr.level) === SOL_SOCKET &&
    control.i32(Cmsghdr.type) === SCM_RIGHTS;
  const nFds = hasFds ? (control.u64(Cmsghdr.len) - Cmsghdr.sizeof) / 4 : 0;
  return {
    text: part.text(0, length),
    fds: Array.from({ length: nFds }, (_, i) => control.i32(Cmsghdr.sizeof + i * 4)),
  };
}
