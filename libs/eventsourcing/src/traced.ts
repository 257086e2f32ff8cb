import { channel, tracingChannel } from 'node:diagnostics_channel';
import type { CommandContext } from './codec.js';
import type { NewEvent, StoredEvent } from './event-store.js';

/**
 * What is done here is told on channels of Node's own, so that whoever wants traces can listen (docs/guides/traces.md)
 * and the program itself knows nothing of them. Names and opaque ids only: no token, no private part, no client's text.
 */
export interface TracedWork {
  /** `POST /v1/tenants`, `command CreateKey`, `react key-offboarding`. */
  readonly name: string;
  /**
   * What came from outside begins or continues a trace; a command belongs to what called it, and what a reactor does to
   * the event that it reacts to.
   */
  readonly kind: 'request' | 'command' | 'reaction';
  /** The trace context that the caller sent, as it came; of a reaction that of its event. */
  readonly traceparent?: string | undefined;
  readonly commandId?: string;
  readonly correlationId?: string;
  /** Of a reaction. */
  readonly event?: TracedEvent;
  /** Of a request, once it is answered: the HTTP status, or the name of the gRPC code. */
  status?: number | string | undefined;
}

export type TracedEvent = Pick<NewEvent, 'type' | 'envelope' | 'traceparent'>;

/** One append or one page of a projection: events of several traces, done together. */
export interface TracedEvents {
  /** `append`, `project key-list`. */
  readonly name: string;
  readonly events: readonly TracedEvent[];
}

export const tracedWork = tracingChannel<unknown, TracedWork>('steward:work');
export const tracedEvents = tracingChannel<unknown, TracedEvents>('steward:events');

/** Which trace that belongs to which runs now; whoever listens fills in the answer. */
export interface TraceQuestion {
  traceparent: string | undefined;
}

export const traceQuestions = channel('steward:traceparent');

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** W3C Trace Context, version 00: 55 characters, neither id all zeros. */
export const isTraceparent = (text: unknown): text is string => typeof text === 'string' && TRACEPARENT.test(text);

const isKept = (traceparent: string): boolean => Number.parseInt(traceparent.slice(-2), 16) % 2 === 1;

/** The trace context of the work that runs now, to be sent with what it asks of others; undefined without a trace. */
export function currentTraceparent(): string | undefined {
  if (!traceQuestions.hasSubscribers) return undefined;
  const question: TraceQuestion = { traceparent: undefined };
  traceQuestions.publish(question);
  return isTraceparent(question.traceparent) ? question.traceparent : undefined;
}

/**
 * Runs the command under its name, with the trace that its events shall bear: that of the command where it is kept, and
 * none where it is not, so that a trace which nobody will see costs the log nothing. Without a listener it costs one
 * comparison.
 */
export function traceCommand<T>(
  command: unknown,
  context: CommandContext,
  run: (context: CommandContext) => Promise<T>,
): Promise<T> {
  if (!tracedWork.start.hasSubscribers) return run(context);
  const { type } = command as { readonly type?: unknown };
  const name = typeof type === 'string' ? `command ${type}` : 'command';
  const { commandId, correlationId } = context;
  const runTraced = (): Promise<T> => {
    const traceparent = currentTraceparent();
    return run(traceparent !== undefined && isKept(traceparent) ? { ...context, traceparent } : context);
  };
  return tracedWork.tracePromise(runTraced, { name, kind: 'command', commandId, correlationId });
}

/** Runs the reaction in the trace of its event, where it bears one. */
export function traceReaction<T>(reactor: string, event: StoredEvent, run: () => Promise<T>): Promise<T> {
  const { traceparent } = event;
  if (traceparent === undefined || !tracedWork.start.hasSubscribers) return run();
  return tracedWork.tracePromise(run, { name: `react ${reactor}`, kind: 'reaction', traceparent, event });
}

export function traceEvents<T>(name: string, events: TracedEvents['events'], run: () => Promise<T>): Promise<T> {
  return tracedEvents.start.hasSubscribers ? tracedEvents.tracePromise(run, { name, events }) : run();
}
