import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  type Attributes,
  type Context,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from '@opentelemetry/api';
import {
  type Envelope,
  type TracedEvent,
  type TracedEvents,
  tracedEvents,
  type TracedWork,
  tracedWork,
  type TraceQuestion,
  traceQuestions,
} from '#libs/eventsourcing';

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The span that W3C Trace Context names; undefined for what is none. */
function spanNamedBy(traceparent: string | undefined): SpanContext | undefined {
  const [, traceId = '', spanId = '', flags = ''] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  const named = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(named) ? named : undefined;
}

const below = (parent: SpanContext | undefined): Context =>
  parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);

/** The error's code or class: its message may hold what a client sent. */
function failed(span: Span, error: unknown): void {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  const type = [code, name].find((text): text is string => typeof text === 'string') ?? 'Error';
  span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR });
}

function attributesOfEvent({ type, envelope }: TracedEvent): Attributes {
  const { stream, revision } = JSON.parse(envelope) as Envelope;
  return { 'steward.event': type, 'steward.stream': stream, 'steward.revision': revision };
}

function attributesOf({ commandId, correlationId, event }: TracedWork): Attributes {
  if (event !== undefined) return attributesOfEvent(event);
  if (commandId === undefined) return {};
  return { 'steward.command_id': commandId, 'steward.correlation_id': correlationId ?? '' };
}

/** Makes spans of what the program tells of its work. Answers how to stop listening. */
export function listenForSpans(tracer: Tracer): () => void {
  const current = new AsyncLocalStorage<Span>();
  const spans = new WeakMap<object, Span>();
  const beganMs = new WeakMap<object, number>();

  const begin = (work: TracedWork): Span => {
    const parent = work.kind === 'command' ? current.getStore()?.spanContext() : spanNamedBy(work.traceparent);
    const kind = work.kind === 'request' ? SpanKind.SERVER : SpanKind.INTERNAL;
    const span = tracer.startSpan(work.name, { kind, attributes: attributesOf(work) }, below(parent));
    spans.set(work, span);
    return span;
  };
  const end = (message: unknown): void => {
    const work = message as TracedWork & { readonly error?: unknown };
    const span = spans.get(work);
    if (span === undefined) return;
    spans.delete(work);
    if (work.status !== undefined) span.setAttribute('steward.status', work.status);
    if (work.error !== undefined) failed(span, work.error);
    span.end();
  };
  const beginEvents = (message: unknown): void => {
    beganMs.set(message as object, Date.now());
  };
  const endEvents = (message: unknown): void => {
    const { name, events, error } = message as TracedEvents & { readonly error?: unknown };
    const startTime = beganMs.get(message as object) ?? Date.now();
    for (const event of events) {
      const parent = spanNamedBy(event.traceparent);
      // A span without its trace would tell nothing.
      if (parent === undefined) continue;
      const span = tracer.startSpan(name, { startTime, attributes: attributesOfEvent(event) }, below(parent));
      if (error !== undefined) failed(span, error);
      span.end();
    }
  };
  const answer = (message: unknown): void => {
    const span = current.getStore()?.spanContext();
    if (span === undefined) return;
    (message as TraceQuestion).traceparent = `00-${span.traceId}-${span.spanId}-0${span.traceFlags}`;
  };

  tracedWork.start.bindStore(current, (work) => spans.get(work) ?? begin(work));
  subscribe(tracedWork.asyncEnd.name, end);
  subscribe(tracedEvents.start.name, beginEvents);
  subscribe(tracedEvents.asyncEnd.name, endEvents);
  subscribe(traceQuestions.name, answer);
  return () => {
    unsubscribe(traceQuestions.name, answer);
    tracedWork.start.unbindStore(current);
    unsubscribe(tracedWork.asyncEnd.name, end);
    unsubscribe(tracedEvents.start.name, beginEvents);
    unsubscribe(tracedEvents.asyncEnd.name, endEvents);
  };
}
