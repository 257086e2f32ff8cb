import {
  AppendTooLarge,
  DeadlinePassed,
  OutcomeUnknown,
  StoreUnavailable,
  WrongExpectedRevision,
} from '#libs/eventsourcing';
import { EventStoreAccessDenied, failureOfAppend, failureOfRead } from './kurrent-errors.js';

const request = { stream: 'key-a', expectedRevision: 3, events: [] };

/** An error as the client or, raw, the transport throws it. */
const thrown = (message: string, fields: object = {}): Error => Object.assign(new Error(message), fields);

describe('an append that failed', () => {
  it.each([
    ['a raw loss of the connection', thrown('14 UNAVAILABLE: read ECONNRESET', { code: 14 })],
    ['a lost connection as the client names it', thrown('Connection dropped', { type: 'unavailable', code: 14 })],
    ['a call that was cancelled', thrown('1 CANCELLED', { type: 'cancelled', code: 1 })],
    ['the server’s own timeout', thrown('', { type: 'deadline-exceeded' })],
    ['what the server cannot explain', thrown('', { type: 'unknown', code: 2 })],
    ['a timer of ours', new DeadlinePassed(5_000)],
  ])('may have been done after %s', (_, error) => {
    const failure = failureOfAppend(error, request);
    expect(failure).toBeInstanceOf(OutcomeUnknown);
    expect((failure as Error).cause).toBe(error);
  });

  it.each([
    [
      'nothing to connect to',
      thrown('14 UNAVAILABLE: No connection established. Last error: ECONNREFUSED', { code: 14 }),
      'unreachable',
    ],
    ['no address', thrown('14 UNAVAILABLE: Name resolution failed for target dns:x', { code: 14 }), 'unreachable'],
    ['no node of the cluster', thrown('Failed to discover after 10 attempts.'), 'unreachable'],
    ['another leader', thrown('', { type: 'not-leader', code: 5 }), 'unreachable'],
    [
      'a server that starts',
      thrown('14 UNAVAILABLE: Server Is Not Ready', { type: 'unavailable', code: 14 }),
      'unreachable',
    ],
    ['a server that is full', thrown('', { code: 8 }), 'overloaded'],
  ])('was surely not done after %s', (_, error, reason) => {
    expect(failureOfAppend(error, request)).toMatchObject({ name: StoreUnavailable.name, reason });
  });

  it('by a lost race tells where the stream is', () => {
    const at = (actualVersion: unknown): unknown =>
      failureOfAppend(thrown('', { type: 'wrong-expected-version', actualVersion }), request);
    expect(at(6n)).toMatchObject({ name: WrongExpectedRevision.name, expected: 3, actual: 7 });
    expect(at('no_stream')).toMatchObject({ actual: 0 });
  });

  it('by what only an operator can change says so', () => {
    expect(failureOfAppend(thrown('', { type: 'access-denied' }), request)).toBeInstanceOf(EventStoreAccessDenied);
    expect(failureOfAppend(thrown('', { code: 16 }), request)).toBeInstanceOf(EventStoreAccessDenied);
    expect(failureOfAppend(thrown('', { type: 'maximum-append-size-exceeded' }), request)).toBeInstanceOf(
      AppendTooLarge,
    );
    const deleted = thrown('', { type: 'stream-deleted' });
    expect(failureOfAppend(deleted, request)).toBe(deleted);
  });
});

describe('a read that failed', () => {
  it('may pass by itself where the server or the way to it is at fault', () => {
    for (const error of [
      thrown('14 UNAVAILABLE', { code: 14 }),
      thrown('', { type: 'cancelled' }),
      thrown('Failed to discover after 10 attempts.'),
      new DeadlinePassed(1_000),
    ])
      expect(failureOfRead(error)).toBeInstanceOf(StoreUnavailable);
  });

  it('is told as it is where it will not', () => {
    const bug = new TypeError('x is undefined');
    expect(failureOfRead(bug)).toBe(bug);
    const wrong = thrown('', { code: 3 });
    expect(failureOfRead(wrong)).toBe(wrong);
    expect(failureOfRead(thrown('', { code: 7 }))).toBeInstanceOf(EventStoreAccessDenied);
  });
});
