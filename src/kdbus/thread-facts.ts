import { Errno } from '../base/errno.js';
import type { Caller, ThreadStanding, ThreadTrait, Viewpoint } from '../device.js';
import type { SendingThread } from './model/message-metadata.js';
import type { MetadataViewpoint } from './model/metadata-viewpoint.js';
import type { Audit, Capabilities, Credentials, Fact, ProcessFacts, ProcessIds } from './model/process-facts.js';

const UNSET_UID = 0xffff_ffff;

/** What a calling thread is, found out when it is asked for and then kept, as long as its call is not answered. */
export class ThreadFacts implements SendingThread {
  private readonly caller: Caller;
  private readonly lastCapability: number;
  private known: ThreadStanding | Errno | undefined;
  private readonly texts = new Map<ThreadTrait, string | undefined>();

  constructor(caller: Caller, lastCapability: number) {
    this.caller = caller;
    this.lastCapability = lastCapability;
  }

  get standing(): ThreadStanding | Errno {
    this.known ??= this.caller.standing();
    return this.known;
  }

  private text(name: ThreadTrait): string | undefined {
    if (!this.texts.has(name)) this.texts.set(name, this.caller.trait(name));
    return this.texts.get(name);
  }

  private bytes(name: ThreadTrait): Uint8Array | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : Buffer.from(text, 'latin1');
  }

  private fact<Value>(of: (standing: ThreadStanding) => Value): Fact<Value> {
    const { standing } = this;
    return typeof standing === 'number' ? standing : of(standing);
  }

  get credentials(): Fact<Credentials> {
    return this.fact(({ uids, gids }) => {
      const [uid, euid, suid, fsuid] = uids;
      const [gid, egid, sgid, fsgid] = gids;
      return { uid, euid, suid, fsuid, gid, egid, sgid, fsgid };
    });
  }

  get ids(): Fact<ProcessIds> {
    return this.fact(({ process, thread, parent }) => ({ pid: process, tid: thread, ppid: parent }));
  }

  get groups(): Fact<readonly number[]> {
    return this.fact(({ groups }) => groups);
  }

  get capabilities(): Fact<Capabilities> {
    return this.fact(({ capabilities, userNamespace, uids }) => {
      const [inheritable, permitted, effective, bounding] = capabilities as [bigint, bigint, bigint, bigint];
      const euid = uids[1] as number;
      return { last: this.lastCapability, inheritable, permitted, effective, bounding, userNamespace, euid };
    });
  }

  get threadName(): Fact<Uint8Array> {
    return this.bytes('tidComm');
  }

  get processName(): Fact<Uint8Array> {
    return this.bytes('pidComm');
  }

  get executable(): Fact<Uint8Array> {
    return this.bytes('exe');
  }

  get commandLine(): Fact<Uint8Array> {
    return this.bytes('cmdline');
  }

  get cgroup(): Fact<Uint8Array> {
    return this.bytes('cgroup');
  }

  get securityLabel(): Fact<Uint8Array> {
    return this.bytes('securityLabel');
  }

  get root(): Fact<string> {
    return this.text('root');
  }

  get audit(): Fact<Audit> {
    const sessionId = this.text('sessionId');
    const loginUid = this.text('loginUid');
    if (sessionId === undefined || loginUid === undefined) return undefined;
    return { sessionId: Number(sessionId), loginUid: Number(loginUid) === UNSET_UID ? undefined : Number(loginUid) };
  }

  /** All of it as it is now. */
  capture(): ProcessFacts {
    const { credentials, ids, groups, threadName, processName, executable } = this;
    const { commandLine, cgroup, capabilities, securityLabel, audit } = this;
    return {
      credentials,
      ids,
      groups,
      threadName,
      processName,
      executable,
      commandLine,
      cgroup,
      capabilities,
      securityLabel,
      audit,
    };
  }
}

/** Where a connection sees others from: its opener's user namespace, and whoever said HELLO otherwise. */
export function metadataViewpoint(opener: Viewpoint, hello: Viewpoint, root: string | undefined): MetadataViewpoint {
  return {
    pidNamespace: hello.pidNamespace,
    userNamespaces: opener.userNamespaces,
    root,
    uid: (id) => opener.uidInside(id),
    gid: (id) => opener.gidInside(id),
  };
}

/** Why a standing is not known, as an errno. */
export const errorOf = (standing: ThreadStanding | Errno): Errno =>
  typeof standing === 'number' ? standing : Errno.OK;
