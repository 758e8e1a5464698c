/** A bar of a group; NaN where nothing was measured. */
export interface Bar {
  readonly label: string;
  readonly value: number;
}

const COLOURS = ['#2563eb', '#dc2626', '#d97706', '#9ca3af', '#111827'];
const BAR = 14;
const GAP = 14;
const LEFT = 230;
const WIDTH = 560;
const RIGHT = 90;
const TOP = 70;

const escapeText = (text: string): string =>
  text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c] ?? c);

/**
 * Draws groups of bars below each other as SVG, on a logarithmic scale, since what is compared spans four powers of ten. All
 * groups have the same bars, in the same order.
 */
export function barChart(title: string, unit: string, groups: ReadonlyMap<string, readonly Bar[]>): string {
  const bars = [...groups.values()];
  const values = bars
    .flat()
    .map(({ value }) => value)
    .filter((value) => !Number.isNaN(value));
  const [low, high] = [
    10 ** Math.floor(Math.log10(Math.min(...values))),
    10 ** Math.ceil(Math.log10(Math.max(...values))),
  ];
  const x = (value: number): number => LEFT + (Math.log(value / low) / Math.log(high / low)) * WIDTH;
  const parts: string[] = [];
  let y = TOP;
  for (const [name, group] of groups) {
    parts.push(
      `<text x="${LEFT - 8}" y="${y + (group.length * BAR) / 2 + 4}" text-anchor="end">${escapeText(name)}</text>`,
    );
    for (const [i, { value }] of group.entries()) {
      if (!Number.isNaN(value)) {
        const width = Math.max(1, x(value) - LEFT).toFixed(1);
        parts.push(
          `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR - 2}" fill="${COLOURS[i % COLOURS.length]}"/>`,
        );
        parts.push(
          `<text x="${(x(value) + 4).toFixed(1)}" y="${y + BAR - 4}" font-size="10">${Number(value.toPrecision(3))}</text>`,
        );
      }
      y += BAR;
    }
    y += GAP;
  }
  const grid: string[] = [];
  for (let tick = low; tick <= high; tick *= 10) {
    grid.push(`<line x1="${x(tick)}" y1="${TOP - 8}" x2="${x(tick)}" y2="${y - GAP}" stroke="#e5e7eb"/>`);
    grid.push(`<text x="${x(tick)}" y="${TOP - 12}" text-anchor="middle" font-size="10">${tick}</text>`);
  }
  const legend = (bars[0] ?? []).map(
    ({ label }, i) =>
      `<rect x="${LEFT + i * 130}" y="32" width="10" height="10" fill="${COLOURS[i % COLOURS.length]}"/><text x="${LEFT + i * 130 + 15}" y="41">${escapeText(label)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + RIGHT}" height="${y}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    `<text x="8" y="20" font-size="14" font-weight="bold">${escapeText(title)}</text><text x="8" y="41">${escapeText(unit)}</text>`,
    ...grid,
    ...legend,
    ...parts,
    '</svg>\n',
  ].join('\n');
}
