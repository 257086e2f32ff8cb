import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { traceCommand, traceEvents, traceparentOf, tracedWork } from '#libs/eventsourcing';
import { REMEMBERED_MAX, SpanBook } from './span-book.js';
import { listenForSpans } from './span-listener.js';

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
const envelopeOf = (commandId: string, correlationId: string) => ({
  type: 'KeyRevoked',
  envelope: JSON.stringify({ commandId, correlationId, stream: 'key-1', revision: 2 }),
});
const spansByName = () => Object.fromEntries(exporter.getFinishedSpans().map((span) => [span.name, span]));
const done = (): Promise<void> => Promise.resolve();

let stop: () => void;
beforeEach(() => {
  exporter.reset();
  stop = listenForSpans(provider.getTracer('test'));
});
afterEach(() => {
  stop();
});

describe('listenForSpans', () => {
  it('puts what a reactor does later into the trace of the first command of its chain', async () => {
    await traceCommand({ type: 'RemoveMember' }, { commandId: 'c1', correlationId: 'c1' }, done);
    await traceCommand({ type: 'RevokeKey' }, { commandId: 'c2', correlationId: 'c1' }, done);
    await traceEvents('project key-list', [envelopeOf('c2', 'c1')], done);
    const spans = spansByName();
    const first = spans['command RemoveMember']?.spanContext();
    expect(spans['command RevokeKey']?.parentSpanContext?.spanId).toBe(first?.spanId);
    expect(spans['project key-list']?.spanContext().traceId).toBe(first?.traceId);
    expect(spans['project key-list']?.parentSpanContext?.spanId).toBe(spans['command RevokeKey']?.spanContext().spanId);
  });

  it('tells a publisher the trace of an event, and nothing of an event that another process wrote', async () => {
    await traceCommand({ type: 'CreateKey' }, { commandId: 'c3', correlationId: 'c3' }, done);
    const { traceId, spanId } = spansByName()['command CreateKey']?.spanContext() ?? { traceId: '', spanId: '' };
    expect(traceparentOf({ commandId: 'c3', correlationId: 'c3' })).toBe(`00-${traceId}-${spanId}-01`);
    expect(traceparentOf({ commandId: 'elsewhere', correlationId: 'elsewhere' })).toBeUndefined();
    exporter.reset();
    await traceEvents('project key-list', [envelopeOf('elsewhere', 'elsewhere')], done);
    expect(exporter.getFinishedSpans()).toEqual([]);
  });

  it('says of a failure its code and never its message', async () => {
    const failure = Object.assign(new Error('the name hunter2 is taken'), { code: 'KEY_ID_TAKEN' });
    const ids = { commandId: 'c4', correlationId: 'c4' };
    await expect(traceCommand({ type: 'CreateKey' }, ids, () => Promise.reject(failure))).rejects.toBe(failure);
    const span = spansByName()['command CreateKey'];
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
    await traceCommand({ type: 'CreateKey' }, { commandId: 'c5', correlationId: 'c5' }, done);
    expect(exporter.getFinishedSpans()).toEqual([]);
    expect(tracedWork.start.hasSubscribers).toBe(false);
  });
});

describe('SpanBook', () => {
  it('forgets the oldest command beyond its bound', () => {
    const book = new SpanBook();
    const span = { traceId: 't', spanId: 's', traceFlags: 1 };
    for (let n = 0; n <= REMEMBERED_MAX; n += 1) book.remember(`c${n}`, span);
    expect([book.find('c0', undefined), book.find('c1', undefined)]).toEqual([undefined, span]);
  });
});
