import type { Codec, EventStore } from '#libs/eventsourcing';
import { ReactorHost, type ReactorHostOptions } from '#libs/postgres';
import type { Logger } from '../telemetry/logger.js';

/** The reactors of this process; whatever they have to say goes to the log. */
export function reactorHost(
  database: ReactorHostOptions['database'],
  store: EventStore,
  codec: Codec,
  log: Logger,
): ReactorHost {
  return new ReactorHost({
    database,
    store,
    codec,
    listener: {
      reactionFailed: (reactor, { type, stream, position, correlationId }, err, attempts) => {
        const event = { type, stream, position, correlationId };
        log.error({ reactor, event, err, attempts }, 'A reaction failed; it is tried again.');
      },
      failed: (reactor, err) => {
        log.error({ reactor, err }, 'A reactor stopped.');
      },
      retrying: (reactor, err) => {
        log.warn({ reactor, err }, 'A reactor waits for the database.');
      },
    },
  });
}
