import pg from 'pg';
import {
  eventTypes,
  principalStream,
  projectStream,
  subjectStream,
  type TenancyEvent,
  tenantStream,
} from '#libs/contracts';
import { Codec, FixedClock, MemoryDataKeys } from '#libs/eventsourcing';
import { PostgresEventStore, ProjectionHost } from '#libs/postgres';
import { createScratchLedger, type ExternalPostgres, type ScratchLedger, startExternalPostgres } from '#libs/testing';
import { tenancyProjection } from './tenancy.projection.js';

let server: ExternalPostgres;
let scratch: ScratchLedger;
let pool: pg.Pool;
let store: PostgresEventStore;
let host: ProjectionHost;
const dataKeys = new MemoryDataKeys();
const codec = new Codec(eventTypes, dataKeys);
const clock = new FixedClock(Date.UTC(2026, 0, 1));

beforeAll(async () => {
  server = await startExternalPostgres();
  scratch = await createScratchLedger(server.url);
  pool = new pg.Pool({ ...scratch.program, max: 4 });
  pool.on('error', () => undefined);
  store = new PostgresEventStore({ connection: scratch.program });
  host = new ProjectionHost({ database: pool, store, codec, projections: [tenancyProjection], retiredGraceMs: 0 });
  host.start();
});

afterAll(async () => {
  await host.stop();
  await store.close();
  await pool.end();
  await scratch.drop();
  await server.stop();
});

let commands = 0;

/** Appends to one stream, a second after the events before. */
async function append(stream: string, tenantId: string | null, ...events: TenancyEvent[]): Promise<void> {
  clock.advance(1_000);
  const history = await store.readStream(stream);
  commands += 1;
  const commandId = `00000000-0000-4000-8000-${String(commands).padStart(12, '0')}`;
  await store.append({
    stream,
    expectedRevision: history.length,
    events: await codec.encode({
      stream,
      tenantId,
      projectId: stream.startsWith('project-') ? stream.slice('project-'.length) : null,
      lastRevision: history.length,
      lastChainHash: history.at(-1)?.chainHash ?? null,
      recordedAt: clock.now(),
      context: {
        commandId,
        correlationId: commandId,
        causationId: null,
        requestHash: null,
        actor: { type: 'system', id: 'test', via: 'internal' },
        actorPart: null,
      },
      events,
    }),
  });
}

const tables = ['tenants', 'projects', 'members', 'principals'] as const;

async function rows(table: (typeof tables)[number]): Promise<Record<string, unknown>[]> {
  const head = await store.head();
  expect(await host.reach('tenancy', head, 10_000)).toBe(true);
  return (await pool.query<Record<string, unknown>>(`select * from tenancy.${table} order by 1, 2`)).rows;
}

