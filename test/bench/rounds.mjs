// The method of every figure: contenders take turns in one run, the first round warms up and is dropped, the median counts.

export const ROUNDS = 5;

export const medianOf = (figures) => figures.toSorted((a, b) => a - b)[figures.length >> 1];

/** `{name: () => figure}` to `{name: [figure of each round]}`. */
export async function rounds(contenders, count = ROUNDS) {
  const figures = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round <= count; round += 1)
    for (const [name, run] of Object.entries(contenders)) {
      const figure = await run();
      if (round > 0) figures[name].push(figure);
    }
  return figures;
}
