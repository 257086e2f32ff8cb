import { APPEND_BYTES_MAX, ENVELOPE_BYTES_MAX } from './envelope.js';
import { AppendTooLarge, type AppendRequest } from './event-store.js';
import { isTraceparent } from './traced.js';

/**
 * What every store refuses before it does anything: AppendTooLarge past the limits of docs/events.md, and a RangeError
 * for what no caller of ours may ask. Answers the size of the envelopes in bytes.
 */
export function checkAppend(request: AppendRequest): number {
  if (request.events.length === 0) throw new RangeError('An append without events is no append.');
  if (!Number.isSafeInteger(request.expectedRevision) || request.expectedRevision < 0)
    throw new RangeError(`${request.expectedRevision} is no revision that a stream can be at.`);
  let sizeBytes = 0;
  for (const event of request.events) {
    const envelopeBytes = Buffer.byteLength(event.envelope, 'utf8');
    if (envelopeBytes > ENVELOPE_BYTES_MAX)
      throw new AppendTooLarge(`A ${event.type} of ${envelopeBytes} bytes is over ${ENVELOPE_BYTES_MAX} bytes.`);
    if (event.traceparent !== undefined && !isTraceparent(event.traceparent))
      throw new RangeError(`The trace context of a ${event.type} has not the form of one.`);
    sizeBytes += envelopeBytes;
  }
  if (sizeBytes > APPEND_BYTES_MAX)
    throw new AppendTooLarge(`An append of ${sizeBytes} bytes is over ${APPEND_BYTES_MAX} bytes.`);
  return sizeBytes;
}
