import { parseArgs } from 'node:util';
import { ConfigError } from '#libs/platform';

export interface ClusterArguments {
  readonly brokerCount: 1 | 3;
  readonly withKafka: boolean;
}

const options = { brokers: { type: 'string' }, 'without-kafka': { type: 'boolean' } } as const;

/** What stands behind `npm run cluster --`. Throws ConfigError. */
export function readArguments(args: readonly string[]): ClusterArguments {
  const { brokers, 'without-kafka': withoutKafka = false } = parsed(args);
  if (brokers !== undefined && brokers !== '1' && brokers !== '3') throw new ConfigError(['--brokers must be 1 or 3.']);
  if (brokers !== undefined && withoutKafka)
    throw new ConfigError(['--brokers and --without-kafka say the opposite of each other.']);
  return { brokerCount: brokers === '3' ? 3 : 1, withKafka: !withoutKafka };
}

function parsed(args: readonly string[]): { readonly brokers?: string; readonly 'without-kafka'?: boolean } {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch {
    throw new ConfigError(['npm run cluster takes --brokers 1 or 3, or --without-kafka, and nothing else.']);
  }
}
