import { Partitioners } from 'kafkajs';
import { seededRandom } from '#libs/testing';
import { murmur2, partitionOf } from './partition.js';

const { seed, random } = seededRandom();

describe('partitionOf', () => {
  it("hashes as Kafka's Java client does, by its own test values", () => {
    const known: Record<string, number> = {
      '21': -973932308,
      foobar: -790332482,
      'a-little-bit-long-string': -985981536,
      'a-little-bit-longer-string': -1486304829,
      lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
      abc: 479470107,
    };
    for (const [key, hash] of Object.entries(known)) expect(murmur2(Buffer.from(key))).toBe(hash);
  });

  it(`puts every key where other clients put it (SEED=${seed})`, () => {
    const theirs = Partitioners.DefaultPartitioner();
    for (let n = 0; n < 500; n += 1) {
      const key = Buffer.from(Array.from({ length: n % 40 }, () => Math.floor(random() * 0x10000))).toString('latin1');
      const partitionCount = 1 + Math.floor(random() * 50);
      const partitionMetadata = Array.from({ length: partitionCount }, (_, partitionId) => ({
        partitionErrorCode: 0,
        partitionId,
        leader: 1,
        replicas: [1],
        isr: [1],
      }));
      const theirPartition = theirs({ topic: 't', partitionMetadata, message: { key, value: null } });
      // The client takes a key without a single byte for no key at all.
      if (key !== '') expect(partitionOf(key, partitionCount)).toBe(theirPartition);
    }
  });
});
