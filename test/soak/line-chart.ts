/** One quantity over time. */
export interface Series {
  readonly name: string;
  readonly values: readonly number[];
}

const WIDTH = 720;
const HEIGHT = 120;
const LEFT = 70;
const TOP = 40;
const GAP = 40;

/** Draws quantities that were taken at the same times below each other as SVG, each from zero to its most. */
export function lineChart(title: string, seconds: number, series: readonly Series[]): string {
  const panels = series.map(({ name, values }, i) => {
    const top = TOP + i * (HEIGHT + GAP) + GAP / 2;
    const most = Math.max(1, ...values);
    const points = values.map((value, j) => {
      const x = LEFT + (j / Math.max(1, values.length - 1)) * WIDTH;
      return `${x.toFixed(1)},${(top + HEIGHT - (value / most) * HEIGHT).toFixed(1)}`;
    });
    return [
      `<text x="${LEFT}" y="${top - 6}">${name}</text>`,
      `<rect x="${LEFT}" y="${top}" width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="#e5e7eb"/>`,
      `<text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${Math.round(most)}</text>`,
      `<text x="${LEFT - 6}" y="${top + HEIGHT}" text-anchor="end">0</text>`,
      `<polyline points="${points.join(' ')}" fill="none" stroke="#2563eb"/>`,
    ].join('\n');
  });
  const height = TOP + series.length * (HEIGHT + GAP) + GAP;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${LEFT + WIDTH + 20}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="white"/>',
    `<text x="${LEFT}" y="22" font-size="14" font-weight="bold">${title}</text>`,
    ...panels,
    `<text x="${LEFT + WIDTH}" y="${height - GAP / 2}" text-anchor="end">${Math.round(seconds)} s</text>`,
    '</svg>\n',
  ].join('\n');
}
