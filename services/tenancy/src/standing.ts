import type { Decider, DomainEvent, Ledger, Position } from '#libs/eventsourcing';

export interface Folded<State> {
  readonly state: State;
  /** Of the event at a revision of the stream. */
  readonly positionOf: (revision: number) => Position | null;
}

/**
 * What a stream says now, read from the ledger itself: an answer made from it lags behind nothing, so its 404 is given
 * at the head and its ETag is one that a change will be compared with.
 */
export async function foldStream<State, Command, Event extends DomainEvent>(
  { store, codec }: Ledger,
  stream: string,
  decider: Decider<State, Command, Event>,
): Promise<Folded<State>> {
  const history = await store.readStream(stream);
  const state = history.reduce((folded, stored) => {
    const event = codec.decode(stored);
    return decider.evolve(folded, event as unknown as Event, event);
  }, decider.initialState);
  return { state, positionOf: (revision) => history[revision - 1]?.position ?? null };
}
