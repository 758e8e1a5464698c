import Fuse from 'fuse-native';

/*
 * A FUSE file system with one file, `hang`, whose reads are never answered. Prints "ready", and lasts until it is killed
 * or unmounted.
 *
 *   hanging-fs.ts DIRECTORY
 */

const SIZE = 65536;
const [, , directory = ''] = process.argv;
const attributes = (mode: number, size: number) => {
  const now = new Date();
  return { mode, size, mtime: now, atime: now, ctime: now, nlink: 1, uid: 0, gid: 0 };
};

const fuse = new Fuse(
  directory,
  {
    getattr: (path, reply) => reply(0, path === '/' ? attributes(0o40755, 0) : attributes(0o100644, SIZE)),
    readdir: (_path, reply) => reply(0, ['hang']),
    open: (_path, _flags, reply) => reply(0, 1),
    read: () => {},
  },
  { allowOther: true, timeout: false },
);
fuse.mount((error) => {
  if (error) throw error;
  console.log('ready');
});
