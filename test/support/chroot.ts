import { spawnSync } from 'node:child_process';

const { stderr } = spawnSync('unshare', ['--user', 'true'], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });

/** Why there can be no user namespaces, nor containers, whose root would have to be one of their own; undefined if there can be. */
export const whyNoNamespaces = stderr.includes('not permitted')
  ? 'no user namespace can be made here, as in a chroot'
  : undefined;
