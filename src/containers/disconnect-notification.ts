import { Errno } from '../base/errno.js';
import { Command } from '../bus1/bus1-abi.js';
import { inspect } from '../caller/descriptor.js';
import { close, ioctl } from '../linux/file.js';
import { NativeBuffer } from '../linux/native-buffer.js';
import { copyDescriptor } from '../linux/pidfd.js';
import {
  AUDIT_ARCH_I386,
  AUDIT_ARCH_X86_64,
  SECCOMP_IOCTL_NOTIF_ID_VALID,
  SECCOMP_IOCTL_NOTIF_RECV,
  SECCOMP_IOCTL_NOTIF_SEND,
  SECCOMP_USER_NOTIF_FLAG_CONTINUE,
  SeccompNotif,
  SeccompNotifResp,
} from '../linux/seccomp.js';
import { servesDevice } from '../supervisor/mount-point.js';
import { IOCTL_I386, IOCTL_X86_64 } from './disconnect-filter.js';

const notification = new NativeBuffer(SeccompNotif.sizeof);
const response = new NativeBuffer(SeccompNotifResp.sizeof);
const zero = new NativeBuffer(8);

/** RECV finds nothing when the thread was killed meanwhile; other errors mean that this is no listener. */
const isPassing = (error: number): boolean => error === Errno.ENOENT || error === Errno.EINTR;

/** A profile may report other calls to its agent too. */
function isNullDisconnect(): boolean {
  const { nr, arch, arg1, arg2 } = SeccompNotif;
  const isIoctl =
    notification.u32(arch) === AUDIT_ARCH_I386
      ? notification.i32(nr) === IOCTL_I386
      : notification.u32(arch) === AUDIT_ARCH_X86_64 && notification.i32(nr) === IOCTL_X86_64;
  return isIoctl && notification.u32(arg1) === Command.PEER_DISCONNECT && notification.u64(arg2) === 0;
}

/**
 * Takes one reported call from a listener; if it is PEER_DISCONNECT with NULL on an open file of a bus1fs mounted here, makes it
 * in the caller's place, with the address of a zero. With all others the kernel itself goes on. False if it is no listener.
 */
export function answerNotification(listener: number): boolean {
  notification.zero(0, SeccompNotif.sizeof);
  const received = ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification.address);
  if (received < 0) return isPassing(-received);
  const error = isNullDisconnect() ? disconnect(listener) : undefined;
  response.zero(0, SeccompNotifResp.sizeof);
  response.setBigU64(SeccompNotifResp.id, notification.bigU64(SeccompNotif.id));
  if (error === undefined) response.setU32(SeccompNotifResp.flags, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
  else response.setI32(SeccompNotifResp.error, -error);
  ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, response.address);
  return true;
}

/** Disconnects the peer that the notification is about. Returns 0 or an errno, or undefined if it is no peer of ours. */
function disconnect(listener: number): number | undefined {
  const copy = copyDescriptor(notification.u32(SeccompNotif.pid), notification.i32(SeccompNotif.arg0));
  if (copy < 0) return undefined;
  try {
    // If its thread has died, the copy may be from another one of the same id.
    const id = notification.address + SeccompNotif.id;
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, id) < 0) return undefined;
    const found = inspect(copy);
    if (typeof found === 'number' || !servesDevice(found.deviceMajor, found.deviceMinor)) return undefined;
    return -ioctl(copy, Command.PEER_DISCONNECT, zero.address);
  } finally {
    close(copy);
  }
}
