import type { Kafka } from 'kafkajs';
import { KEY_USAGE_TOPIC } from '#libs/contracts';
import { deadLetterTopic, ensureTopics, type TopicSettings } from '#libs/kafka';

const DAY_MS = 86_400_000;
/** So long may the projectors be away; sources of batches are known for longer. */
const RETENTION_DAYS = 7;

/** Makes the topic and the one for what cannot be read, where they are not there. */
export const ensureUsageTopics = (kafka: Kafka, settings: TopicSettings): Promise<void> =>
  ensureTopics(kafka, [KEY_USAGE_TOPIC, deadLetterTopic(KEY_USAGE_TOPIC)], {
    ...settings,
    retentionMs: RETENTION_DAYS * DAY_MS,
  });
