const SIZES = { u16: 2, u32: 4, i32: 4, u64: 8 } as const;

type FieldType = keyof typeof SIZES;

/** The offset of every field of a C structure in bytes, and its size as `sizeof`. */
export type Layout<Fields> = { readonly [Name in keyof Fields]: number } & { readonly sizeof: number };

/**
 * Lays fields out as a C compiler does on a 64-bit machine: each at the next multiple of its own size, the whole
 * rounded up to its widest field. `start` is where the first field goes when the structure is part of a larger one.
 */
export function struct<const Fields extends Record<string, FieldType>>(fields: Fields, start = 0): Layout<Fields> {
  const layout: Record<string, number> = {};
  let end = start;
  let widest = 1;
  for (const [name, type] of Object.entries(fields)) {
    const size = SIZES[type];
    const offset = Math.ceil(end / size) * size;
    layout[name] = offset;
    end = offset + size;
    widest = Math.max(widest, size);
  }
  return { ...layout, sizeof: Math.ceil(end / widest) * widest } as Layout<Fields>;
}
