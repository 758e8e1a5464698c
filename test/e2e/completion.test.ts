import { expect, test } from 'vitest';
import { bus1fs, CLI, run } from '../support/bus1fs.js';

/** What bash offers for a line that ends where the cursor is. */
async function offered(words: readonly string[]): Promise<readonly string[]> {
  const script = `
    bus1fs() { ${process.execPath} ${CLI} "$@"; }
    source <(bus1fs completion bash)
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _bus1fs
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  // as for somebody whose login shell is another one
  const outcome = await run('env', ['SHELL=/usr/bin/zsh', 'bash', '-c', script, 'bash', ...words]);
  expect(outcome).toMatchObject({ status: 0, stderr: '' });
  return outcome.stdout.trim().split('\n');
}

test.each([
  [['bus1fs', 'mo'], ['mount']],
  [
    ['bus1fs', 'mount', '--max-in'],
    ['--max-inflight-bytes', '--max-inflight-fds'],
  ],
  [
    ['bus1fs', 'mount', '--latency', ''],
    ['auto', 'on', 'off'],
  ],
])('bash completes %j', async (words, completions) => {
  expect(await offered(words)).toEqual(completions);
});

test('the other shells ask in the same way', async () => {
  for (const shell of ['zsh', 'fish']) {
    expect((await bus1fs('completion', shell)).stdout).toContain(`SHELL=${shell} bus1fs --get-yargs-completions`);
  }
});
