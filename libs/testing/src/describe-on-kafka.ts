import { whyNoKafka } from '../../kafka/src/embedded/kafka-jars.js';
import { isRequired } from './required-part.js';

/** Throws the reason where `STEWARD_TEST_REQUIRE` names kafka, so that a build that must test on it never passes without. */
function reasonToLeaveOut(): string | undefined {
  const reason = whyNoKafka();
  if (reason !== undefined && isRequired('kafka')) throw new Error(`Kafka is required: ${reason}.`);
  return reason;
}

/** A suite that needs real brokers. Where none can be started it is left out, and the report says of each why. */
export function describeOnKafka(name: string, define: () => void): void {
  const reason = reasonToLeaveOut();
  if (reason === undefined) {
    describe(name, define);
    return;
  }
  process.stdout.write(`${name}: left out, for ${reason}\n`);
  describe.skip(`${name} (left out, for ${reason})`, define);
}
