import { channel, tracingChannel } from 'node:diagnostics_channel';

/**
 * What is done here is told on channels of Node's own, so that whoever wants traces can listen (docs/guides/traces.md)
 * and the program itself knows nothing of them. Names and opaque ids only: no token, no private part, no client's text.
 */
export interface TracedWork {
  /** `POST /v1/tenants`, `command CreateKey`. */
  readonly name: string;
  /** What came from outside begins or continues a trace; a command belongs to what called it. */
  readonly kind: 'request' | 'command';
  /** The trace context that the caller sent, as it came. */
  readonly traceparent?: string | undefined;
  /** Of a command: by them its events, and what they cause, are found to belong to it. */
  readonly commandId?: string;
  readonly correlationId?: string;
  /** Of a request, once it is answered: the HTTP status, or the name of the gRPC code. */
  status?: number | string | undefined;
}

/** One append or one page of a projection: events of several traces, done together. */
export interface TracedEvents {
  /** `append`, `project key-list`. */
  readonly name: string;
  readonly events: readonly { readonly type: string; readonly envelope: string }[];
}

export const tracedWork = tracingChannel<unknown, TracedWork>('steward:work');
export const tracedEvents = tracingChannel<unknown, TracedEvents>('steward:events');

/** Which trace an event belongs to; whoever listens fills in the answer. */
export interface TraceQuestion {
  readonly commandId: string;
  readonly correlationId: string;
  traceparent: string | undefined;
}

export const traceQuestions = channel('steward:traceparent');

/** The W3C trace context of the command that wrote an event; undefined where nobody knows. */
export function traceparentOf({ commandId, correlationId }: Omit<TraceQuestion, 'traceparent'>): string | undefined {
  if (!traceQuestions.hasSubscribers) return undefined;
  const question: TraceQuestion = { commandId, correlationId, traceparent: undefined };
  traceQuestions.publish(question);
  return question.traceparent;
}

/** Runs the command under its name. Without a listener it costs one comparison. */
export function traceCommand<T>(
  command: unknown,
  { commandId, correlationId }: { readonly commandId: string; readonly correlationId: string },
  run: () => Promise<T>,
): Promise<T> {
  if (!tracedWork.start.hasSubscribers) return run();
  const { type } = command as { readonly type?: unknown };
  const name = typeof type === 'string' ? `command ${type}` : 'command';
  return tracedWork.tracePromise(run, { name, kind: 'command', commandId, correlationId });
}

export function traceEvents<T>(name: string, events: TracedEvents['events'], run: () => Promise<T>): Promise<T> {
  return tracedEvents.start.hasSubscribers ? tracedEvents.tracePromise(run, { name, events }) : run();
}
