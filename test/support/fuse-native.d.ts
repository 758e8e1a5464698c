/** As much of fuse-native as the tests use; it comes without types. */
declare module 'fuse-native' {
  interface Attributes {
    readonly mode: number;
    readonly size: number;
    readonly mtime: Date;
    readonly atime: Date;
    readonly ctime: Date;
    readonly nlink: number;
    readonly uid: number;
    readonly gid: number;
  }

  interface Operations {
    getattr(path: string, reply: (error: number, attributes: Attributes) => void): void;
    readdir(path: string, reply: (error: number, names: readonly string[]) => void): void;
    open(path: string, flags: number, reply: (error: number, handle: number) => void): void;
    read(
      path: string,
      handle: number,
      buffer: Buffer,
      length: number,
      offset: number,
      reply: (n: number) => void,
    ): void;
  }

  export default class Fuse {
    constructor(
      directory: string,
      operations: Operations,
      options: { readonly allowOther: boolean; readonly timeout: false },
    );
    mount(done: (error: Error | null) => void): void;
  }
}
