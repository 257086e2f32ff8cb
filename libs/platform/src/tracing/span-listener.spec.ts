import {
  AlwaysOffSampler,
  InMemorySpanExporter,
  ParentBasedSampler,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import {
  type CommandContext,
  currentTraceparent,
  traceCommand,
  traceEvents,
  tracedWork,
  traceReaction,
} from '#libs/eventsourcing';
import { newEvent } from '../../../eventsourcing/src/testing/contract-item.js';
import { listenForSpans } from './span-listener.js';

const exporter = new InMemorySpanExporter();
const spanProcessors = [new SimpleSpanProcessor({ exporter })];
const provider = new TracerProvider({ spanProcessors });
const CALLER = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const traceparentOf = ({ traceId, spanId }: { traceId: string; spanId: string }): string =>
  `00-${traceId}-${spanId}-01`;

const contextOf = (commandId: string): CommandContext => ({
  commandId,
  correlationId: commandId,
  causationId: null,
  requestHash: null,
  actor: { type: 'system', id: 'test', via: 'internal' },
  actorPart: null,
});
const envelope = JSON.stringify({ stream: 'key-1', revision: 2 });
const storedWith = (traceparent: string | undefined) => ({
  ...newEvent('{}', { type: 'KeyRevoked', envelope, ...(traceparent === undefined ? {} : { traceparent }) }),
  stream: 'key-1',
  revision: 2,
  position: '2',
  storedAt: '2026-01-01T00:00:00.000Z',
});
const spanOf = (name: string) => exporter.getFinishedSpans().find((span) => span.name === name);
const done = (): Promise<void> => Promise.resolve();
/** Runs a command and answers the trace that its events would bear. */
const runCommandAs = (type: string, commandId: string): Promise<string | undefined> =>
  traceCommand({ type }, contextOf(commandId), ({ traceparent }) => Promise.resolve(traceparent));

let stop: () => void;
beforeEach(() => {
  exporter.reset();
  stop = listenForSpans(provider.getTracer('test'));
});
afterEach(() => {
  stop();
});

describe('listenForSpans', () => {
  it('gives the events of a command the trace of their command, in that of its request', async () => {
    const request = { name: 'POST /v1/keys', kind: 'request', traceparent: traceparentOf(CALLER) } as const;
    const traceparent = await tracedWork.tracePromise(() => runCommandAs('CreateKey', 'c1'), { ...request });
    const command = spanOf('command CreateKey');
    expect(command?.parentSpanContext?.spanId).toBe(spanOf('POST /v1/keys')?.spanContext().spanId);
    expect(command?.spanContext().traceId).toBe(CALLER.traceId);
    expect(traceparent).toBe(traceparentOf(command?.spanContext() ?? CALLER));
  });

  it('makes a span of each event that bears a trace below it, whoever wrote it, and none of the others', async () => {
    await traceEvents('project key-list', [storedWith(traceparentOf(CALLER)), storedWith(undefined)], done);
    expect(exporter.getFinishedSpans()).toHaveLength(1);
    expect(spanOf('project key-list')?.parentSpanContext).toMatchObject(CALLER);
    expect(spanOf('project key-list')?.attributes).toEqual({
      'steward.event': 'KeyRevoked',
      'steward.stream': 'key-1',
      'steward.revision': 2,
    });
  });

  it('puts what a reactor commands below the reaction, in the trace of its event', async () => {
    const stored = storedWith(traceparentOf(CALLER));
    await traceReaction('key-offboarding', stored, () => runCommandAs('RevokeKey', 'c2'));
    const reaction = spanOf('react key-offboarding');
    expect(reaction?.parentSpanContext).toMatchObject(CALLER);
    expect(reaction?.attributes).toMatchObject({ 'steward.stream': 'key-1', 'steward.revision': 2 });
    expect(spanOf('command RevokeKey')?.parentSpanContext?.spanId).toBe(reaction?.spanContext().spanId);
    exporter.reset();
    await traceReaction('key-offboarding', storedWith(undefined), done);
    expect(exporter.getFinishedSpans()).toEqual([]);
  });

  it('tells whoever calls another process the trace of what runs, and nothing outside of any', async () => {
    const seen = await traceCommand({ type: 'CreateKey' }, contextOf('c3'), () =>
      Promise.resolve(currentTraceparent()),
    );
    expect(seen).toBe(traceparentOf(spanOf('command CreateKey')?.spanContext() ?? CALLER));
    expect(currentTraceparent()).toBeUndefined();
  });

  it('leaves the events of a trace that is not kept without one, and still hands on that it is not', async () => {
    stop();
    const sampler = new ParentBasedSampler({ root: new AlwaysOffSampler() });
    stop = listenForSpans(new TracerProvider({ spanProcessors, sampler }).getTracer('test'));
    expect(await runCommandAs('CreateKey', 'c4')).toBeUndefined();
    const seen = await traceCommand({ type: 'CreateKey' }, contextOf('c4'), () =>
      Promise.resolve(currentTraceparent()),
    );
    expect(seen).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  });

  it('says of a failure its code and never its message', async () => {
    const failure = Object.assign(new Error('the name hunter2 is taken'), { code: 'KEY_ID_TAKEN' });
    const failing = traceCommand({ type: 'CreateKey' }, contextOf('c5'), () => Promise.reject(failure));
    await expect(failing).rejects.toBe(failure);
    const span = spanOf('command CreateKey');
    expect(span?.attributes).toMatchObject({ 'error.type': 'KEY_ID_TAKEN' });
    expect(JSON.stringify([span?.attributes, span?.status, span?.events])).not.toContain('hunter2');
  });

  it('continues no trace from a header that is no trace context', async () => {
    for (const traceparent of ['hunter2', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, undefined])
      await tracedWork.tracePromise(done, { name: 'GET /', kind: 'request', traceparent });
    expect(exporter.getFinishedSpans().map((span) => span.parentSpanContext)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('does nothing once it has stopped', async () => {
    stop();
    expect(await runCommandAs('CreateKey', 'c6')).toBeUndefined();
    expect(exporter.getFinishedSpans()).toEqual([]);
    expect(tracedWork.start.hasSubscribers).toBe(false);
  });
});
