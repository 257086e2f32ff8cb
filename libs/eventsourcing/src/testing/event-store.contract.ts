import { appendItems } from './append.items.js';
import type { Capability, StoreUnderTest } from './contract-item.js';
import { followItems } from './follow.items.js';
import { readItems } from './read.items.js';

const items = [...appendItems, ...readItems, ...followItems];

/**
 * What every event store keeps, item by item (the numbers are the same on every store). `makeStore` gives an empty
 * store; the store of the suite is shared by the items, each with streams of its own. Prints how many items ran.
 */
export function describeEventStore(
  name: string,
  makeStore: () => Promise<StoreUnderTest>,
  capabilities: readonly Capability[],
): void {
  describe(`The event store contract on ${name}`, () => {
    const opened: StoreUnderTest[] = [];
    let held = 0;
    let test: StoreUnderTest;
    const empty = async (): Promise<StoreUnderTest> => {
      const made = await makeStore();
      opened.push(made);
      return made;
    };

    beforeAll(async () => {
      test = await empty();
    });

    afterAll(async () => {
      for (const made of opened) await made.close();
      const leftOut = items.filter(({ needs }) => needs !== undefined && !capabilities.includes(needs));
      const why = leftOut.map(({ number, needs }) => `${number} (${needs ?? ''})`).join(', ');
      process.stdout.write(
        `Event store contract on ${name}: ${held} of ${items.length} items hold${why === '' ? '' : `; left out: ${why}`}\n`,
      );
    });

    for (const { number, promises, needs, holds } of items) {
      const runs = needs === undefined || capabilities.includes(needs);
      (runs ? it : it.skip)(`${number} ${promises}`, async () => {
        await holds({ ...test, empty });
        held += 1;
      });
    }
  });
}
