import { ConfigError } from '#libs/platform';
import { readArguments } from './arguments.js';

describe('the arguments of the cluster', () => {
  it.each([
    [[], { brokerCount: 1, withKafka: true }],
    [['--brokers', '1'], { brokerCount: 1, withKafka: true }],
    [['--brokers=3'], { brokerCount: 3, withKafka: true }],
    [['--without-kafka'], { brokerCount: 1, withKafka: false }],
  ] as const)('%j', (args, read) => {
    expect(readArguments(args)).toEqual(read);
  });

  it.each([
    [['--brokers', '2'], '--brokers must be 1 or 3.'],
    [['--brokers'], 'and nothing else'],
    [['--brokers', '3', '--without-kafka'], 'the opposite'],
    [['--broker', '3'], 'and nothing else'],
    [['three'], 'and nothing else'],
  ])('refuses %j in a sentence', (args, why) => {
    const read = (): unknown => readArguments(args);
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(why);
  });
});
