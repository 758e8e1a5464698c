import { once } from 'node:events';
import { closeSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Logger } from 'pino';
import { errnoName } from '../base/errno.js';
import { ExpectedError } from '../base/expected-error.js';
import type { Poller } from '../linux/poller.js';
import { accept, listenAt, receiveWithDescriptors } from '../linux/socket.js';
import { answerNotification } from './disconnect-notification.js';

/** What a runtime sends on a connection of its own for each container: `containerProcessState` of the OCI runtime specification. */
interface ContainerProcessState {
  /** Names of the descriptors that come along, in their order. */
  readonly fds?: unknown[];
  readonly state?: { readonly id?: string };
}

const SECCOMP_FD = 'seccompFd';
const MAX_STATE = 1 << 20;

/**
 * Answers for containers whose seccomp profile names this socket as its listenerPath: what `bus1fs run` does for one
 * program, for all of them.
 */
export class SeccompAgent {
  private readonly path: string;
  private readonly socket: number;
  private readonly poller: Poller;
  private readonly log: Logger;

  private constructor(path: string, socket: number, poller: Poller, log: Logger) {
    this.path = path;
    this.socket = socket;
    this.poller = poller;
    this.log = log;
    poller.watch(socket, () => this.accept());
  }

  /** Listens at a path, which only root can connect to; a socket that nobody listens at any more is replaced. */
  static async start(path: string, poller: Poller, log: Logger): Promise<SeccompAgent> {
    if (await isListening(path)) throw new ExpectedError(`somebody listens at ${path} already`);
    const socket = listenAt(path);
    if (socket < 0) throw new ExpectedError(`cannot listen at ${path}: ${errnoName(socket)}`);
    return new SeccompAgent(path, socket, poller, log);
  }

  stop(): void {
    closeSync(this.socket);
    rmSync(this.path, { force: true });
  }

  private accept(): void {
    const connection = accept(this.socket);
    if (connection < 0) return;
    const fds: number[] = [];
    let text = '';
    this.poller.watch(connection, () => {
      const part = receiveWithDescriptors(connection);
      text += part.text;
      fds.push(...part.fds);
      // runc keeps the connection open, so that only the text itself tells whether it is complete
      const state = parseState(text);
      if (state === undefined && part.text !== '' && text.length <= MAX_STATE) return;
      this.poller.unwatch(connection);
      closeSync(connection);
      this.take(state, fds);
    });
  }

  /** Serves the listener among the descriptors of a container. */
  private take(state: ContainerProcessState | undefined, fds: readonly number[]): void {
    const names = Array.isArray(state?.fds) ? state.fds : [];
    const listener = fds[names.indexOf(SECCOMP_FD)];
    for (const fd of fds) if (fd !== listener) closeSync(fd);
    if (listener === undefined) this.log.warn('what a container runtime sent was not understood');
    else this.serve(listener, state?.state?.id);
  }

  private serve(listener: number, container: string | undefined): void {
    this.log.info({ container }, 'serving a container');
    this.poller.watch(listener, (isHungUp) => {
      if (!isHungUp && answerNotification(listener)) return;
      this.log.info({ container }, 'the container has ended');
      this.poller.unwatch(listener);
      closeSync(listener);
    });
  }
}

/** Undefined as long as the text is incomplete. */
function parseState(text: string): ContainerProcessState | undefined {
  try {
    return JSON.parse(text) as ContainerProcessState;
  } catch {
    return undefined;
  }
}

/** Whether somebody answers at a socket; one that nobody has open any more is removed. */
async function isListening(path: string): Promise<boolean> {
  const connection = createConnection(path);
  try {
    await once(connection, 'connect');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') rmSync(path);
    return false;
  } finally {
    connection.destroy();
  }
}
