import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ServerReadableStream, ServerWritableStream } from '@grpc/grpc-js';
import { Refusal } from '#libs/eventsourcing';

/** How long a caller may take nothing of a stream, or send nothing. */
const STREAM_STALL_MS_MAX = 60_000;

/** Stands for a request that was no message of its method's type. */
export const UNREADABLE = Symbol('unreadable');

export const unreadable = (): Refusal => new Refusal('BODY_MALFORMED', 'The request is no message of this method.');

export const orUnreadable = (deserialize: (bytes: Buffer) => unknown) => (bytes: Buffer) => {
  try {
    return deserialize(bytes);
  } catch {
    return UNREADABLE;
  }
};

/** Until the caller has taken what was written, or is gone. */
export async function taken(call: ServerWritableStream<unknown, unknown>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = (end: () => void) => (): void => {
      clearTimeout(timer);
      call.off('drain', onTaken).off('cancelled', onTaken);
      end();
    };
    const onTaken = settle(resolve);
    const timer = setTimeout(
      settle(() => {
        reject(new Refusal('REQUEST_TIMEOUT', `Nothing was taken for ${STREAM_STALL_MS_MAX} ms.`));
      }),
      STREAM_STALL_MS_MAX,
    );
    call.on('drain', onTaken).on('cancelled', onTaken);
  });
}

/** The messages as they come. It ends only with the caller's own end: what breaks off or stalls is refused. */
export async function* arriving(
  call: ServerReadableStream<unknown, unknown>,
): AsyncGenerator<unknown, void, undefined> {
  const wait = (): NodeJS.Timeout =>
    setTimeout(() => {
      call.destroy(new Refusal('REQUEST_TIMEOUT', `Nothing was sent for ${STREAM_STALL_MS_MAX} ms.`));
    }, STREAM_STALL_MS_MAX);
  let timer = wait();
  try {
    for await (const message of call as AsyncIterable<unknown>) {
      clearTimeout(timer);
      if (message === UNREADABLE) throw unreadable();
      yield message;
      timer = wait();
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw brokeOff();
  } finally {
    clearTimeout(timer);
  }
  // A caller that is gone looks like one that has ended, until the stream beneath is closed in the same turn.
  await nextTurn();
  if (call.cancelled) throw brokeOff();
}

const brokeOff = (): Refusal => new Refusal('BODY_MALFORMED', 'The stream broke off before its end.');

/** A stream whose first message was looked at, whole again. */
export async function* beginningWith(
  first: IteratorResult<unknown, void>,
  others: AsyncGenerator<unknown, void, undefined>,
): AsyncGenerator<unknown, void, undefined> {
  if (first.done === true) return;
  yield first.value;
  yield* others;
}
