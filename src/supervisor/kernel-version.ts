import { release } from 'node:os';

/** The first Linux with FUSE passthrough. */
export const LEAST_KERNEL = [6, 9] as const;

/** What to do about an older one. */
export const KERNEL_CURE =
  'Debian 13 and Ubuntu 24.10 have it; on Debian 12: apt-get install linux-image-6.12-amd64, and reboot.';

export function isKernelNewEnough(version = release()): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > LEAST_KERNEL[0] || (major === LEAST_KERNEL[0] && minor >= LEAST_KERNEL[1]);
}
