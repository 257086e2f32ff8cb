import { readFileSync } from 'node:fs';
import { Kafka, type KafkaConfig, logLevel, type SASLOptions } from 'kafkajs';
import { type KafkaLog, logInto } from './kafka-log.js';

export const SASL_MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;
export type SaslMechanism = (typeof SASL_MECHANISMS)[number];

/** How a cluster is reached. */
export interface KafkaSettings {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  /** Undefined = no TLS. Without a CA the system's authorities count; a certificate needs its key. */
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string } | undefined;
  readonly sasl?:
    { readonly mechanism: SaslMechanism; readonly username: string; readonly password: string } | undefined;
}

const CONNECT_MS_MAX = 3_000;
/** A broker that is silent this long is asked no more; its successor is. */
const REQUEST_MS_MAX = 10_000;

const fileOf = (path: string | undefined): string | undefined =>
  path === undefined ? undefined : readFileSync(path, 'utf8');

function tlsOf({ tls }: KafkaSettings): Pick<KafkaConfig, 'ssl'> {
  if (tls === undefined) return {};
  const entries = Object.entries({ ca: fileOf(tls.caFile), cert: fileOf(tls.certFile), key: fileOf(tls.keyFile) });
  return { ssl: Object.fromEntries(entries.filter(([, text]) => text !== undefined)) };
}

/** The client of a cluster; nothing is connected yet. Throws where a file cannot be read. */
export function openKafka(settings: KafkaSettings, log: KafkaLog): Kafka {
  return new Kafka({
    clientId: 'steward',
    brokers: [...settings.brokers],
    ...tlsOf(settings),
    ...(settings.sasl === undefined ? {} : { sasl: settings.sasl as SASLOptions }),
    connectionTimeout: CONNECT_MS_MAX,
    authenticationTimeout: REQUEST_MS_MAX,
    requestTimeout: REQUEST_MS_MAX,
    enforceRequestTimeout: true,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, multiplier: 2, factor: 0.2 },
    logLevel: logLevel.INFO,
    logCreator: logInto(log),
  });
}
