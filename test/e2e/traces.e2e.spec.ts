import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StewardProcess } from '#libs/testing';
import { ReflectedClient } from './reflected-client.js';

interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
}

const ARRIVAL_MS_MAX = 20_000;
const PRELOAD = new URL('../../dist/libs/platform/src/tracing/preload.js', import.meta.url).href;

/** What an OTLP collector is told on loopback. */
class Collector {
  readonly spans: ReceivedSpan[] = [];
  received = '';

  private constructor(private readonly server: Server) {}

  static async start(): Promise<Collector> {
    const server = createServer();
    const collector = new Collector(server);
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

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  private take(body: string): void {
    this.received += body;
    const { resourceSpans } = JSON.parse(body) as {
      resourceSpans: { scopeSpans: { spans: ReceivedSpan[] }[] }[];
    };
    this.spans.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
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

const named = (spans: readonly ReceivedSpan[], name: string): ReceivedSpan => {
  const found = spans.find((span) => span.name === name);
  if (found === undefined) throw new Error(`There is no span ${name}.`);
  return found;
};

describe('Traces, with the preload', () => {
  let collector: Collector;
  let steward: StewardProcess;
  beforeAll(async () => {
    collector = await Collector.start();
    steward = await StewardProcess.start({
      env: { NODE_OPTIONS: `--import=${PRELOAD}`, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url },
    });
  });
  afterAll(async () => {
    await steward.stop();
    await collector.stop();
  });

  it('a request over HTTP is one trace, its caller’s, through command, append and projection', async () => {
    const caller = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
    const { status } = await steward.call('POST', '/v1/tenants', {
      body: { id: 'acme', name: 'Acme' },
      headers: { traceparent: `00-${caller.traceId}-${caller.spanId}-01` },
    });
    expect(status).toBe(201);
    const names = ['POST /v1/tenants', 'command CreateTenant', 'append', 'project tenancy'];
    const spans = await collector.trace(names, caller.traceId);
    const [request, command, append, projection] = names.map((name) => named(spans, name));
    expect(request?.parentSpanId).toBe(caller.spanId);
    expect(command?.parentSpanId).toBe(request?.spanId);
    expect([append?.parentSpanId, projection?.parentSpanId]).toEqual([command?.spanId, command?.spanId]);
  });

  it('a call over gRPC is one trace too', async () => {
    const client = await ReflectedClient.of(steward);
    const { code } = await client.call('TenancyService', 'createTenant', { id: 'globex', name: 'Globex' }, {});
    client.close();
    expect(code).toBe(0);
    const method = '/steward.v1.TenancyService/CreateTenant';
    const spans = await collector.trace([method, 'command CreateTenant', 'append', 'project tenancy']);
    expect(named(spans, method).parentSpanId ?? '').toBe('');
    expect(named(spans, 'command CreateTenant').parentSpanId).toBe(named(spans, method).spanId);
  });

  it('a command of the one writer of a project, which appends for many, stays in the trace of its request', async () => {
    await steward.call('POST', '/v1/tenants/acme/projects', { body: { id: 'GOV2', name: 'Tides' } });
    const { status } = await steward.call('POST', '/v1/projects/GOV2/quotas/freeze', { body: { mode: 'hold' } });
    expect(status).toBeLessThan(300);
    const request = 'POST /v1/projects/:projectId/quotas/freeze';
    const spans = await collector.trace([request, 'append']);
    const command = spans.find(({ name }) => name.startsWith('command '));
    expect(command?.parentSpanId).toBe(named(spans, request).spanId);
    expect(named(spans, 'append').parentSpanId).toBe(command?.spanId);
  });

  it('no span bears a token, a name of a person or a comment', async () => {
    await steward.call('POST', '/v1/tenants/acme/projects', { body: { id: 'GOV1', name: 'Weather' } });
    const person = { role: 'tenant_admin', displayName: 'Ada Lovelace', email: 'ada@example.org' };
    expect((await steward.call('PUT', '/v1/projects/GOV1/members/ada', { body: person })).status).toBeLessThan(300);
    const made = await steward.call<{ secret: string }>('POST', '/v1/projects/GOV1/keys', {
      body: { name: 'night batch', owner: { type: 'user', id: 'ada' } },
    });
    expect(made.status).toBe(201);
    await collector.trace(['POST /v1/projects/:projectId/keys', 'command CreateKey', 'append', 'project key-list']);
    for (const secret of [steward.adminToken, made.body.secret, 'Lovelace', 'ada@example.org'])
      expect(collector.received.includes(secret)).toBe(false);
  });
});
