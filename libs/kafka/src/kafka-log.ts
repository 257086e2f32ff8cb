import { type logCreator, logLevel } from 'kafkajs';

/** What the program's logger must be able to do. */
export interface KafkaLog {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** The client writes several lines a second while a broker is away: one of a kind passes in this time. */
const QUIET_MS = 10_000;
const KINDS_MAX = 200;

interface Kind {
  passedAtMs: number;
  suppressed: number;
}

/**
 * The client's lines, lowered: what it calls an error it tries again by itself, and what does not pass reaches the caller
 * as a rejection, who knows better what it means. Stacks and payloads stay out.
 */
export function logInto(log: KafkaLog, nowMs: () => number = () => performance.now()): logCreator {
  const kinds = new Map<string, Kind>();
  return () =>
    ({ namespace, level, log: entry }) => {
      const { message, broker, error, groupId }: Record<string, unknown> = entry;
      const text = String(message);
      const fields = { namespace, broker, error: typeof error === 'string' ? error : undefined, groupId };
      if (level !== logLevel.ERROR && level !== logLevel.WARN) {
        log.debug(fields, text);
        return;
      }
      const name = `${namespace} ${text.replaceAll(/\d+/g, '#')}`;
      const kind = kinds.get(name);
      if (kind !== undefined && nowMs() - kind.passedAtMs < QUIET_MS) {
        kind.suppressed += 1;
        return;
      }
      if (kinds.size >= KINDS_MAX) kinds.clear();
      kinds.set(name, { passedAtMs: nowMs(), suppressed: 0 });
      const suppressed = kind?.suppressed ?? 0;
      log.warn({ ...fields, ...(suppressed > 0 ? { suppressed } : {}) }, `Kafka: ${text}`);
    };
}
