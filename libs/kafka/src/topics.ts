import type { Kafka } from 'kafkajs';
import { withDeadline } from '#libs/eventsourcing';

export interface TopicSettings {
  /** Fixed for the life of a topic: with another number keys would move, and their order break. */
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** Undefined = for ever. */
  readonly retentionMs: number | undefined;
}

/** The cluster would not make a topic as asked; what it said is the message. */
export class TopicRefused extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TopicRefused';
  }
}

const CREATE_MS_MAX = 60_000;

/** An acknowledged message outlives the loss of one broker where there are at least two copies. */
const inSyncMin = ({ replicationFactor }: TopicSettings): number => Math.max(1, replicationFactor - 1);

/**
 * Makes the topics that are not there; those that are stay as their operator made them. Throws TopicRefused, for example
 * where the cluster has fewer brokers than the replication asks for.
 */
export async function ensureTopics(kafka: Kafka, names: readonly string[], settings: TopicSettings): Promise<void> {
  const admin = kafka.admin();
  try {
    await withDeadline(admin.connect(), CREATE_MS_MAX);
    const existing = await withDeadline(admin.listTopics(), CREATE_MS_MAX);
    const missing = names.filter((name) => !existing.includes(name));
    if (missing.length === 0) return;
    const configEntries = Object.entries({
      'cleanup.policy': 'delete',
      'retention.ms': settings.retentionMs ?? -1,
      'retention.bytes': -1,
      'min.insync.replicas': inSyncMin(settings),
      'unclean.leader.election.enable': false,
    }).map(([name, value]) => ({ name, value: String(value) }));
    const topics = missing.map((topic) => ({
      topic,
      numPartitions: settings.partitionCount,
      replicationFactor: settings.replicationFactor,
      configEntries,
    }));
    // Where two processes start at once, the one that comes second is told so, and the topics are there.
    await withDeadline(admin.createTopics({ topics, waitForLeaders: true }), CREATE_MS_MAX);
  } catch (error) {
    throw refusal(error) ?? error;
  } finally {
    admin.disconnect().catch(() => undefined);
  }
}

function refusal(error: unknown): TopicRefused | undefined {
  if (!(error instanceof Error) || error.name !== 'KafkaJSAggregateError') return undefined;
  const { errors } = error as Error & { errors: readonly (Error & { type?: string; topic?: string })[] };
  const what = errors.map(({ topic, message }) => `${topic ?? 'a topic'}: ${message}`).join(' ');
  return new TopicRefused(`Kafka would not make what was asked for. ${what}`, { cause: error });
}
