import { statSync } from 'node:fs';

function isChroot(): boolean {
  try {
    const [here, init] = [statSync('/'), statSync('/proc/1/root/.')];
    return here.dev !== init.dev || here.ino !== init.ino;
  } catch {
    return false; // who may not look at init cannot run containers anyway
  }
}

/** Why no container can be run here, if so. */
export const whyNoContainers = isChroot()
  ? 'this is a chroot, in which a container cannot get a root of its own'
  : undefined;
