import { Controller, Get, Inject, Module, Param } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { pino } from 'pino';
import { eventTypes, type KeyOwner, type TenancyEvent } from '#libs/contracts';
import { Codec, FixedClock, IndexFollower, MemoryDataKeys, MemoryEventStore, Refusal } from '#libs/eventsourcing';
import { AccessIndex } from './access-index.js';
import { AuthThrottle } from './auth-throttle.js';
import { AuthGuard } from './auth.guard.js';
import { type Authentication, CredentialVerifier, KeyDirectory } from './credentials.js';
import { Gatekeeper } from './gatekeeper.js';
import { Context, ContextPipe } from '../http/context.decorator.js';
import { ProblemFilter } from '../http/problem.filter.js';
import { OidcVerifier } from '../oidc/oidc-verifier.js';
import { PrincipalResolver } from './principal-resolver.js';
import type { RequestContext } from '../requests/request-context.js';
import { PositionGate, RequestContexts } from '../requests/request-contexts.js';
import { assertEveryRouteHasPolicy, Authenticated, Open, Requires } from './requires.js';
import { Targets } from './target.js';
import { CONFIG, INSTALLATION_KEY, LOGGER } from '../tokens.js';

@Controller()
class SampleController {
  @Get('open')
  @Open()
  open(): string {
    return 'open';
  }

  @Get('whoami')
  @Authenticated()
  whoami(@Context() { principal }: RequestContext): object {
    return { type: principal.type, id: principal.id, via: principal.via };
  }

  @Get('projects/:projectId')
  @Requires('projects:read', 'project')
  project(@Param('projectId') projectId: string, @Context() { access }: RequestContext): object {
    return { projectId, visible: access.visible };
  }

  @Get('keys/:keyId')
  @Requires('keys:read', 'key')
  key(@Param('keyId') keyId: string, @Context() context: RequestContext): object {
    return { keyId, caller: context.principal.id };
  }
}

/** An event store, and what this process knows of it by following. */
class Ledger {
  readonly store = new MemoryEventStore(new FixedClock());
  readonly index = new AccessIndex();
  private readonly codec = new Codec(eventTypes, new MemoryDataKeys());
  readonly follower = new IndexFollower({ store: this.store, codec: this.codec, indexes: [this.index] });

  /** As another process does it: this one learns of it by following only. */
  async append(stream: string, tenantId: string | null, ...events: TenancyEvent[]): Promise<void> {
    const history = await this.store.readStream(stream);
    const prepared = await this.codec.encode({
      stream,
      tenantId,
      projectId: null,
      lastRevision: history.length,
      lastChainHash: history.at(-1)?.chainHash ?? null,
      recordedAt: '2026-01-01T00:00:00.000Z',
      context: {
        commandId: `00000000-0000-4000-8000-${String(this.commands++).padStart(12, '0')}`,
        correlationId: '00000000-0000-4000-8000-000000000000',
        causationId: null,
        requestHash: null,
        actor: { type: 'system', id: 'test', via: 'internal' },
        actorPart: null,
      },
      events,
    });
    await this.store.append({ stream, expectedRevision: history.length, events: prepared });
  }
  private commands = 0;
}

class Tokens extends CredentialVerifier implements KeyDirectory {
  readonly owners = new Map<string, { owner: KeyOwner; tenantId: string; projectId: string }>();

  authenticate(token: string): Authentication {
    const key = this.owners.get(token);
    if (key === undefined) return { ok: false, code: 'NOT_FOUND' };
    const powers = { scopes: null, canManageKeys: false, expiresAt: null, ipAllow: [], ipDeny: [], audiences: [] };
    return { ok: true, keyId: `key_${token}`, ...key, ...powers };
  }

  find(keyId: string) {
    const key = this.owners.get(keyId.slice('key_'.length));
    return key && { ...key, deleted: false };
  }
}

class Positions extends PositionGate {
  constructor(@Inject(Ledger) private readonly ledger: Ledger) {
    super();
  }

  isPosition(text: string): boolean {
    return this.ledger.store.isPosition(text);
  }

  async checkPosition(position: string): Promise<void> {
    if (position > (await this.ledger.store.head())) throw new Refusal('POSITION_UNKNOWN', 'It is beyond the head.');
  }
}

const ledger = new Ledger();
const tokens = new Tokens();
const own = (id: string, projectId: string, tenantId: string, role: KeyOwner['role'] = 'tenant_user') => ({
  owner: { type: 'user' as const, id, role },
  projectId,
  tenantId,
});

@Module({
  controllers: [SampleController],
  providers: [
    { provide: APP_GUARD, useClass: AuthGuard },
    { provide: APP_FILTER, useClass: ProblemFilter },
    Gatekeeper,
    Targets,
    PrincipalResolver,
    AuthThrottle,
    RequestContexts,
    ContextPipe,
    { provide: Ledger, useValue: ledger },
    { provide: AccessIndex, useValue: ledger.index },
    { provide: IndexFollower, useValue: ledger.follower },
    { provide: CredentialVerifier, useValue: tokens },
    { provide: KeyDirectory, useValue: tokens },
    { provide: OidcVerifier, useValue: { authenticate: () => Promise.resolve(undefined) } },
    { provide: PositionGate, useClass: Positions },
    { provide: CONFIG, useValue: { authFailuresPerMinute: 5, verifyStalenessMaxMs: 30_000, oidcIssuers: [] } },
    { provide: INSTALLATION_KEY, useValue: Buffer.alloc(32) },
    { provide: LOGGER, useValue: pino({ level: 'silent' }) },
  ],
})
class SampleModule {}