describe('the lists of tenancy', () => {
  it('show what every event of a tenant says', async () => {
    await append(tenantStream('acme'), 'acme', { type: 'TenantCreated', data: { name: 'Acme' } });
    expect(await rows('tenants')).toEqual([
      {
        tenant_id: 'acme',
        name: 'Acme',
        status: 'active',
        search: 'acme\nacme',
        created_at: '2026-01-01T00:00:01.000Z',
        version: 1,
        position: (await store.readStream(tenantStream('acme')))[0]?.position,
      },
    ]);
    await append(tenantStream('acme'), 'acme', { type: 'TenantSuspended', data: {} });
    expect(await rows('tenants')).toMatchObject([{ status: 'suspended', version: 2 }]);
    await append(
      tenantStream('acme'),
      'acme',
      { type: 'KeyPolicySet', data: { policy: { maxLifetimeDays: 90 } } },
      { type: 'KeyPolicyRemoved', data: {} },
    );
    expect(await rows('tenants')).toMatchObject([{ status: 'suspended', version: 2 }]);
    await append(tenantStream('acme'), 'acme', { type: 'TenantResumed', data: {} });
    expect(await rows('tenants')).toMatchObject([{ status: 'active', version: 5 }]);
  });

  it('show what every event of a project and of its members says', async () => {
    const at = projectStream('GOV1');
    await append(at, 'acme', { type: 'ProjectCreated', data: { name: 'Weather' } });
    expect(await rows('projects')).toMatchObject([
      { project_id: 'GOV1', tenant_id: 'acme', name: 'Weather', status: 'active', version: 1 },
    ]);
    await append(
      at,
      'acme',
      {
        type: 'MemberAdded',
        data: { userId: 'alice', role: 'tenant_user' },
        private: { person: { displayName: 'Alice', email: 'Alice@example.org' } },
      },
      { type: 'MemberAdded', data: { userId: 'bob', role: 'tenant_user' } },
    );
    expect(await rows('members')).toMatchObject([
      {
        project_id: 'GOV1',
        user_id: 'alice',
        tenant_id: 'acme',
        role: 'tenant_user',
        status: 'active',
        display_name: 'Alice',
        email: 'Alice@example.org',
        search: 'alice\nalice\nalice@example.org',
        version: 2,
      },
      { user_id: 'bob', display_name: null, email: null, search: 'bob', version: 3 },
    ]);
    await append(
      at,
      'acme',
      { type: 'MemberRoleChanged', data: { userId: 'bob', from: 'tenant_user', to: 'tenant_admin' } },
      {
        type: 'MemberProfileChanged',
        data: { userId: 'bob' },
        private: { person: { displayName: 'Bob', email: null } },
      },
      { type: 'MemberProfileChanged', data: { userId: 'alice' } },
      { type: 'MemberSuspended', data: { userId: 'alice' } },
      { type: 'ServiceAccessGranted', data: { userId: 'bob', service: 'container-compute' } },
      { type: 'ServiceAccessRevoked', data: { userId: 'bob', service: 'container-compute' } },
    );
    expect(await rows('members')).toMatchObject([
      { user_id: 'alice', status: 'suspended', display_name: null, email: null, search: 'alice', version: 7 },
      { user_id: 'bob', role: 'tenant_admin', display_name: 'Bob', search: 'bob\nbob', services: [], version: 9 },
    ]);
    await append(
      at,
      'acme',
      { type: 'MemberResumed', data: { userId: 'alice' } },
      { type: 'MemberRemoved', data: { userId: 'bob', disposition: 'block', to: null } },
      { type: 'ProjectClosed', data: {} },
    );
    expect(await rows('members')).toMatchObject([{ user_id: 'alice', status: 'active', version: 10 }]);
    expect(await rows('projects')).toMatchObject([{ status: 'closed', version: 12 }]);
  });

  it('show what every event of a principal says', async () => {
    const at = principalStream('olga');
    await append(at, 'acme', { type: 'PrincipalRegistered', data: { type: 'user', role: 'tenant_owner' } });
    expect(await rows('principals')).toMatchObject([
      { principal_id: 'olga', type: 'user', role: 'tenant_owner', tenant_id: 'acme', status: 'active', version: 1 },
    ]);
    await append(at, 'acme', { type: 'PrincipalRoleChanged', data: { from: 'tenant_owner', to: 'auditor' } });
    await append(at, 'acme', { type: 'PrincipalRemoved', data: {} });
    expect(await rows('principals')).toMatchObject([{ role: 'auditor', status: 'removed', version: 3 }]);
  });

  it('forget a person who was erased, in every project', async () => {
    for (const projectId of ['GOV2', 'GOV3'])
      await append(
        projectStream(projectId),
        'acme',
        { type: 'ProjectCreated', data: { name: 'Rain' } },
        {
          type: 'MemberAdded',
          data: { userId: 'erin', role: 'tenant_user' },
          private: { person: { displayName: 'Erin', email: 'erin@example.org' } },
        },
      );
    const dataKeyNames = await dataKeys.standing('user:erin');
    await append(subjectStream('erin'), null, {
      type: 'SubjectErased',
      data: { subjectId: 'erin', dataKeys: [...dataKeyNames] },
    });
    const erin = (await rows('members')).filter(({ user_id }) => user_id === 'erin');
    expect(erin).toMatchObject([
      { project_id: 'GOV2', display_name: null, email: null, search: 'erin', version: 2 },
      { project_id: 'GOV3', display_name: null, email: null, search: 'erin', version: 2 },
    ]);
    await dataKeys.destroy(dataKeyNames);
  });

  it('are the same when they are built anew, also where a name cannot be read any more', async () => {
    const before = await Promise.all(tables.map(rows));
    await host.rebuild('tenancy');
    expect(await Promise.all(tables.map(rows))).toEqual(before);
  });

  it('park a change of what is not there instead of losing it', async () => {
    await append(projectStream('GOV9'), 'acme', { type: 'MemberSuspended', data: { userId: 'ghost' } });
    await rows('members');
    expect(await host.listParked('tenancy')).toMatchObject([{ key: 'project-GOV9' }]);
  });
});
