import { readFileSync } from 'node:fs';
import type { Kafka } from 'kafkajs';
import {
  type KafkaLog,
  type KafkaSettings,
  openKafka,
  SASL_MECHANISMS,
  type SaslMechanism,
  type TopicSettings,
} from '#libs/kafka';
import { SecretText } from './secret-text.js';

/** How Kafka is reached, and how topics that are not there are made. */
export interface KafkaConfig {
  readonly brokers: readonly string[];
  readonly tls: KafkaSettings['tls'];
  readonly sasl:
    { readonly mechanism: SaslMechanism; readonly username: string; readonly password: SecretText } | undefined;
  readonly topics: TopicSettings;
}

/** The client of the configured cluster; nothing is connected yet. */
export function kafkaOf(config: KafkaConfig, log: KafkaLog): Kafka {
  const { sasl } = config;
  return openKafka(
    { ...config, sasl: sasl === undefined ? undefined : { ...sasl, password: sasl.password.reveal() } },
    log,
  );
}

/** What is asked of the environment's reader. */
interface KafkaReader {
  readonly problems: string[];
  text(name: string): string | undefined;
  checked(name: string, isRight: (text: string) => boolean, form: string): string | undefined;
  integer(name: string, min: number, max: number, otherwise: number): number;
  oneOf<T extends string>(name: string, values: readonly T[], otherwise: T): T;
}

const DAY_MS = 86_400_000;
const BROKER = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253}):\d{1,5}$/;

const brokersOf = (text: string): string[] =>
  text
    .split(',')
    .map((broker) => broker.trim())
    .filter((broker) => broker !== '');

/** Undefined without brokers: then nothing is published. Every wrong variable is named in the reader's problems. */
export function readKafkaConfig(read: KafkaReader): KafkaConfig | undefined {
  const brokers = read.checked(
    'STEWARD_KAFKA_BROKERS',
    (text) => brokersOf(text).length > 0 && brokersOf(text).every((broker) => BROKER.test(broker)),
    'a list of host:port, parted by commas',
  );
  const tls = readTls(read);
  const sasl = readSasl(read, tls !== undefined);
  const topics = {
    partitionCount: read.integer('STEWARD_KAFKA_PARTITIONS', 1, 1_000, 12),
    replicationFactor: read.integer('STEWARD_KAFKA_REPLICATION', 1, 9, 3),
    retentionMs: read.integer('STEWARD_KAFKA_RETENTION_DAYS', 0, 36_500, 0) * DAY_MS || undefined,
  };
  return brokers === undefined ? undefined : { brokers: brokersOf(brokers), tls, sasl, topics };
}

function readTls(read: KafkaReader): KafkaSettings['tls'] {
  const isOn = read.oneOf('STEWARD_KAFKA_TLS', ['on', 'off'], 'off') === 'on';
  const files = Object.entries({
    caFile: read.text('STEWARD_KAFKA_CA_FILE'),
    certFile: read.text('STEWARD_KAFKA_CERT_FILE'),
    keyFile: read.text('STEWARD_KAFKA_KEY_FILE'),
  }).filter(([, path]) => path !== undefined);
  const tls = Object.fromEntries(files) as NonNullable<KafkaSettings['tls']>;
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined))
    read.problems.push('STEWARD_KAFKA_CERT_FILE and STEWARD_KAFKA_KEY_FILE must be set together.');
  if (files.length > 0 && !isOn) read.problems.push('STEWARD_KAFKA_CA_FILE and its like need STEWARD_KAFKA_TLS=on.');
  return isOn ? tls : undefined;
}

function readSasl(read: KafkaReader, isEncrypted: boolean): KafkaConfig['sasl'] {
  const mechanism = read.oneOf('STEWARD_KAFKA_SASL', ['none', ...SASL_MECHANISMS], 'none');
  const username = read.text('STEWARD_KAFKA_USERNAME');
  const passwordFile = read.text('STEWARD_KAFKA_PASSWORD_FILE');
  if (mechanism === 'none') {
    if (username !== undefined || passwordFile !== undefined)
      read.problems.push('STEWARD_KAFKA_USERNAME and STEWARD_KAFKA_PASSWORD_FILE need STEWARD_KAFKA_SASL.');
    return undefined;
  }
  if (mechanism === 'plain' && !isEncrypted)
    read.problems.push('STEWARD_KAFKA_SASL=plain needs STEWARD_KAFKA_TLS=on: it sends the password as it is.');
  if (username === undefined || passwordFile === undefined) {
    read.problems.push('STEWARD_KAFKA_SASL needs STEWARD_KAFKA_USERNAME and STEWARD_KAFKA_PASSWORD_FILE.');
    return undefined;
  }
  try {
    const password = new SecretText(readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, ''));
    return { mechanism, username, password };
  } catch {
    read.problems.push('STEWARD_KAFKA_PASSWORD_FILE must be the path of a readable file.');
    return undefined;
  }
}
