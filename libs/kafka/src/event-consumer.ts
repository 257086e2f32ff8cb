import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer, EachBatchPayload, IHeaders, Kafka, KafkaMessage } from 'kafkajs';
import { orAborted } from './abortable.js';
import type { OutgoingMessage } from './event-message.js';
import type { EventPublisher } from './event-publisher.js';
import { type KeptOffsets, KeptPositions } from './kept-positions.js';

export interface IncomingMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly key: string;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export interface EventConsumerOptions {
  readonly kafka: Kafka;
  readonly groupId: string;
  readonly topics: readonly string[];
  /**
   * Messages of one partition come one after the other, and any of them may come again: the effect must tell. The signal
   * aborts when the partition goes to another member.
   */
  readonly handle: (message: IncomingMessage, signal: AbortSignal) => Promise<void>;
  /** True for what passes by itself, such as a database out of reach: the message is tried for ever, and nothing overtakes it. */
  readonly isTransient: (error: unknown) => boolean;
  /** Takes what cannot be handled, to the message's topic with `.dlq` behind, which must exist. */
  readonly deadLetters: Pick<EventPublisher, 'publish'>;
  /** Awaited before the group is joined, and until it succeeds: makes the topics. */
  readonly prepare?: () => Promise<void>;
  /** Where to begin, for effects that keep their offsets themselves; else where the group committed. */
  readonly offsets?: KeptOffsets;
  readonly attemptsMax?: number;
  readonly sessionTimeoutMs?: number;
  readonly onDeadLetter?: (message: IncomingMessage, error: unknown) => void;
  readonly onRetry?: (error: unknown) => void;
  readonly onCrash?: (error: Error) => void;
}

/** `crashed` until the group is joined again. */
export type ConsumerState = 'idle' | 'joining' | 'running' | 'crashed' | 'stopped';

const ATTEMPTS_MAX = 5;
const SESSION_MS_MAX = 30_000;
const FETCH_WAIT_MS_MAX = 1_000;
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 5_000;

export const deadLetterTopic = (topic: string): string => `${topic}.dlq`;

/**
 * Consumes topics as a member of a group, each message at least once. The client sends heartbeats between batches only,
 * restarts a poisoned one for ever, and goes deaf after some crashes without a word: here long work is kept alive, poison
 * goes to a topic of its own, and a crash is told and followed by a new client.
 */
export class EventConsumer {
  private readonly stopping = new AbortController();
  private loop: Promise<void> | undefined;
  private current: ConsumerState = 'idle';

  constructor(private readonly options: EventConsumerOptions) {}

  get state(): ConsumerState {
    return this.current;
  }

  start(): void {
    this.loop ??= this.run();
  }

  /** Resolves when the message in hand is done, its offset is committed and the group is left. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
    this.current = 'stopped';
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let pauseMs = PAUSE_MS_MIN;
    this.current = 'joining';
    while (!signal.aborted) {
      const startedMs = performance.now();
      const error = await this.consume();
      if (error === undefined || isAborted(signal)) return;
      this.current = 'crashed';
      this.options.onCrash?.(error);
      pauseMs = performance.now() - startedMs > PAUSE_MS_MAX ? PAUSE_MS_MIN : Math.min(pauseMs * 2, PAUSE_MS_MAX);
      await pause(pauseMs, signal);
    }
  }

  /** With one client until it crashes, which is the answer; undefined once this is stopped. */
  private async consume(): Promise<Error | undefined> {
    const { kafka, groupId, topics, offsets, prepare, sessionTimeoutMs = SESSION_MS_MAX } = this.options;
    const { signal } = this.stopping;
    const heartbeatInterval = Math.floor(sessionTimeoutMs / 10);
    const consumer = kafka.consumer({
      groupId,
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval,
      maxWaitTimeInMs: FETCH_WAIT_MS_MAX,
      allowAutoTopicCreation: false,
      retry: { retries: 5, restartOnFailure: () => Promise.resolve(false) },
    });
    const positions =
      offsets === undefined
        ? undefined
        : new KeptPositions(consumer, offsets, signal, (error) => this.options.onRetry?.(error));
    consumer.on(consumer.events.GROUP_JOIN, ({ payload: { memberAssignment } }) => {
      positions?.join(memberAssignment);
      this.current = 'running';
    });
    const crashed = crashOf(consumer, signal);
    try {
      if (prepare !== undefined) await orAborted(prepare(), signal);
      await consumer.connect();
      await consumer.subscribe({ topics: [...topics], fromBeginning: true });
      await consumer.run({
        eachBatchAutoResolve: false,
        eachBatch: (payload) => this.take(payload, heartbeatInterval, positions),
      });
      return await crashed;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      await consumer.disconnect().catch(() => undefined);
    }
  }

