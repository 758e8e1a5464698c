import { close } from './file.js';
import { addressOf, bind } from './libc.js';

const socket = bind('int socket(int domain, int type, int protocol)');
const sendto = bind(
  'int64_t sendto(int fd, uintptr_t buffer, size_t length, int flags, uintptr_t address, unsigned int addressLength)',
);

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** Sends one datagram to a Unix socket; a leading @ stands for the abstract namespace. False if nobody takes it. */
export function sendDatagram(path: string, text: string): boolean {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const data = Buffer.alloc(Buffer.byteLength(text), text);
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  const sent = sendto(fd, addressOf(data), data.length, MSG_NOSIGNAL, addressOf(address), address.length);
  close(fd);
  return sent === data.length;
}
