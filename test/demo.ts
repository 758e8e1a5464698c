import { bus1fs, Daemon, run } from './support/bus1fs.js';
import { compiler, INCLUDE_DIR } from './support/compile.js';

/* The main job, once: mounts the device, compiles a C program, runs it, and takes everything away again. */

const say = (line: string): void => console.log(`\n# ${line}`);

const doctor = await bus1fs('doctor');
if (doctor.status !== 0) {
  console.log(doctor.stdout);
  console.log('This machine cannot run bus1fs as it is; the lines above say why.');
  process.exit(1);
}
const daemon = await Daemon.start();
try {
  say(`bus1fs serves ${daemon.device}`);
  console.log((await run('ls', ['-l', daemon.device])).stdout.trimEnd());
  say(`gcc -I ${INCLUDE_DIR} test/clients/demo.c, then ./demo ${daemon.device}`);
  const demo = await run(compiler.compile('clients/demo.c', 'demo'), [daemon.device]);
  console.log(`${demo.stdout}${demo.stderr}`.trimEnd());
  say('bus1fs status');
  console.log((await bus1fs('status', daemon.directory)).stdout.trimEnd());
  process.exitCode = demo.status ?? 1;
} finally {
  await daemon.stop();
}
say('unmounted; nothing is left');