describe('the guard over HTTP', () => {
  let app: NestFastifyApplication;

  beforeAll(async () => {
    await ledger.append('tenant-acme', 'acme', { type: 'TenantCreated', data: { name: 'Acme' } });
    await ledger.append('tenant-umbra', 'umbra', { type: 'TenantCreated', data: { name: 'Umbra' } });
    await ledger.append('project-X1', 'umbra', { type: 'ProjectCreated', data: { name: 'Night' } });
    await ledger.append(
      'project-GOV1',
      'acme',
      { type: 'ProjectCreated', data: { name: 'Rain' } },
      { type: 'MemberAdded', data: { userId: 'alice', role: 'tenant_user' } },
      { type: 'MemberAdded', data: { userId: 'bob', role: 'tenant_user' } },
    );
    tokens.owners.set('alice', own('alice', 'GOV1', 'acme'));
    tokens.owners.set('bob', own('bob', 'GOV1', 'acme'));
    tokens.owners.set('carol', own('carol', 'GOV1', 'acme'));
    tokens.owners.set('dave', own('dave', 'X1', 'umbra'));
    ledger.follower.start();
    await ledger.follower.ready;
    const module = await Test.createTestingModule({ imports: [SampleModule] }).compile();
    app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), { logger: false });
    assertEveryRouteHasPolicy(app);
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
  });

  afterAll(async () => {
    await app.close();
    await ledger.follower.close();
  });

  const get = async (url: string, headers: Record<string, string> = {}, remoteAddress = '192.0.2.1') => {
    const answer = await app.inject({ method: 'GET', url, headers, remoteAddress });
    const body = answer.body.startsWith('{')
      ? (JSON.parse(answer.body) as Record<string, unknown>)
      : { text: answer.body };
    return { status: answer.statusCode, code: body['code'], body, headers: answer.headers };
  };
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  it('lets everybody through an open route, and nobody without a credential through another', async () => {
    expect(await get('/open')).toMatchObject({ status: 200, body: { text: 'open' } });
    expect(await get('/whoami')).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
    expect(await get('/whoami?api_key=alice')).toMatchObject({ status: 401 });
  });

  it('takes a key as Bearer or as X-API-Key and tells the handler who calls', async () => {
    const alice = { type: 'user', id: 'alice', via: 'key:key_alice' };
    expect(await get('/whoami', bearer('alice'))).toMatchObject({ status: 200, body: alice });
    expect(await get('/whoami', { 'x-api-key': 'alice' })).toMatchObject({ status: 200, body: alice });
    expect(await get('/projects/GOV1', bearer('alice'))).toMatchObject({
      status: 200,
      body: { projectId: 'GOV1', visible: [{ kind: 'project', projectId: 'GOV1' }] },
    });
  });

  it('answers 403 inside the own tenant and 404 outside, as for what does not exist', async () => {
    expect(await get('/keys/key_alice', bearer('alice'))).toMatchObject({ status: 200 });
    expect(await get('/keys/key_bob', bearer('alice'))).toMatchObject({ status: 403, code: 'FORBIDDEN' });
    const elsewhere = await get('/keys/key_dave', bearer('alice'));
    const nowhere = await get('/keys/key_nobody', bearer('alice'));
    expect(elsewhere).toMatchObject({ status: 404, code: 'NOT_FOUND' });
    expect({ ...elsewhere.body, requestId: '' }).toEqual({ ...nowhere.body, requestId: '' });
    expect(await get('/projects/X1', bearer('alice'))).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  });

  it('knows at once a member whom another process has added', async () => {
    expect(await get('/whoami', bearer('carol'), '192.0.2.2')).toMatchObject({ status: 401 });
    await ledger.append('project-GOV1', 'acme', {
      type: 'MemberAdded',
      data: { userId: 'carol', role: 'tenant_user' },
    });
    expect(await get('/whoami', bearer('carol'), '192.0.2.2')).toMatchObject({ status: 200, body: { id: 'carol' } });
  });

  it('refuses what another process has removed, to a request that bears the position of it', async () => {
    const bob = { userId: 'bob', disposition: 'block', to: null } as const;
    await ledger.append('project-GOV1', 'acme', { type: 'MemberRemoved', data: bob });
    const position = await ledger.store.head();
    const headers = { ...bearer('bob'), 'steward-position': position };
    expect(await get('/whoami', headers, '192.0.2.3')).toMatchObject({ status: 401 });
    expect(await get('/whoami?minPosition=sometime', bearer('alice'))).toMatchObject({
      status: 400,
      code: 'POSITION_UNKNOWN',
    });
  });

  it('slows down an address that keeps failing, and only its failures', async () => {
    const from = '192.0.2.4';
    for (let n = 0; n < 5; n += 1)
      expect(await get('/whoami', bearer('guess'), from)).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
    const throttled = await get('/whoami', bearer('guess'), from);
    expect(throttled).toMatchObject({ status: 429, code: 'TOO_MANY_REQUESTS' });
    expect(Number(throttled.headers['retry-after'])).toBeGreaterThan(0);
    expect(await get('/whoami', bearer('alice'), from)).toMatchObject({ status: 200 });
    expect(await get('/whoami', {}, from)).toMatchObject({ status: 401 });
  });
});
