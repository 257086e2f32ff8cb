import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { listenForSpans } from './span-listener.js';

/** A program that ends takes at most this much of its spans with it. */
const FLUSH_EVERY_MS = 1_000;

/** The part of the traces that begin here which are kept, by OpenTelemetry's own variable; all of them without it. */
function keptRatio(): number {
  const text = process.env['OTEL_TRACES_SAMPLER_ARG'] ?? '';
  const ratio = text === '' ? 1 : Number(text);
  if (ratio >= 0 && ratio <= 1) return ratio;
  throw new Error('OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1.');
}

// Loaded before the program by `node --import`; where to send is said by OpenTelemetry's own variables.
const provider = new TracerProvider({
  resource: defaultResource().merge(
    resourceFromAttributes({ 'service.name': process.env['OTEL_SERVICE_NAME'] ?? 'steward' }),
  ),
  // Whether a caller's trace is kept is the caller's to say.
  sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(keptRatio()) }),
  spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), scheduledDelayMillis: FLUSH_EVERY_MS })],
});
listenForSpans(provider.getTracer('steward'));
