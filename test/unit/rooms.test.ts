import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SRC = fileURLToPath(new URL('../../src', import.meta.url));

/** The rooms of src/, lowest first: a file may import from its own room and from those in rows above its own. */
const ROOMS: readonly (readonly string[])[] = [
  ['base'],
  ['linux', 'device.ts'],
  ['fuse', 'caller', 'bus'],
  ['bus1'],
  ['engine'],
  ['supervisor'],
  ['containers'],
  ['cli'],
];
/** Which packages a room may use beside Node's own modules; those not named use none. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  base: ['pino', 'pino-pretty'],
  linux: ['koffi'],
  fuse: ['pino'],
  caller: ['pino'],
  bus: ['pino'],
  bus1: ['pino'],
  supervisor: ['pino'],
  containers: ['pino'],
  cli: ['yargs', 'yargs/helpers'],
};
/** Rooms that must not know how the system is reached, nor touch it. */
const PURE = ['bus', 'bus1'];

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
const roomOf = (file: string): string => file.split('/')[0] as string;
const rankOf = (room: string): number => ROOMS.findIndex((rooms) => rooms.includes(room));

/** What a file imports: a path relative to src/, or a package. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  return Array.from(text.matchAll(/(?:from|import|URL\() ?'([^']+)'/g), ([, name = '']) =>
    name.startsWith('.') ? relative(SRC, join(SRC, dirname(file), name)).replace(/\.js$/, '.ts') : name,
  ).filter((name) => !name.startsWith('..'));
}

/** Why `file` must not import `name`, or undefined. */
function objection(file: string, name: string): string | undefined {
  const room = roomOf(file);
  if (name.startsWith('node:')) return PURE.includes(room) ? `${file}: ${name}` : undefined;
  if (!files.includes(name)) return PACKAGES[room]?.includes(name) ? undefined : `${file}: package ${name}`;
  const other = roomOf(name);
  if (PURE.includes(room) && other === 'linux') return `${file}: ${name}`;
  return other === room || rankOf(other) < rankOf(room) ? undefined : `${file}: ${name} is not below it`;
}

test('every room has its rank', () => {
  expect(files.filter((file) => rankOf(roomOf(file)) < 0)).toEqual([]);
});

test('rooms depend downwards only', () => {
  const objections = files.flatMap((file) => importsOf(file).flatMap((name) => objection(file, name) ?? []));
  expect(objections).toEqual([]);
});

test('no files import each other in a circle', () => {
  const graph = new Map(files.map((file) => [file, valueImportsOf(file)]));
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' > '));
    if (path.includes(file) || done.has(file)) return;
    for (const next of graph.get(file) ?? []) walk(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) walk(file, []);
  expect(circles).toEqual([]);
});

/** The files whose code a file runs, not only their types. */
const valueImportsOf = (file: string): string[] => {
  const text = readFileSync(join(SRC, file), 'utf8');
  return Array.from(text.matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+)'/gm), ([, name = '']) =>
    relative(SRC, join(SRC, dirname(file), name)).replace(/\.js$/, '.ts'),
  );
};

test('every name occurs once', () => {
  const names = files.map((file) => basename(file)).sort();
  expect(names.filter((name, i) => name === names[i - 1])).toEqual([]);
});