  private async take(
    payload: EachBatchPayload,
    heartbeatMs: number,
    positions: KeptPositions | undefined,
  ): Promise<void> {
    const { batch } = payload;
    const losing = new AbortController();
    const signal = AbortSignal.any([this.stopping.signal, losing.signal]);
    const beating = setInterval(() => {
      payload.heartbeat().catch((error: unknown) => {
        losing.abort(error);
      });
    }, heartbeatMs);
    try {
      const messages = (await positions?.letsThrough(batch)) === false ? [] : batch.messages;
      for (const message of messages) {
        if (!payload.isRunning() || payload.isStale() || signal.aborted) break;
        const isDone = await this.handle(incoming(batch.topic, batch.partition, message), signal);
        if (!isDone) break;
        payload.resolveOffset(message.offset);
        positions?.passed(batch.topic, batch.partition, BigInt(message.offset));
      }
      // The client joins the group anew when it hears of the rebalance.
      losing.signal.throwIfAborted();
    } finally {
      clearInterval(beating);
    }
  }

  /** True when the message is handled or set aside; false where the signal came first. */
  private async handle(message: IncomingMessage, signal: AbortSignal): Promise<boolean> {
    const { handle, isTransient, attemptsMax = ATTEMPTS_MAX, onRetry } = this.options;
    let pauseMs = PAUSE_MS_MIN;
    let attempts = 0;
    while (!isAborted(signal)) {
      try {
        await handle(message, signal);
        return true;
      } catch (error) {
        if (isAborted(signal)) return false;
        if (!isTransient(error)) attempts += 1;
        if (attempts >= attemptsMax) return this.setAside(message, error, signal);
        onRetry?.(error);
      }
      await pause(pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX);
    }
    return false;
  }

  private async setAside(message: IncomingMessage, error: unknown, signal: AbortSignal): Promise<boolean> {
    const { deadLetters, onDeadLetter, onRetry } = this.options;
    while (!isAborted(signal)) {
      try {
        await deadLetters.publish([deadLetterOf(message, error)], signal);
        onDeadLetter?.(message, error);
        return true;
      } catch (failure) {
        onRetry?.(failure);
        await pause(PAUSE_MS_MAX, signal);
      }
    }
    return false;
  }
}

/** Resolves with what ended the client, or undefined when the signal aborts. */
function crashOf(consumer: Consumer, signal: AbortSignal): Promise<Error | undefined> {
  return new Promise((resolve) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      resolve(payload.error);
    });
    signal.addEventListener('abort', () => {
      resolve(undefined);
    });
    if (signal.aborted) resolve(undefined);
  });
}

/** The message as it was, with where it stood and the name of what went wrong: its text might hold anything. */
function deadLetterOf(message: IncomingMessage, error: unknown): OutgoingMessage {
  return {
    topic: deadLetterTopic(message.topic),
    key: message.key,
    value: message.value,
    headers: {
      ...message.headers,
      steward_dead_partition: String(message.partition),
      steward_dead_offset: String(message.offset),
      steward_dead_reason: error instanceof Error ? error.name : 'unknown',
    },
  };
}

function incoming(topic: string, partition: number, message: KafkaMessage): IncomingMessage {
  return {
    topic,
    partition,
    offset: BigInt(message.offset),
    key: message.key?.toString('utf8') ?? '',
    value: message.value ?? Buffer.alloc(0),
    headers: textHeaders(message.headers ?? {}),
  };
}

/** Of a header that was given more than once the last one counts. */
function textHeaders(headers: IHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, String(Array.isArray(value) ? value.at(-1) : value)]),
  );
}

const isAborted = (signal: AbortSignal): boolean => signal.aborted;

const pause = async (ms: number, signal: AbortSignal): Promise<void> => {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
};
