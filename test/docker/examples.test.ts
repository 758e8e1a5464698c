import { mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CLI, Daemon } from '../support/bus1fs.js';
import { ROOT } from '../support/compile.js';
import { temporaryDirectory } from '../support/temporary.js';
import { Engine } from './engine.js';

const IMAGE = 'nothing-of-ours';

let engine: Engine;

beforeAll(async () => {
  engine = await Engine.start();
  await engine.makeClientImage(IMAGE, []);
});

afterAll(async () => {
  await engine.stop();
}, 60_000);

test('examples/containers: two containers meet, and nothing is left behind', async () => {
  const daemon = await Daemon.start();
  const directory = temporaryDirectory('containers');
  for (const name of ['path', 'tmp']) mkdirSync(join(directory, name));
  symlinkSync(CLI, join(directory, 'path/bus1fs'));
  const outcome = await engine.run(join(ROOT, 'examples/containers/run.sh'), [], {
    BUS: daemon.directory,
    IMAGE,
    PATH: `${directory}/path:${process.env['PATH']}`,
    TMPDIR: join(directory, 'tmp'),
  });
  expect(outcome).toMatchObject({
    status: 0,
    stdout: `visitor: sent
service: waiting at /meeting/socket
service: "hello from a visitor" from uid 0, pid 0
service: the last visitor has left
`,
    stderr: '',
  });
  expect((await engine.docker('ps', '--all', '--quiet')).stdout).toBe('');
  expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  expect(await daemon.stop()).toBe(0);
});
