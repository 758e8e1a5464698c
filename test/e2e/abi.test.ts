import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import * as bus1 from '../../src/bus1/bus1-abi.js';
import { HandleFlag } from '../../src/bus1/model/handle-id.js';
import { MessageType } from '../../src/bus1/model/message.js';
import * as fuse from '../../src/fuse/fuse-abi.js';
import * as file from '../../src/linux/file.js';
import * as limits from '../../src/linux/limits.js';
import * as mountTable from '../../src/linux/mount-table.js';
import { IOVEC_SIZE } from '../../src/linux/native-buffer.js';
import * as process from '../../src/linux/process.js';
import * as ptrace from '../../src/linux/ptrace.js';
import * as seccomp from '../../src/linux/seccomp.js';
import * as socket from '../../src/linux/socket.js';
import { compiler, INCLUDE_DIR, ROOT } from '../support/compile.js';

/** Flattens a layout to the names that test/clients/abi.c prints. */
const fields = (
  type: string,
  layout: Readonly<Record<string, number>>,
  rename: (name: string) => string = (name) => name,
) => Object.entries(layout).map(([name, offset]) => [`${type}.${rename(name)}`, offset] as const);
const values = (prefix: string, names: Readonly<Record<string, number>>) =>
  Object.entries(names).map(([name, value]) => [`${prefix}${name}`, value] as const);

const BUS1 = new Map<string, number>([
  ['BUS1_FD_MAX', bus1.BUS1_FD_MAX],
  ['BUS1_HANDLE_INVALID', 2 ** 64],
  ['BUS1_OFFSET_INVALID', 2 ** 64],
  ...values('BUS1_HANDLE_FLAG_', HandleFlag),
  ...values('BUS1_PEER_FLAG_', bus1.PeerFlag),
  ...values('BUS1_PEER_RESET_FLAG_', bus1.ResetFlag),
  ...values('BUS1_NODES_DESTROY_FLAG_', bus1.DestroyFlag),
  ...values('BUS1_SEND_FLAG_', bus1.SendFlag),
  ...values('BUS1_RECV_FLAG_', bus1.RecvFlag),
  ...values('BUS1_MSG_FLAG_', bus1.MessageFlag),
  ...values('BUS1_MSG_', MessageType),
  ...values('BUS1_CMD_', bus1.Command).filter(([name]) => name !== 'BUS1_CMD_RECV_2019'),
  ...fields('bus1_cmd_peer_reset', bus1.PeerReset),
  ...fields('bus1_cmd_handle_transfer', bus1.HandleTransfer),
  ...fields('bus1_cmd_nodes_destroy', bus1.NodesDestroy),
  ...fields('bus1_cmd_send', bus1.Send),
  ...fields('bus1_cmd_recv', bus1.Recv, (name) =>
    ['flags', 'max_offset', 'sizeof'].includes(name) ? name : `msg.${name.replace('msg_', '')}`,
  ),
]);

/** A number of ours, by what it is in C: an expression, true from a version of the header on. */
interface Claim {
  readonly c: string;
  readonly value: number;
  /** The minor version of the FUSE protocol that has it. */
  readonly since?: number;
}

/** What a compiler makes of the expressions. One that the installed header is too old for is taken on trust. */
function evaluate(headers: readonly string[], claims: readonly Claim[]): ReadonlyMap<string, number> {
  const lines = claims.flatMap(({ c, value, since }) => {
    const print = (what: string): string => `printf("%lld\\n", (long long)(${what}));`;
    return since === undefined
      ? [print(c)]
      : [`#if FUSE_KERNEL_MINOR_VERSION >= ${since}`, print(c), '#else', print(`${value}LL`), '#endif'];
  });
  const includes = ['stddef.h', 'stdio.h', ...headers].map((name) => `#include <${name}>`);
  const source = ['#define _GNU_SOURCE', ...includes, 'int main(void) {', ...lines, 'return 0;', '}', ''].join('\n');
  const program = compiler.compileText(source, 'claims');
  const results = execFileSync(program, { encoding: 'utf8' }).trim().split('\n').map(Number);
  return new Map(claims.map(({ c }, i) => [c, results[i] as number]));
}

function expectAll(headers: readonly string[], claims: readonly Claim[]): void {
  const ours = Object.fromEntries(claims.map(({ c, value }) => [c, value]));
  expect(ours).toEqual(Object.fromEntries(evaluate(headers, claims)));
}

