import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const hanging = compiler.compile('clients/hanging.c', 'hanging');
const holder = compiler.compile('clients/holder.c', 'holder-for-watchdog');

test('memory that never arrives stops the bus for seconds, not for ever', async () => {
  const directory = temporaryDirectory('hanging');
  const fs = [process.execPath, '--import', 'tsx', join(ROOT, 'test/support/hanging-fs.ts'), directory];
  const server = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...fs], { stdio: ['ignore', 'pipe', 'inherit'] });
  const daemon = await Daemon.start();
  try {
    await once(server.stdout, 'data');
    const client = spawn(hanging, [daemon.device, join(directory, 'hang')]);
    const exited = once(client, 'exit');
    await once(client.stdout, 'data');
    const innocent = await run(holder, [daemon.device, 'query'], 30_000);
    expect(innocent).toMatchObject({ status: 0, stdout: '16384 65536 16777216 4096\n' });
    expect(await exited).toEqual([null, 'SIGKILL']);
    expect(daemon.log).toContain('a call of this client does not end');
    expect(daemon.log).toContain('aborting the FUSE connections');
    expect(daemon.log).not.toContain('giving up');
    expect(await daemon.stop()).toBe(0);
  } finally {
    server.kill('SIGKILL');
    await run('umount', ['-l', directory]);
  }
});
