export { orAborted } from './abortable.js';
export {
  type ConsumerState,
  deadLetterTopic,
  EventConsumer,
  type EventConsumerOptions,
  type IncomingMessage,
} from './event-consumer.js';
export { eventTopics, messageOf, type OutgoingMessage, topicOf } from './event-message.js';
export { EventPublisher, PUBLISHER_TIMES, type PublisherTimes, PublishFailed } from './event-publisher.js';
export { type KafkaSettings, openKafka, SASL_MECHANISMS, type SaslMechanism } from './kafka-client.js';
export { type KafkaLog } from './kafka-log.js';
export { partitionOf } from './partition.js';
export { ensureTopics, TopicRefused, type TopicSettings } from './topics.js';
