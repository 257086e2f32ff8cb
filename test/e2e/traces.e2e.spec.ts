import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, StewardProcess } from '#libs/testing';
import { ownerAmong } from '../../services/quotas/src/forwarding/owner-among.js';
import { TwoStewards } from '../fault/two-stewards.js';
import { ReflectedClient } from './reflected-client.js';
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

describe('Traces over two processes, each with the preload', () => {
  let collector: SpanCollector;
  let pair: TwoStewards;
  let folder: string;
  let addresses: string[];

  beforeAll(async () => {
    collector = await SpanCollector.start();
    folder = mkdtempSync(join(tmpdir(), 'steward-traces-'));
    const internalKey = join(folder, 'internal.key');
    writeFileSync(internalKey, randomBytes(32));
    const ports = await freePorts(2);
    addresses = ports.map((port) => `127.0.0.1:${port}`);
    const env = (service: string, own: 0 | 1): Record<string, string> => ({
      ...collector.envOf(service),
      STEWARD_GRPC_PORT: String(ports[own]),
      STEWARD_QUOTAS_PEERS: [addresses[own], ...addresses].join(','),
      STEWARD_INTERNAL_KEY_FILE: internalKey,
    });
    // The first has every lease by the time the second starts: it alone projects and reacts.
    pair = await TwoStewards.start([env('leader', 0), env('server', 1)]);
    await pair.made('POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  });
  afterAll(async () => {
    await pair.stop();
    await collector.stop();
    rmSync(folder, { recursive: true });
  });

  /** A request to the second process, in a trace of its own; answers the trace once it holds spans of these names. */
  async function traceOf(method: string, path: string, body: unknown, names: readonly string[]) {
    const caller = aCaller();
    const { status } = await pair.both[1].call(method, path, { body, headers: caller.headers });
    expect(status).toBeLessThan(300);
    return collector.trace(names, caller.traceId);
  }

  it('a request to one is one trace through command and append there and the projection in the other', async () => {
    const names = ['POST /v1/tenants/:tenantId/projects', 'command CreateProject', 'append', 'project tenancy'];
    const spans = await traceOf('POST', '/v1/tenants/acme/projects', { id: 'GOV1', name: 'Weather' }, names);
    const [request, command, append, projection] = names.map((name) => spanNamed(spans, name));
    expect([request, command, append, projection].map((span) => span?.service)).toEqual([
      'server',
      'server',
      'server',
      'leader',
    ]);
    expect(command?.parentSpanId).toBe(request?.spanId);
    expect([append?.parentSpanId, projection?.parentSpanId]).toEqual([command?.spanId, command?.spanId]);
  });

  it('what the other’s reactor does about it belongs to the same trace', async () => {
    await pair.made('PUT', '/v1/projects/GOV1/members/ada', { role: 'tenant_user' });
    await pair.made('POST', '/v1/projects/GOV1/keys', { owner: { type: 'user', id: 'ada' } });
    const names = ['command RemoveMember', 'react key-offboarding', 'command OffboardKey', 'project key-list'];
    const spans = await traceOf('DELETE', '/v1/projects/GOV1/members/ada?disposition=orphan', undefined, names);
    const [removal, reaction, command, projection] = names.map((name) => spanNamed(spans, name));
    expect(reaction?.parentSpanId).toBe(removal?.spanId);
    expect(command?.parentSpanId).toBe(reaction?.spanId);
    expect([reaction?.service, command?.service, projection?.service]).toEqual(['leader', 'leader', 'leader']);
  });

  it('a command that is forwarded to the owner of its project goes on in the trace of its request', async () => {
    await pair.knowEachOther(addresses);
    const ids = Array.from({ length: 100 }, (_, n) => `QUOTA${n}`);
    const id = ids.find((one) => ownerAmong(one, addresses) === addresses[0]);
    await pair.made('POST', '/v1/tenants/acme/projects', { id, name: 'Tides' });
    const forwarded = '/steward.internal.v1.QuotaOwnerService/Execute';
    const path = `/v1/projects/${id ?? ''}/quotas/freeze`;
    const spans = await traceOf('POST', path, { mode: 'hold' }, [
      'POST /v1/projects/:projectId/quotas/freeze',
      forwarded,
      'command FreezeQuota',
      'append',
    ]);
    const execute = spanNamed(spans, forwarded);
    const command = spanNamed(spans, 'command FreezeQuota');
    expect(execute.parentSpanId).toBe(spanNamed(spans, 'POST /v1/projects/:projectId/quotas/freeze').spanId);
    expect([execute.service, command.service]).toEqual(['leader', 'leader']);
    expect(command.parentSpanId).toBe(execute.spanId);
  });
});
