import { dirname, join } from 'node:path';

/** Vendor, class and name by which a container asks for the device: `docker run --device bus1.dev/bus=bus1`. */
const KIND = 'bus1.dev/bus';
const NAME = 'bus1';
/** The first version that has all that is used here, so that every engine with CDI takes it: Docker 25, Podman 4.1. */
const CDI_VERSION = '0.3.0';

/** --link and --target, each with its value. */
const LINK_ARGUMENTS = 4;

export const CDI_DEVICE = `${KIND}=${NAME}`;
/** Where engines look for specifications, unless told otherwise. */
export const CDI_DIRECTORIES = ['/etc/cdi', '/var/run/cdi'] as const;

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

/** As much of a Container Device Interface specification as ours have (https://github.com/cncf-tags/container-device-interface). */
export interface CdiSpecification {
  readonly cdiVersion: string;
  readonly kind: string;
  readonly devices: readonly {
    readonly name: string;
    readonly containerEdits: {
      readonly mounts: readonly {
        readonly hostPath: string;
        readonly containerPath: string;
        readonly options: readonly string[];
      }[];
      readonly hooks: readonly {
        readonly hookName: string;
        readonly path: string;
        readonly args: readonly string[];
      }[];
    };
  }[];
}

/** A specification of the device. */
export function cdiSpecification({ directory, bind, link, hook }: CdiOptions): CdiSpecification {
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

/** What a specification was made of; undefined if the text is none of the device. */
export function readCdiSpecification(text: string): CdiOptions | undefined {
  try {
    const { kind, devices } = JSON.parse(text) as CdiSpecification;
    const [device] = devices;
    if (kind !== KIND || device?.name !== NAME) return undefined;
    const { mounts, hooks } = device.containerEdits;
    const args = hooks[0]?.args ?? [];
    const [link = '', target = ''] = ['--link', '--target'].map((option) => args[args.indexOf(option) + 1]);
    return { directory: dirname(target), bind: mounts[0]?.hostPath ?? '', link, hook: args.slice(0, -LINK_ARGUMENTS) };
  } catch {
    return undefined; // not JSON, or of another shape
  }
}
