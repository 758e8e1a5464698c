import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NEEDED_CAPABILITIES } from '../../../src/supervisor/capabilities.js';
import { ROOT } from '../../support/compile.js';

const needed = [...NEEDED_CAPABILITIES].sort();
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const named = (names: readonly string[]): string[] =>
  names.map((name) => (name.startsWith('CAP_') ? name : `CAP_${name}`)).sort();

/** Each command in a text that starts a container with capabilities; it goes on in lines that begin with options. */
const commands = (text: string): string[] =>
  (text.match(/docker (run|create) (.|\n(?=\s+--?\w))*/g) ?? []).filter((command) => command.includes('--cap-add'));

describe('the capabilities that the tests run with are those of', () => {
  test.each(['README.md', 'docker/ci.sh', 'docker/github-workflow.yaml'])('every docker command in %s', (path) => {
    const found = commands(read(path));
    expect(found.length).toBeGreaterThan(0);
    for (const command of found) {
      const added = named(Array.from(command.matchAll(/--cap-add (\w+)/g), ([, name = '']) => name));
      // which the doctor takes to become another user, and the daemon does not
      const own = added.filter((name) => !(/ doctor$/.test(command) && /^CAP_SET[UG]ID$/.test(name)));
      expect(own, command).toEqual(needed);
      expect(command).toContain('--cap-drop ALL');
      expect(command).toContain('--security-opt apparmor=unconfined');
    }
  });

  test('docker/compose.yaml', () => {
    const text = read('docker/compose.yaml');
    const added = /cap_add: \[(.*)\]/.exec(text)?.[1]?.split(', ') ?? [];
    expect(named(added)).toEqual(needed);
    expect(text).toContain('cap_drop: [ALL]');
    expect(text).toContain("security_opt: ['apparmor=unconfined']");
  });

  test('the unit, but for one that is of use to few', () => {
    const bounding = /^CapabilityBoundingSet=(.*)$/m.exec(read('mount/bus1fs.service'))?.[1]?.split(' ') ?? [];
    expect(bounding.sort()).toEqual(needed);
  });

  test('the sentence in README.md that says what it needs', () => {
    const sentence = /of all capabilities ([^|]*)\|/.exec(read('README.md'))?.[1] ?? '';
    expect(sentence.match(/CAP_\w+/g)?.sort()).toEqual(needed);
  });
});
