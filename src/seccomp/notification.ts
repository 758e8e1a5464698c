import { Command } from '../bus1/abi.js';
import { inspect } from '../caller/descriptor.js';
import { Errno } from '../errno.js';
import { close, ioctl } from '../linux/file.js';
import { errno } from '../linux/libc.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import { copyDescriptor } from '../linux/pidfd.js';
import {
  SECCOMP_IOCTL_NOTIF_RECV,
  SECCOMP_IOCTL_NOTIF_SEND,
  SECCOMP_USER_NOTIF_FLAG_CONTINUE,
  SeccompNotif,
  SeccompNotifResp,
} from '../linux/seccomp.js';
import { servesDevice } from '../supervisor/mount-point.js';

const notification = new NativeBuffer(SeccompNotif.sizeof);
const response = new NativeBuffer(SeccompNotifResp.sizeof);
const zero = new NativeBuffer(8);

/** RECV finds nothing when the thread was killed meanwhile; other errors mean that this is no listener. */
const isPassing = (error: number): boolean => error === Errno.ENOENT || error === Errno.EINTR;

/**
 * Takes one reported call, a PEER_DISCONNECT with NULL, from a listener and makes it in the caller's place, with the address
 * of a zero. Whatever it is about that is not an open file of a bus1fs mounted here, the kernel itself goes on with. False
 * if it is no listener.
 */
export function answerNotification(listener: number): boolean {
  notification.zero(0, SeccompNotif.sizeof);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification.address) < 0) return isPassing(errno());
  const error = disconnect(notification.u32(SeccompNotif.pid), notification.i32(SeccompNotif.arg0));
  response.zero(0, SeccompNotifResp.sizeof);
  response.setBigU64(SeccompNotifResp.id, notification.bigU64(SeccompNotif.id));
  if (error === undefined) response.setU32(SeccompNotifResp.flags, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
  else response.setI32(SeccompNotifResp.error, -error);
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response.address);
  return true;
}

/** Disconnects the peer behind a descriptor of a thread. Returns 0 or an errno, or undefined if it is no peer of ours. */
function disconnect(tid: number, fd: number): number | undefined {
  const copy = copyDescriptor(tid, fd);
  if (copy < 0) return undefined;
  try {
    const { deviceMajor, deviceMinor } = inspect(copy);
    if (!servesDevice(deviceMajor, deviceMinor)) return undefined;
    return ioctl(copy, Command.PEER_DISCONNECT, zero.address) < 0 ? errno() : 0;
  } finally {
    close(copy);
  }
}
