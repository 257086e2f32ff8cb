import { StewardProcess } from '#libs/testing';
import { ReflectedClient } from './reflected-client.js';
import { ServicesApart } from './services-apart.js';
import { aCaller, SpanCollector, spanNamed } from './span-collector.js';

describe('Traces, with the preload', () => {
  let collector: SpanCollector;
  let steward: StewardProcess;
  beforeAll(async () => {
    collector = await SpanCollector.start();
    steward = await StewardProcess.start({ env: collector.envOf('steward') });
  });
  afterAll(async () => {
    await steward.stop();
    await collector.stop();
  });

  it('a request over HTTP is one trace, its caller’s, through command, append and projection', async () => {
    const caller = aCaller();
    const { status } = await steward.call('POST', '/v1/tenants', {
      body: { id: 'acme', name: 'Acme' },
      headers: caller.headers,
    });
    expect(status).toBe(201);
    const names = ['POST /v1/tenants', 'command CreateTenant', 'append', 'project tenancy'];
    const spans = await collector.trace(names, caller.traceId);
    const [request, command, append, projection] = names.map((name) => spanNamed(spans, name));
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
    expect(spanNamed(spans, method).parentSpanId ?? '').toBe('');
    expect(spanNamed(spans, 'command CreateTenant').parentSpanId).toBe(spanNamed(spans, method).spanId);
  });

  it('a command of the one writer of a project, which appends for many, stays in the trace of its request', async () => {
    await steward.call('POST', '/v1/tenants/acme/projects', { body: { id: 'GOV2', name: 'Tides' } });
    const { status } = await steward.call('POST', '/v1/projects/GOV2/quotas/freeze', { body: { mode: 'hold' } });
    expect(status).toBeLessThan(300);
    const request = 'POST /v1/projects/:projectId/quotas/freeze';
    const spans = await collector.trace([request, 'append']);
    const command = spans.find(({ name }) => name.startsWith('command '));
    expect(command?.parentSpanId).toBe(spanNamed(spans, request).spanId);
    expect(spanNamed(spans, 'append').parentSpanId).toBe(command?.spanId);
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

describe('Traces over services apart, each with the preload', () => {
  let collector: SpanCollector;
  let apart: ServicesApart;

  beforeAll(async () => {
    collector = await SpanCollector.start();
    apart = await ServicesApart.start(['keys1', 'tenancy', 'projector'], (name) => collector.envOf(name));
    await apart.made('tenancy', 'POST', '/v1/tenants', { body: { id: 'acme', name: 'Acme' } });
  });
  afterAll(async () => {
    await apart.stop();
    await collector.stop();
  });

  /** A request to the tenancy service by a caller with a trace; answers the trace once it holds spans of these names. */
  async function traceOf(method: string, path: string, body: unknown, names: readonly string[]) {
    const caller = aCaller();
    await apart.made('tenancy', method, path, { body, headers: caller.headers });
    const spans = await collector.trace(names, caller.traceId);
    return names.map((name) => spanNamed(spans, name));
  }

  it('a request is one trace from the service asked to that which knows the caller, and to the projector', async () => {
    const [request, asked, command, append, projection] = await traceOf(
      'POST',
      '/v1/tenants/acme/projects',
      { id: 'GOV1', name: 'Weather' },
      [
        'POST /v1/tenants/:tenantId/projects',
        '/steward.internal.v1.CredentialService/Authenticate',
        'command CreateProject',
        'append',
        'project tenancy',
      ],
    );
    expect([request, asked, command, append, projection].map((span) => span?.service)).toEqual([
      'tenancy',
      'keys1',
      'tenancy',
      'tenancy',
      'projector',
    ]);
    expect([asked?.parentSpanId, command?.parentSpanId]).toEqual([request?.spanId, request?.spanId]);
    expect([append?.parentSpanId, projection?.parentSpanId]).toEqual([command?.spanId, command?.spanId]);
  });

  it('what another service’s reactor does about an event belongs to the trace of the event', async () => {
    await apart.made('tenancy', 'PUT', '/v1/projects/GOV1/members/ada', { body: { role: 'tenant_user' } });
    await apart.made('keys1', 'POST', '/v1/projects/GOV1/keys', { body: { owner: { type: 'user', id: 'ada' } } });
    const [removal, reaction, command, projection] = await traceOf(
      'DELETE',
      '/v1/projects/GOV1/members/ada?disposition=orphan',
      undefined,
      ['command RemoveMember', 'react key-offboarding', 'command OffboardKey', 'project key-list'],
    );
    expect([removal, reaction, command, projection].map((span) => span?.service)).toEqual([
      'tenancy',
      'keys1',
      'keys1',
      'projector',
    ]);
    expect([reaction?.parentSpanId, command?.parentSpanId, projection?.parentSpanId]).toEqual([
      removal?.spanId,
      reaction?.spanId,
      command?.spanId,
    ]);
  });
});