const offsets = (
  type: string,
  layout: Readonly<Record<string, number>>,
  { start = 0, rename = (name: string) => name, since = {} as Readonly<Record<string, number>> } = {},
): Claim[] =>
  Object.entries(layout)
    .filter(([name]) => name !== 'sizeof' && name !== 'size')
    .map(([name, offset]) => ({
      c: `offsetof(struct ${type}, ${rename(name)})`,
      value: offset - start,
      ...(since[name] === undefined ? {} : { since: since[name] }),
    }));
const numbers = (names: Readonly<Record<string, number>>, since: Readonly<Record<string, number>> = {}): Claim[] =>
  Object.entries(names).map(([c, value]) => {
    return since[c] === undefined ? { c, value } : { c, value, since: since[c] };
  });
/** What a module exports by the name it has in C. */
const constants = (module: object, except: readonly string[]): Record<string, number> =>
  Object.fromEntries(
    Object.entries(module).filter(
      ([name, value]) => /^[A-Z_0-9]+$/.test(name) && typeof value === 'number' && !except.includes(name),
    ),
  );

describe('linux/bus1.h', () => {
  const compiled = execFileSync(compiler.compile('clients/abi.c', 'abi'), { encoding: 'utf8' });

  test('every number is the one in TypeScript', () => {
    const header = compiled
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]);
    expect(Object.fromEntries(header.map(([name, value]) => [name, Number(value)]))).toEqual(Object.fromEntries(BUS1));
  });

  test('the command numbers are the contract’s', () => {
    expect(bus1.Command).toEqual({
      PEER_DISCONNECT: 0xc0089600,
      PEER_QUERY: 0xc0209601,
      PEER_RESET: 0xc0209602,
      HANDLE_RELEASE: 0xc0089610,
      HANDLE_TRANSFER: 0xc0209611,
      NODES_DESTROY: 0xc0189620,
      SLICE_RELEASE: 0xc0089630,
      SEND: 0xc0509640,
      RECV: 0xc0609650,
      RECV_2019: 0xc0489650,
    });
  });

  test.each([
    ['gcc', '-std=c99'],
    ['g++', '-std=c++11'],
  ])('is clean for %s', (language, standard) => {
    const flags = ['-Wall', '-Wextra', '-Wpedantic', '-Werror', '-fsyntax-only', standard, '-I', INCLUDE_DIR];
    const source = '#include <linux/bus1.h>\nint main() { struct bus1_cmd_recv r; (void)r; return BUS1_MSG_NONE; }\n';
    const input = ['-x', language === 'g++' ? 'c++' : 'c', '-'];
    execFileSync(language, [...flags, ...input], { input: source, cwd: ROOT });
  });
});

