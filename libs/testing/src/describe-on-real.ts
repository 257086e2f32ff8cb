import { whyNoKafka } from '../../kafka/src/embedded/kafka-jars.js';
import { isRequired } from './required-part.js';

/**
 * A suite on a real part that not every machine has. `missing` tells why it is not here, and undefined that it is. Where
 * it is not, one test stands for the suite as left out, with the reason, so that no report passes over it in silence;
 * where `STEWARD_TEST_REQUIRE` names the part the reason is thrown, so that such a build never passes without.
 */
export function describeOnReal(part: string, missing: string | undefined, name: string, define: () => void): void {
  if (missing === undefined) {
    describe(name, define);
    return;
  }
  if (isRequired(part)) throw new Error(`${part} is required: ${missing}.`);
  process.stdout.write(`${name}: left out, for ${missing}\n`);
  describe(name, () => {
    it.skip(`is left out, for ${missing}`, () => undefined);
  });
}

/** A suite that needs real brokers. */
export function describeOnKafka(name: string, define: () => void): void {
  describeOnReal('kafka', whyNoKafka(), name, define);
}
