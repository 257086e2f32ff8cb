export { orAborted } from './abortable.js';
export { type SecuredListener } from './embedded/broker-settings.js';
export { freePorts } from './embedded/free-ports.js';
export { KafkaCluster, type KafkaOptions } from './embedded/kafka-cluster.js';
export { whyNoKafka } from './embedded/kafka-jars.js';
export {
  type ConsumerState,
  deadLetterTopic,
  EventConsumer,
  type EventConsumerOptions,
  type IncomingMessage,
} from './event-consumer.js';
export { clusterIdOf } from './cluster-id.js';
export { eventTopics, messageOf, type OutgoingMessage, topicOf } from './event-message.js';
export { EventPublisher, PUBLISHER_TIMES, type PublisherTimes, PublishFailed } from './event-publisher.js';
export { type KafkaSettings, openKafka, SASL_MECHANISMS, type SaslMechanism } from './kafka-client.js';
export { type KeptOffsets } from './kept-positions.js';
export { type KafkaLog } from './kafka-log.js';
export { partitionOf } from './partition.js';
export { ensureTopics, TopicRefused, type TopicSettings } from './topics.js';
