/** A random source that can be repeated: `STEWARD_SEED=<seed>` runs a failed test again. Print the seed. */
export function seededRandom(): { readonly seed: number; readonly random: () => number } {
  const seed = Number(process.env['STEWARD_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  let state = seed >>> 0;
  // Mulberry32: small, fast and good enough to choose moments and targets.
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { seed, random };
}
