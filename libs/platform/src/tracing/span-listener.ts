import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
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
  type TracedEvents,
  tracedEvents,
  type TracedWork,
  tracedWork,
  type TraceQuestion,
  traceQuestions,
} from '#libs/eventsourcing';
import { SpanBook } from './span-book.js';

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** The caller's span by W3C Trace Context; undefined for what is none. */
function callerOf(traceparent: string | undefined): SpanContext | undefined {
  const [, traceId = '', spanId = '', flags = ''] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  const caller = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(caller) ? caller : undefined;
}

const below = (parent: SpanContext | undefined): Context =>
  parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);

/** The error's code or class: its message may hold what a client sent. */
function failed(span: Span, error: unknown): void {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  const type = [code, name].find((text): text is string => typeof text === 'string') ?? 'Error';
  span.setAttribute('error.type', type).setStatus({ code: SpanStatusCode.ERROR });
}

/** Makes spans of what the program tells of its work. Answers how to stop listening. */
export function listenForSpans(tracer: Tracer): () => void {
  const current = new AsyncLocalStorage<Span>();
  const spans = new WeakMap<object, Span>();
  const beganMs = new WeakMap<object, number>();
  const book = new SpanBook();

  const begin = (work: TracedWork): Span => {
    const { commandId, correlationId } = work;
    const isRequest = work.kind === 'request';
    const parent = isRequest
      ? callerOf(work.traceparent)
      : (current.getStore()?.spanContext() ?? book.find(commandId, correlationId));
    const kind = isRequest ? SpanKind.SERVER : SpanKind.INTERNAL;
    const attributes = isRequest
      ? {}
      : { 'steward.command_id': commandId ?? '', 'steward.correlation_id': correlationId ?? '' };
    const span = tracer.startSpan(work.name, { kind, attributes }, below(parent));
    if (commandId !== undefined) book.remember(commandId, span.spanContext());
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
    for (const { type, envelope } of events) {
      const { commandId, correlationId, stream, revision } = JSON.parse(envelope) as Envelope;
      const parent = book.find(commandId, correlationId);
      // Of another process, or of before this start: a span without its trace would tell nothing.
      if (parent === undefined) continue;
      const attributes = { 'steward.event': type, 'steward.stream': stream, 'steward.revision': revision };
      const span = tracer.startSpan(name, { startTime, attributes }, below(parent));
      if (error !== undefined) failed(span, error);
      span.end();
    }
  };
  const answer = (message: unknown): void => {
    const question = message as TraceQuestion;
    const span = book.find(question.commandId, question.correlationId);
    if (span !== undefined) question.traceparent = `00-${span.traceId}-${span.spanId}-0${span.traceFlags}`;
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
