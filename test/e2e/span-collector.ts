import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** Of the process that made it. */
  readonly service: string;
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[];
    };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<ReceivedSpan, 'service'>[] }[];
  }[];
}

const ARRIVAL_MS_MAX = 20_000;
const PRELOAD = new URL('../../dist/libs/platform/src/tracing/preload.js', import.meta.url).href;

/** What an OTLP collector is told on loopback. */
export class SpanCollector {
  readonly spans: ReceivedSpan[] = [];
  received = '';

  private constructor(private readonly server: Server) {}

  static async start(): Promise<SpanCollector> {
    const server = createServer();
    const collector = new SpanCollector(server);
    server.on('request', (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (text: string) => (body += text));
      request.on('end', () => {
        collector.take(body);
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return collector;
  }

  /** The environment of a process that sends its spans here under this name. */
  envOf(service: string): Record<string, string> {
    return {
      NODE_OPTIONS: `--import=${PRELOAD}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`,
      OTEL_SERVICE_NAME: service,
    };
  }

  private take(body: string): void {
    this.received += body;
    for (const { resource, scopeSpans } of (JSON.parse(body) as Export).resourceSpans) {
      const service = resource.attributes.find(({ key }) => key === 'service.name')?.value.stringValue ?? '';
      for (const { spans } of scopeSpans) this.spans.push(...spans.map((span) => ({ ...span, service })));
    }
    this.server.emit('spans');
  }

  /** The trace that holds spans of all these names, once it does. */
  async trace(names: readonly string[], traceId?: string): Promise<ReceivedSpan[]> {
    const deadline = AbortSignal.timeout(ARRIVAL_MS_MAX);
    for (;;) {
      const ids = traceId === undefined ? [...new Set(this.spans.map((span) => span.traceId))] : [traceId];
      const found = ids
        .map((id) => this.spans.filter((span) => span.traceId === id))
        .find((spans) => names.every((name) => spans.some((span) => span.name === name)));
      if (found !== undefined) return found;
      if (deadline.aborted)
        throw new Error(`No trace holds ${names.join()}: ${JSON.stringify(this.spans.map(({ name }) => name))}`);
      await new Promise<void>((resolve) => {
        this.server.once('spans', resolve);
        deadline.addEventListener('abort', () => {
          resolve();
        });
      });
    }
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Whoever calls in a trace of its own. */
export function aCaller(): { traceId: string; spanId: string; headers: Record<string, string> } {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-01` } };
}

/** The one span of that name; throws where there is none. */
export function spanNamed(spans: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = spans.find((span) => span.name === name);
  if (found === undefined) throw new Error(`There is no span ${name}.`);
  return found;
}
