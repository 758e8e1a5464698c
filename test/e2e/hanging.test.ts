import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Daemon, run } from '../support/bus1fs.js';
import { compiler, ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';

const hanging = compiler.compile('clients/hanging.c', 'hanging');
const messages = compiler.compile('clients/messages.c', 'messages-for-hanging');
const holder = compiler.compile('clients/holder.c', 'holder-for-hanging');

const AS_NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--'];

test('memory that never arrives holds up nobody but its owner', async () => {
  const directory = temporaryDirectory('hanging');
  const fs = [process.execPath, '--import', 'tsx', join(ROOT, 'test/support/hanging-fs.ts'), directory];
  const server = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...fs], { stdio: ['ignore', 'pipe', 'inherit'] });
  const daemon = await Daemon.start(['--no-link', '--max-hands', '3']);
  try {
    await once(server.stdout, 'data');
    const client = spawn(hanging, [daemon.device, join(directory, 'hang'), '3']);
    let output = '';
    client.stdout.on('data', (data) => {
      output += data;
    });
    const exited = once(client, 'exit');
    await once(client.stdout, 'data');
    // those who need no memory, those who do and may have another hand, and those of another user
    expect(await run(holder, [daemon.device, 'query'])).toMatchObject({ status: 0 });
    await expect
      .poll(async () => (await run(messages, [daemon.device, 'many_vectors'])).stdout, { timeout: 10_000 })
      .toContain('EBUSY');
    expect(await run('setpriv', [...AS_NOBODY, messages, daemon.device, 'many_vectors'])).toMatchObject({
      status: 0,
      stdout: '',
    });
    expect(daemon.log.match(/raise the number with --max-hands/g)).toHaveLength(1);
    expect(output).toBe('sending\n');

    server.kill('SIGKILL');
    await run('umount', ['-l', directory]);
    expect(await exited).toEqual([0, null]);
    expect(output).toBe(`sending\n${'EFAULT\n'.repeat(3)}`);
    expect(await run(messages, [daemon.device, 'many_vectors'])).toMatchObject({ status: 0, stdout: '' });
    expect((await daemon.status()).bus1.peers).toEqual([]);
    expect(daemon.log).not.toContain('giving up');
    expect(await daemon.stop()).toBe(0);
  } finally {
    server.kill('SIGKILL');
    await run('umount', ['-l', directory]);
  }
});
