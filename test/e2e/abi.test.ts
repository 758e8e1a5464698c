import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import * as bus1 from '../../src/bus1/bus1-abi.js';
import { HandleFlag } from '../../src/bus1/model/handle-id.js';
import { MessageType } from '../../src/bus1/model/message.js';
import * as fuse from '../../src/fuse/fuse-abi.js';
import { compiler, INCLUDE_DIR, ROOT } from '../support/compile.js';

/** Flattens a layout to the names that test/clients/abi.c prints. */
const fields = (
  type: string,
  layout: Readonly<Record<string, number>>,
  rename: (name: string) => string = (name) => name,
) => Object.entries(layout).map(([name, offset]) => [`${type}.${rename(name)}`, offset] as const);
const values = (prefix: string, names: Readonly<Record<string, number>>) =>
  Object.entries(names).map(([name, value]) => [`${prefix}${name}`, value] as const);
const relative = (layout: Readonly<Record<string, number>>, start: number) =>
  Object.fromEntries(Object.entries(layout).map(([name, offset]) => [name, offset - start]));

const IN = fuse.InHeader.sizeof;
const OUT = fuse.OutHeader.sizeof;

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

const FUSE = new Map<string, number>([
  ...values('FUSE_', fuse.Opcode).filter(([name]) => name !== 'FUSE_TMPFILE'), // newer than Debian 12's header
  ...fields('fuse_in_header', fuse.InHeader),
  ['fuse_out_header.sizeof', OUT],
  ['fuse_init_out.sizeof', fuse.INIT_OUT_SIZE - OUT],
  ['fuse_init_in.flags2', fuse.InitIn.flags2 - IN],
  ...fields('fuse_init_out', relative(fuse.InitOut, OUT)).filter(([name]) => !name.endsWith('.sizeof')),
  ...fields('fuse_setattr_in', relative(fuse.SetattrIn, IN)),
  ...fields('fuse_read_in', relative(fuse.ReadIn, IN)),
  ...fields('fuse_ioctl_in', relative(fuse.IoctlIn, IN)),
  ['fuse_ioctl_out.sizeof', fuse.IoctlOut.sizeof - OUT],
  ...fields('fuse_poll_in', relative(fuse.PollIn, IN)),
  ['fuse_poll_out.sizeof', fuse.PollOut.sizeof - OUT],
  ['fuse_notify_poll_wakeup_out.sizeof', fuse.NotifyPollWakeupOut.sizeof - OUT],
  ['fuse_entry_out.sizeof', fuse.EntryOut.sizeof + fuse.Attr.sizeof - OUT],
  ['fuse_entry_out.attr', fuse.EntryOut.sizeof - OUT],
  ['fuse_entry_out.attr_valid', fuse.EntryOut.attr_valid - OUT],
  ['fuse_attr_out.attr', fuse.AttrOut.sizeof - OUT],
  ...fields('fuse_attr', fuse.Attr),
  ...fields('fuse_open_out', relative(fuse.OpenOut, OUT)),
  ['fuse_statfs_out.sizeof', fuse.STATFS_OUT_SIZE - OUT],
  ...fields('fuse_dirent', fuse.Dirent),
  ['fuse_dirent.name', fuse.Dirent.sizeof],
]);

const compiled = new Map(
  execFileSync(compiler.compile('clients/abi.c', 'abi'), { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.split(' ') as [string, string])
    .map(([name, value]) => [name, Number(value)] as const),
);

describe('linux/bus1.h', () => {
  test('every number is the one in TypeScript', () => {
    const header = new Map([...compiled].filter(([name]) => /^bus1/i.test(name)));
    expect(Object.fromEntries(header)).toEqual(Object.fromEntries(BUS1));
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
  test('every number it shares with TypeScript is the same', () => {
    const header = [...compiled].filter(([name]) => /^fuse/i.test(name));
    expect(Object.fromEntries(header)).toEqual(Object.fromEntries(header.map(([name]) => [name, FUSE.get(name)])));
  });
});
