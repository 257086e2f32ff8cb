import {
  AppendTooLarge,
  type AppendRequest,
  OutcomeUnknown,
  StoreUnavailable,
  WrongExpectedRevision,
} from '#libs/eventsourcing';

/** The server knows neither user nor certificate, or grants them too little: only an operator can change that. */
export class EventStoreAccessDenied extends Error {
  constructor(options?: ErrorOptions) {
    super('The event store refuses our user: it must be one that may read $all and write every stream.', options);
    this.name = 'EventStoreAccessDenied';
  }
}

/** Numbers of gRPC. */
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

interface Failure {
  /** The client's own name of the error; absent on errors that it passes on raw. */
  readonly type: string | undefined;
  readonly code: number | undefined;
  readonly message: string;
}

function failureIn(error: unknown): Failure {
  const { type, code, message } = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  return {
    type: typeof type === 'string' ? type : undefined,
    code: typeof code === 'number' ? code : undefined,
    message: typeof message === 'string' ? message : '',
  };
}

const isDenied = ({ type, code }: Failure): boolean =>
  type === 'access-denied' || code === UNAUTHENTICATED || code === PERMISSION_DENIED;

/** No node of the cluster was found, or none could be connected to: nothing was ever sent. */
const wasNeverSent = ({ type, code, message }: Failure): boolean =>
  type === 'not-leader' ||
  message.startsWith('Failed to discover') ||
  (code === UNAVAILABLE &&
    /No connection established|Name resolution failed|Failed to connect|Server Is (Not Ready|Too Busy)/i.test(message));

/** The server was there to say it; a lost connection says nothing. */
export function isAnswer(error: unknown): boolean {
  const { type, code } = failureIn(error);
  return type !== undefined && type !== 'unavailable' && type !== 'cancelled' && code !== UNAVAILABLE;
}

/** True for what the server says of itself being elsewhere: the client has followed by then, so once more is right. */
export const isNotLeader = (error: unknown): boolean => failureIn(error).type === 'not-leader';

export const isStreamNotFound = (error: unknown): boolean => failureIn(error).type === 'stream-not-found';

/** What became of an append, in the words of the store port. What may have been written is an OutcomeUnknown. */
export function failureOfAppend(error: unknown, request: AppendRequest): unknown {
  if (error instanceof StoreUnavailable) return error;
  const failure = failureIn(error);
  if (failure.type === 'wrong-expected-version') {
    const { actualVersion } = error as { actualVersion?: unknown };
    const actual = typeof actualVersion === 'bigint' ? Number(actualVersion) + 1 : 0;
    return new WrongExpectedRevision(request.stream, request.expectedRevision, actual);
  }
  if (failure.type === 'maximum-append-size-exceeded')
    return new AppendTooLarge('The append is over the size that the event store is set to take (MaxAppendSize).');
  if (isDenied(failure)) return new EventStoreAccessDenied({ cause: error });
  if (failure.code === RESOURCE_EXHAUSTED) return new StoreUnavailable('overloaded', { cause: error });
  if (wasNeverSent(failure)) return new StoreUnavailable('unreachable', { cause: error });
  if (failure.type === 'stream-deleted' || failure.code === INVALID_ARGUMENT || failure.code === UNIMPLEMENTED)
    return error;
  return new OutcomeUnknown({ cause: error });
}

/** A failed read: StoreUnavailable where it may pass by itself, and the error as it is where it will not. */
export function failureOfRead(error: unknown): unknown {
  const failure = failureIn(error);
  if (isDenied(failure)) return new EventStoreAccessDenied({ cause: error });
  if (failure.type === 'stream-deleted' || failure.code === INVALID_ARGUMENT || failure.code === UNIMPLEMENTED)
    return error;
  const passes =
    failure.type !== undefined ||
    failure.code !== undefined ||
    wasNeverSent(failure) ||
    (error instanceof Error && error.name === 'DeadlinePassed');
  return passes ? new StoreUnavailable('unreachable', { cause: error }) : error;
}
