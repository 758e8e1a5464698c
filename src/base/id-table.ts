const LEAST_CAPACITY = 8;
/** What is worth giving back. */
const LARGE = 64;
const TWO_32 = 0x1_0000_0000;
/** Random, so that nobody can choose keys that all meet in one place. */
const [SEED_LOW, SEED_HIGH] = [0, 0].map(() => Math.floor(Math.random() * TWO_32) | 0) as [number, number];

/**
 * Values by an integer of at most 64 bits. A Map keeps traces of deleted keys, and gets slow where one key comes and goes while
 * many others stay; and its hash function is known to everybody. Here nothing is left of what was deleted, and the values are in the
 * order they were added, but for the last one, which takes the place of one that is deleted.
 */
export class IdTable<Value> {
  private readonly keys: (number | bigint)[] = [];
  private readonly items: Value[] = [];
  /** Where to find the keys: one more than their index, or 0, at the first free place from their home on. */
  private places: Int32Array | undefined;

  values(): Iterable<Value> {
    return this.items;
  }

  get(key: number | bigint): Value | undefined {
    const { places } = this;
    return places === undefined ? undefined : this.items[(places[this.placeOf(key, places)] as number) - 1];
  }

  set(key: number | bigint, value: Value): void {
    const places = this.placesForOneMore();
    const place = this.placeOf(key, places);
    const index = places[place] as number;
    if (index !== 0) {
      this.items[index - 1] = value;
      return;
    }
    this.keys.push(key);
    this.items.push(value);
    places[place] = this.keys.length;
  }

  delete(key: number | bigint): void {
    const { places, keys, items } = this;
    if (places === undefined) return;
    const place = this.placeOf(key, places);
    const index = (places[place] as number) - 1;
    if (index < 0) return;
    this.free(place, places);
    const last = keys.length - 1;
    if (index !== last) {
      const lastKey = keys[last] as number | bigint;
      places[this.placeOf(lastKey, places)] = index + 1;
      keys[index] = lastKey;
      items[index] = items[last] as Value;
    }
    keys.pop();
    items.pop();
    if (places.length > LARGE && 8 * keys.length < places.length) this.resize(places.length / 2);
  }

  /** Frees a place, and moves back into it what could not have its own because this one was taken. */
  private free(place: number, places: Int32Array): void {
    const mask = places.length - 1;
    let hole = place;
    for (let at = (hole + 1) & mask; places[at] !== 0; at = (at + 1) & mask) {
      const home = homeOf(this.keys[(places[at] as number) - 1] as number | bigint, places);
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      places[hole] = places[at] as number;
      hole = at;
    }
    places[hole] = 0;
  }

  /** The place of a key, or the free one where it belongs. */
  private placeOf(key: number | bigint, places: Int32Array): number {
    const { keys } = this;
    const mask = places.length - 1;
    let place = homeOf(key, places);
    while (places[place] !== 0 && keys[(places[place] as number) - 1] !== key) place = (place + 1) & mask;
    return place;
  }

  private placesForOneMore(): Int32Array {
    const { places, keys } = this;
    if (places !== undefined && 2 * (keys.length + 1) <= places.length) return places;
    return this.resize(Math.max(LEAST_CAPACITY, 2 * (places?.length ?? 0)));
  }

  private resize(capacity: number): Int32Array {
    const places = new Int32Array(capacity);
    for (const [index, key] of this.keys.entries()) places[this.placeOf(key, places)] = index + 1;
    this.places = places;
    return places;
  }
}

function homeOf(key: number | bigint, { length }: Int32Array): number {
  const low = typeof key === 'number' ? key >>> 0 : Number(key & 0xffff_ffffn);
  const high = typeof key === 'number' ? Math.floor(key / TWO_32) : Number(key >> 32n);
  return mix(mix(low ^ SEED_LOW) ^ high ^ SEED_HIGH) & (length - 1);
}

/** The 32-bit finalizer of MurmurHash3: one to one, and each bit of the result depends on each bit of `n`. */
function mix(n: number): number {
  let hash = n;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return hash ^ (hash >>> 16);
}
