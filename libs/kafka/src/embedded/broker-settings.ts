import { join } from 'node:path';

/** A listener with TLS and SASL beside the plain one. The certificate is of 127.0.0.1; it and its key are PEM. */
export interface SecuredListener {
  readonly cert: string;
  readonly key: string;
  readonly username: string;
  readonly password: string;
}

/** One broker, a controller too. */
export interface Member {
  readonly nodeId: number;
  readonly port: number;
  readonly securedPort: number;
  readonly controllerPort: number;
}

export const LOG_SETTINGS = `
appender.stderr.type=Console
appender.stderr.name=stderr
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=%p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.stderr.ref=stderr
`;

export const keystoreIn = (folder: string): string => join(folder, 'keystore.pem');

function securedSettings(secured: SecuredListener | undefined, folder: string): Record<string, string> {
  if (secured === undefined) return {};
  const { username, password } = secured;
  const security = 'org.apache.kafka.common.security';
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': keystoreIn(folder),
    'sasl.enabled.mechanisms': 'SCRAM-SHA-512,PLAIN',
    'listener.name.secured.scram-sha-512.sasl.jaas.config': `${security}.scram.ScramLoginModule required;`,
    'listener.name.secured.plain.sasl.jaas.config': `${security}.plain.PlainLoginModule required user_${username}="${password}";`,
  };
}

/** The properties file of one of these brokers; its data stand in the folder, under its number. */
export function settingsOf(
  { nodeId, port, securedPort, controllerPort }: Member,
  members: readonly Member[],
  folder: string,
  secured: SecuredListener | undefined,
): string {
  const listener = secured === undefined ? '' : `,SECURED://127.0.0.1:${securedPort}`;
  const copies = members.length;
  const inSyncMin = copies > 1 ? 2 : 1;
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': nodeId,
    'controller.quorum.voters': members.map((one) => `${one.nodeId}@127.0.0.1:${one.controllerPort}`).join(),
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}${listener}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}${listener}`,
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL',
    ...securedSettings(secured, folder),
    'log.dirs': join(folder, String(nodeId)),
    'auto.create.topics.enable': false,
    'default.replication.factor': copies,
    'min.insync.replicas': inSyncMin,
    'offsets.topic.replication.factor': copies,
    'offsets.topic.num.partitions': 1,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': inSyncMin,
    'transaction.state.log.num.partitions': 1,
    'group.initial.rebalance.delay.ms': 0,
    'log.segment.bytes': 16_777_216,
    // With the defaults a broker that was killed stays away for 15 seconds.
    'broker.session.timeout.ms': copies > 1 ? 3_000 : 1_500,
    'broker.heartbeat.interval.ms': copies > 1 ? 500 : 250,
    'replica.lag.time.max.ms': 5_000,
  })
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