describe('linux/fuse.h', () => {
  const IN = { start: fuse.InHeader.sizeof };
  const OUT = { start: fuse.OutHeader.sizeof };
  const LAYOUTS: Readonly<Record<string, Claim[]>> = {
    InHeader: offsets('fuse_in_header', fuse.InHeader, { since: { total_extlen: 38, padding: 38 } }),
    OutHeader: offsets('fuse_out_header', fuse.OutHeader),
    InitIn: offsets('fuse_init_in', fuse.InitIn, IN),
    SetattrIn: offsets('fuse_setattr_in', fuse.SetattrIn, IN),
    ForgetIn: offsets('fuse_forget_in', fuse.ForgetIn, IN),
    BatchForgetIn: offsets('fuse_batch_forget_in', fuse.BatchForgetIn, IN),
    ForgetOne: offsets('fuse_forget_one', fuse.ForgetOne),
    InterruptIn: offsets('fuse_interrupt_in', fuse.InterruptIn, IN),
    ReadIn: offsets('fuse_read_in', fuse.ReadIn, IN),
    ReleaseIn: offsets('fuse_release_in', fuse.ReleaseIn, IN),
    IoctlIn: offsets('fuse_ioctl_in', fuse.IoctlIn, IN),
    PollIn: offsets('fuse_poll_in', fuse.PollIn, IN),
    InitOut: offsets('fuse_init_out', fuse.InitOut, { ...OUT, since: { max_stack_depth: 40 } }),
    EntryOut: offsets('fuse_entry_out', fuse.EntryOut, OUT),
    AttrOut: offsets('fuse_attr_out', fuse.AttrOut, OUT),
    Attr: offsets('fuse_attr', fuse.Attr),
    OpenOut: offsets('fuse_open_out', fuse.OpenOut, { ...OUT, since: { backing_id: 40 } }),
    IoctlOut: offsets('fuse_ioctl_out', fuse.IoctlOut, OUT),
    PollOut: offsets('fuse_poll_out', fuse.PollOut, OUT),
    NotifyPollWakeupOut: offsets('fuse_notify_poll_wakeup_out', fuse.NotifyPollWakeupOut, OUT),
    Dirent: offsets('fuse_dirent', fuse.Dirent),
    StatfsOut: offsets('fuse_kstatfs', fuse.StatfsOut, OUT),
    BackingMap: [
      { c: 'offsetof(struct fuse_backing_map, flags)', value: fuse.BackingMap.flags, since: 40 },
      { c: 'sizeof(struct fuse_backing_map)', value: fuse.BackingMap.sizeof, since: 40 },
    ],
  };

  test('every structure is the one in TypeScript', () => {
    const isLayout = (value: unknown): boolean => typeof value === 'object' && value !== null && 'sizeof' in value;
    expect(Object.keys(LAYOUTS).sort()).toEqual(
      Object.entries(fuse)
        .filter(([, value]) => isLayout(value))
        .map(([name]) => name)
        .sort(),
    );
    const size = (type: string, value: number): Claim => ({ c: `sizeof(struct ${type})`, value });
    const { InHeader, OutHeader, Attr, EntryOut, AttrOut } = fuse;
    expectAll(
      ['linux/fuse.h'],
      [
        ...Object.values(LAYOUTS).flat(),
        size('fuse_in_header', InHeader.sizeof),
        size('fuse_out_header', OutHeader.sizeof),
        size('fuse_attr', Attr.sizeof),
        size('fuse_entry_out', EntryOut.sizeof + Attr.sizeof - OutHeader.sizeof),
        size('fuse_attr_out', AttrOut.sizeof + Attr.sizeof - OutHeader.sizeof),
        size('fuse_init_out', fuse.INIT_OUT_SIZE - OutHeader.sizeof),
        size('fuse_statfs_out', fuse.STATFS_OUT_SIZE - OutHeader.sizeof),
        size('fuse_ioctl_in', fuse.IoctlIn.sizeof - InHeader.sizeof),
        size('fuse_ioctl_out', fuse.IoctlOut.sizeof - OutHeader.sizeof),
        size('fuse_open_out', fuse.OpenOut.sizeof - OutHeader.sizeof),
        size('fuse_poll_out', fuse.PollOut.sizeof - OutHeader.sizeof),
        size('fuse_notify_poll_wakeup_out', fuse.NotifyPollWakeupOut.sizeof - OutHeader.sizeof),
        size('fuse_batch_forget_in', fuse.BatchForgetIn.sizeof - InHeader.sizeof),
        size('fuse_forget_one', fuse.ForgetOne.sizeof),
        { c: 'offsetof(struct fuse_dirent, name)', value: fuse.Dirent.sizeof },
        { c: 'offsetof(struct fuse_entry_out, attr)', value: EntryOut.sizeof - OutHeader.sizeof },
        { c: 'offsetof(struct fuse_attr_out, attr)', value: AttrOut.sizeof - OutHeader.sizeof },
      ],
    );
  });

  test('every number is the one in TypeScript', () => {
    const ours = ['FUSE_KERNEL_MINOR_VERSION', 'INIT_OUT_SIZE', 'STATFS_OUT_SIZE', 'MAX_WRITE', 'READ_BUFFER'];
    const composed = ['FATTR_TIMES', 'FUSE_PASSTHROUGH_FLAGS2', 'FUSE_HAS_RESEND_FLAGS2'];
    const opcodes = Object.fromEntries(Object.entries(fuse.Opcode).map(([name, value]) => [`FUSE_${name}`, value]));
    expectAll(
      ['sys/ioctl.h', 'linux/fuse.h'],
      [
        ...numbers(
          { ...constants(fuse, [...ours, ...composed]), ...opcodes },
          {
            FUSE_TMPFILE: 37,
            FOPEN_PASSTHROUGH: 40,
            FUSE_NOTIFY_RESEND: 40,
            FUSE_DEV_IOC_BACKING_OPEN: 40,
            FUSE_DEV_IOC_BACKING_CLOSE: 40,
          },
        ),
        {
          c: 'FATTR_ATIME | FATTR_MTIME | FATTR_FH | FATTR_ATIME_NOW | FATTR_MTIME_NOW | FATTR_LOCKOWNER | FATTR_CTIME',
          value: fuse.FATTR_TIMES,
        },
        { c: 'FUSE_PASSTHROUGH >> 32', value: fuse.FUSE_PASSTHROUGH_FLAGS2, since: 40 },
      ],
    );
  });
});

