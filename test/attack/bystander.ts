import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../support/eventually.js';
import { temporaryDirectory } from '../support/temporary.js';

/** The kinds of calls, as bystander.c has them, but for the last, which is not of the bus. */
const KINDS = ['PEER_QUERY', 'SEND and RECV', 'open'] as const;
const KIND_SIZE = 40;
const FIELDS = { begun: 0, worst: 8, calls: 16, errors: 24, error: 32 } as const;
const PAGE_SIZE = 4096;
/** Who it is. */
const UID = 1001;

/** What a bystander has noticed. */
export interface Notes {
  /** How long its longest call took, or has taken so far, in ms, and which it is. */
  readonly worst: number;
  readonly kind: string;
  /** The errnos of calls that failed. */
  readonly errors: readonly number[];
}

/** An unrelated user of a daemon. */
export class Bystander {
  private readonly file: number;
  private readonly process: ChildProcess;

  private constructor(program: string, device: string) {
    const path = join(temporaryDirectory('bystander'), 'notes');
    writeFileSync(path, Buffer.alloc(PAGE_SIZE));
    chmodSync(path, 0o666);
    this.file = openSync(path, 'r+');
    const user = ['--reuid', `${UID}`, '--regid', `${UID}`, '--clear-groups'];
    this.process = spawn('setpriv', [...user, '--', program, device, path], { stdio: 'ignore' });
  }

  static async start(program: string, device: string): Promise<Bystander> {
    const bystander = new Bystander(program, device);
    await eventually(() => KINDS.every((_, i) => bystander.read(i, FIELDS.calls) > 0), 'a bystander makes calls');
    return bystander;
  }

  private read(kind: number, field: number): number {
    const bytes = Buffer.alloc(8);
    readSync(this.file, bytes, 0, 8, kind * KIND_SIZE + field);
    return Number(bytes.readBigUInt64LE());
  }

  /** It forgets what it has noticed. */
  clear(): void {
    const zeros = Buffer.alloc(KIND_SIZE - FIELDS.worst);
    for (const [i] of KINDS.entries()) writeSync(this.file, zeros, 0, zeros.length, i * KIND_SIZE + FIELDS.worst);
  }

  /** Since the last clear(). */
  get notes(): Notes {
    const now = Number(process.hrtime.bigint());
    const longest = KINDS.map((kind, i) => {
      const begun = this.read(i, FIELDS.begun);
      const soFar = begun === 0 ? 0 : Math.max(0, now - begun);
      return { kind, worst: Math.max(this.read(i, FIELDS.worst), soFar) / 1e6 };
    }).reduce((a, b) => (a.worst > b.worst ? a : b));
    const errors = KINDS.flatMap((_, i) => (this.read(i, FIELDS.errors) > 0 ? [this.read(i, FIELDS.error)] : []));
    return { ...longest, errors };
  }

  /** It makes no calls until resume(). */
  pause(): void {
    this.process.kill('SIGSTOP');
  }

  resume(): void {
    this.process.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
    closeSync(this.file);
  }
}
