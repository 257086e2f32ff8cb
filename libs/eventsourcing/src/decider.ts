import type { ErrorCode } from '#libs/contracts';
import type { Actor } from './envelope.js';

/** What a decision writes: the public data, and private parts in plain text until the codec seals them. */
export interface DomainEvent {
  readonly type: string;
  readonly data: object;
  readonly private?: Readonly<Record<string, object>>;
}

/** What the store knows of an event beside its content. */
export interface EventMeta {
  readonly revision: number;
  readonly recordedAt: string;
  readonly commandId: string;
  readonly actor: Actor;
  readonly tenantId: string | null;
  readonly projectId: string | null;
}

/**
 * The rules of one aggregate as pure functions. `at` is the recordedAt that the decided events will bear (RFC 3339 UTC
 * with ms, never before the stream's last event), so a rule about time needs no clock and a replay decides alike.
 * `decide` throws a Refusal; an empty list means that there is nothing to change.
 */
export interface Decider<State, Command, Event extends DomainEvent> {
  readonly initialState: State;
  readonly decide: (command: Command, state: State, at: string) => Event[];
  readonly evolve: (state: State, event: Event, meta: EventMeta) => State;
}

export interface FieldError {
  /** Where the fault is: `body.expiresAt`, `query.limit`, `path.keyId`, `header.If-Match`. */
  readonly location: string;
  readonly message: string;
}

/** A refusal by rule, with a code of the catalogue. The detail is read by the caller and must bear no secret. */
export class Refusal extends Error {
  constructor(
    readonly code: ErrorCode,
    readonly detail: string,
    readonly extra: {
      readonly errors?: readonly FieldError[];
      readonly retryAfterSeconds?: number;
      /** Further members of the problem document (RFC 9457, 3.2): `violations` of a denied reservation, for instance. */
      readonly extensions?: Readonly<Record<string, unknown>>;
    } = {},
  ) {
    super(`${code}: ${detail}`);
    this.name = 'Refusal';
  }
}
