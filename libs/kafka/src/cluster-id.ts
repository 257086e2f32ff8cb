import type { Kafka } from 'kafkajs';
import { withDeadline } from '#libs/eventsourcing';

const ANSWER_MS_MAX = 30_000;

/** What tells this Kafka from every other one, also from one that stands at the same address later. */
export async function clusterIdOf(kafka: Kafka): Promise<string> {
  const admin = kafka.admin();
  try {
    await withDeadline(admin.connect(), ANSWER_MS_MAX);
    const { clusterId } = await withDeadline(admin.describeCluster(), ANSWER_MS_MAX);
    return clusterId;
  } finally {
    admin.disconnect().catch(() => undefined);
  }
}
