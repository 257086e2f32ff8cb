import type { Decider, DomainEvent, EventMeta } from '#libs/eventsourcing';

export interface GivenOptions {
  /** What stands in each given event's envelope beside its content; the revision is counted. */
  readonly meta?: Partial<Omit<EventMeta, 'revision'>>;
  /** recordedAt of the decided events. */
  readonly at?: string;
}

export interface Given<State, Command, Event extends DomainEvent> {
  readonly state: State;
  when(command: Command): Event[];
  /** The state that the decided events leave. */
  then(command: Command): State;
}

/** `given(decider, events).when(command)` answers the decided events, and throws what the decider refuses with. */
export function given<State, Command, Event extends DomainEvent>(
  decider: Decider<State, Command, Event>,
  events: readonly Event[] = [],
  { meta = {}, at = '2026-01-01T00:00:00.000Z' }: GivenOptions = {},
): Given<State, Command, Event> {
  const metaOf = (revision: number): EventMeta => ({
    recordedAt: at,
    commandId: '00000000-0000-4000-8000-000000000000',
    actor: { type: 'system', id: 'test', via: 'internal' },
    tenantId: null,
    projectId: null,
    ...meta,
    revision,
  });
  const fold = (from: State, next: readonly Event[], revision: number): State =>
    next.reduce((state, event, n) => decider.evolve(state, event, metaOf(revision + n + 1)), from);
  const state = fold(decider.initialState, events, 0);
  return {
    state,
    when: (command) => decider.decide(command, state, at),
    then: (command) => fold(state, decider.decide(command, state, at), events.length),
  };
}
