import { OutcomeUnknown, StoreUnavailable } from '#libs/eventsourcing';
import pg from 'pg';

/** The server's answer, as against a connection that broke or never came to be. */
export function isServerAnswer(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError;
}

/** A read model's table stands only after the projection's first page; until then there is nothing to read. */
export function isTableMissing(error: unknown): boolean {
  return isServerAnswer(error) && error.code === '42P01';
}

const classOf = (error: pg.DatabaseError): string => error.code?.slice(0, 2) ?? '';

/** The session or the server is going away (57P01 admin shutdown and its kin), or the protocol broke. */
function endsTheSession(error: pg.DatabaseError): boolean {
  return error.code?.startsWith('57P') === true || classOf(error) === '08' || error.severity === 'PANIC';
}

/** The data of one append made the statement fail, so its neighbours would pass without it. */
export function isPoison(error: unknown): boolean {
  return isServerAnswer(error) && ['21', '22', '23', '54'].includes(classOf(error));
}

/**
 * What became of a batch that was sent and failed, in the words of the store port. An error that the server answers
 * has rolled the batch back; only a lost session or a deadline of ours leaves it open.
 */
export function failureOfAppend(error: unknown): Error {
  if (!isServerAnswer(error) || endsTheSession(error)) return new OutcomeUnknown({ cause: error });
  if (error.code === '53100') return new StoreUnavailable('disk-full', { cause: error });
  switch (classOf(error)) {
    case '40':
    case '53':
    case '55':
    case '57':
      return new StoreUnavailable('overloaded', { cause: error });
    case '25':
    case '58':
      return new StoreUnavailable('unreachable', { cause: error });
    default:
      return error;
  }
}

/** A failed read: StoreUnavailable where it may pass by itself, and the error as it is where it will not. */
export function failureOfRead(error: unknown): unknown {
  if (error instanceof StoreUnavailable) return error;
  const passing =
    !isServerAnswer(error) || endsTheSession(error) || ['40', '53', '55', '57', '58'].includes(classOf(error));
  return passing ? new StoreUnavailable('unreachable', { cause: error }) : error;
}