describe('linux/', () => {
  test.each([
    ['file', file, ['fcntl.h', 'sys/stat.h']],
    ['limits', limits, ['sys/resource.h']],
    ['mount-table', mountTable, ['sys/mount.h']],
    ['process', process, ['sys/prctl.h']],
    ['ptrace', ptrace, ['signal.h', 'sys/ptrace.h', 'sys/wait.h']],
    ['seccomp', seccomp, ['sys/ioctl.h', 'linux/seccomp.h', 'linux/audit.h']],
    ['socket', socket, ['sys/socket.h']],
  ])('every number of %s.ts is the one of the C library', (_, module, headers) => {
    const kernelsOwn = ['SCM_MAX_FD']; // in no header
    const claims = numbers(constants(module, kernelsOwn));
    expect(claims.length).toBeGreaterThan(0);
    expectAll(headers, claims);
  });

  test('structures of system calls', () => {
    const { Statx } = file;
    expectAll(
      ['sys/stat.h', 'sys/resource.h', 'sys/socket.h', 'sys/uio.h', 'linux/seccomp.h'],
      [
        { c: 'sizeof(struct statx)', value: Statx.sizeof },
        { c: 'offsetof(struct statx, stx_size)', value: Statx.size },
        { c: 'offsetof(struct statx, stx_mode)', value: Statx.mode },
        { c: 'offsetof(struct statx, stx_ino)', value: Statx.ino },
        { c: 'offsetof(struct statx, stx_dev_major)', value: Statx.devMajor },
        { c: 'offsetof(struct statx, stx_dev_minor)', value: Statx.devMinor },
        { c: 'offsetof(struct rlimit, rlim_cur)', value: limits.Rlimit.soft },
        { c: 'offsetof(struct rlimit, rlim_max)', value: limits.Rlimit.hard },
        { c: 'sizeof(struct rlimit)', value: limits.Rlimit.size },
        { c: 'sizeof(struct iovec)', value: IOVEC_SIZE },
        { c: 'sizeof(struct msghdr)', value: socket.Msghdr.sizeof },
        { c: 'sizeof(struct cmsghdr)', value: socket.Cmsghdr.sizeof },
        ...offsets('msghdr', withoutPadding(socket.Msghdr), { rename: (name) => `msg_${name}` }),
        ...offsets('cmsghdr', socket.Cmsghdr, { rename: (name) => `cmsg_${name}` }),
        ...offsets('seccomp_data', seccomp.SeccompData, { rename: toArgument }),
        ...offsets('seccomp_notif', seccomp.SeccompNotif, {
          rename: (name) => (['id', 'pid', 'flags'].includes(name) ? name : `data.${toArgument(name)}`),
        }),
        ...offsets('seccomp_notif_resp', seccomp.SeccompNotifResp),
        { c: 'sizeof(struct seccomp_notif)', value: seccomp.SeccompNotif.sizeof },
        { c: 'sizeof(struct seccomp_notif_resp)', value: seccomp.SeccompNotifResp.sizeof },
      ],
    );
  });

  test('registers and system calls of x86-64', () => {
    const { calls, callInstruction, registersSize, redZone, ...registers } = ptrace.X64;
    const names: Readonly<Record<keyof typeof registers, string>> = {
      argument0: 'rdi',
      argument1: 'rsi',
      argument2: 'rdx',
      argument3: 'r10',
      result: 'rax',
      callNumber: 'rax',
      originalCallNumber: 'orig_rax',
      instructionPointer: 'rip',
      stackPointer: 'rsp',
    };
    expect([callInstruction, redZone]).toEqual([[0x0f, 0x05], 128]);
    expectAll(
      ['sys/user.h', 'sys/syscall.h'],
      [
        { c: 'sizeof(struct user_regs_struct)', value: registersSize },
        ...offsets('user_regs_struct', registers, { rename: (name) => names[name as keyof typeof names] }),
        ...Object.entries(calls).map(([name, value]) => ({ c: `SYS_${name}`, value })),
      ],
    );
  });
});

const toArgument = (name: string): string => name.replace(/^arg(\d)$/, 'args[$1]');

function withoutPadding<Layout extends { readonly padding: number }>({
  padding,
  ...rest
}: Layout): Omit<Layout, 'padding'> {
  return rest;
}
