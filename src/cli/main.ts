#!/usr/bin/env node
/*
 * The first file of the command, and the only one that an old Node can read, down to 12.17: it imports nothing before the
 * version is known.
 */

const LEAST = { major: 20, minor: 19 };

// Node would open its debugger, on a port that every user can reach.
process.on('SIGUSR1', () => {});

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > LEAST.major || (major === LEAST.major && minor >= LEAST.minor)) {
  import('./command-line.js').then(({ runCommand }) => runCommand(process.argv.slice(2)));
} else {
  console.error(
    `bus1fs: needs Node ${LEAST.major}.${LEAST.minor} or newer, and ${process.execPath} is ${process.versions.node}; ` +
      'get one with: npm install --global node@22, or from https://nodejs.org/en/download',
  );
  process.exit(1);
}
