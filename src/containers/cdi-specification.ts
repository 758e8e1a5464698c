import { join } from 'node:path';

/** Vendor, class and name by which a container asks for the device: `docker run --device bus1.dev/bus=bus1`. */
const KIND = 'bus1.dev/bus';
const NAME = 'bus1';
/** The first version that has all that is used here, so that every engine with CDI takes it: Docker 25, Podman 4.1. */
const CDI_VERSION = '0.3.0';

export const CDI_DEVICE = `${KIND}=${NAME}`;

export interface CdiOptions {
  /** Where the device is mounted, on the host and in containers alike. */
  readonly directory: string;
  /** What containers get: that directory, or one above it, in which the mount of a restarted daemon appears too. */
  readonly bind: string;
  /** Where in a container a symlink to the device goes. */
  readonly link: string;
  /** The command that creates the link, run by the container runtime as a createContainer hook. */
  readonly hook: readonly string[];
}

/** A Container Device Interface specification of the device (https://github.com/cncf-tags/container-device-interface). */
export function cdiSpecification({ directory, bind, link, hook }: CdiOptions): object {
  const [path = '', ...args] = hook;
  return {
    cdiVersion: CDI_VERSION,
    kind: KIND,
    devices: [
      {
        name: NAME,
        containerEdits: {
          mounts: [
            { hostPath: bind, containerPath: bind, options: ['rbind', 'rslave', 'nosuid', 'nodev', 'noexec', 'rw'] },
          ],
          hooks: [
            {
              hookName: 'createContainer',
              path,
              args: [path, ...args, '--link', link, '--target', join(directory, 'bus1')],
            },
          ],
        },
      },
    ],
  };
}
