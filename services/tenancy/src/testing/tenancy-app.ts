import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Global, Injectable, Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type pg from 'pg';
import type { KeyOwner } from '#libs/contracts';
import { Refusal } from '#libs/eventsourcing';
import {
  AccessIndex,
  assertEveryRouteHasPolicy,
  type Authentication,
  AuthModule,
  BootstrapKeys,
  createHttpApplication,
  createLogger,
  CredentialVerifier,
  KeyDirectory,
  loadConfig,
  type MemberRemoval,
  MemberUsage,
  openStorage,
  type Storage,
  StorageModule,
  TransportModule,
} from '#libs/platform';
import { createScratchLedger, startExternalPostgres } from '#libs/testing';
import { AdminBootstrap, TenancyModule } from '../tenancy.module.js';

/** Tenancy alone behind its real routes and guard, on a real PostgreSQL; only the keys of its callers are made up here. */
export interface TenancyApp {
  readonly app: NestFastifyApplication;
  readonly storage: Storage;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  readonly usage: UsageByName;
  /** Until the lists show everything that stands in the store. */
  caughtUp(): Promise<void>;
  stop(): Promise<void>;
}

export interface CallOptions {
  /** Whose key the caller shows, `<type>:<id>` or `<type>:<id>@<projectId>`; the bootstrap admin's unless told. */
  readonly as?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: AnswerBody;
}

/** What a test reads of an answer; the rest it compares. */
export interface AnswerBody {
  readonly position?: string;
  readonly data: readonly { readonly id?: string; readonly userId?: string }[];
  readonly page: { readonly nextCursor: string | null; readonly hasMore: boolean };
  readonly [field: string]: unknown;
}

/** The token says whose it is, for the keys service is not here. */
@Injectable()
class NamedCallers extends CredentialVerifier {
  constructor(private readonly access: AccessIndex) {
    super();
  }

  authenticate(token: string): Authentication {
    const [, type, id = '', projectId = null] = /^(user|service|project):([^@]+)(?:@(.+))?$/.exec(token) ?? [];
    if (type === undefined) return { ok: false, code: 'NOT_FOUND' };
    const facts = projectId === null ? this.access.principal(id) : this.access.project(projectId);
    return {
      ok: true,
      keyId: 'key_0000000000000001',
      owner: { type: type as KeyOwner['type'], id, role: 'tenant_user' },
      tenantId: facts?.tenantId ?? null,
      projectId,
      scopes: null,
      canManageKeys: true,
      expiresAt: null,
      ipAllow: [],
      ipDeny: [],
      audiences: [],
    };
  }
}

class NoKeys extends KeyDirectory {
  find(): undefined {
    return undefined;
  }
}

/** What the quotas would say; the quotas service is not here. */
@Injectable()
export class UsageByName extends MemberUsage {
  /** `<projectId>/<userId>` of whoever holds something. */
  readonly holders = new Set<string>();
  /** The same of whoever can take nothing over. */
  readonly full = new Set<string>();

  objectionTo(projectId: string, userId: string, { to }: MemberRemoval): Promise<Refusal | null> {
    if (!this.holders.has(`${projectId}/${userId}`)) return Promise.resolve(null);
    if (to === null) return Promise.resolve(new Refusal('MEMBER_HAS_USAGE', 'The member still holds something.'));
    const isFull = this.full.has(`${projectId}/${to}`);
    return Promise.resolve(isFull ? new Refusal('TARGET_OVER_QUOTA', 'That is too much for one.') : null);
  }
}

class TokensByName extends BootstrapKeys {
  issue(principalId: string): Promise<string> {
    return Promise.resolve(`token of ${principalId}`);
  }
}

@Global()
@Module({
  providers: [
    { provide: CredentialVerifier, useClass: NamedCallers },
    { provide: KeyDirectory, useClass: NoKeys },
    { provide: BootstrapKeys, useClass: TokensByName },
    { provide: MemberUsage, useClass: UsageByName },
  ],
  exports: [CredentialVerifier, KeyDirectory, BootstrapKeys, MemberUsage],
})
class CallersModule {}

const urlOf = ({ host, port, database, user, password }: pg.ClientConfig): string =>
  `postgres://${user}:${password as string}@${host}:${port}/${database}`;

const log = createLogger({ level: 'silent' }, { write: () => undefined });

/** The store holds the bootstrap admin and nothing else. */
export async function startTenancy(): Promise<TenancyApp> {
  const server = await startExternalPostgres();
  const scratch = await createScratchLedger(server.url);
  const dataDir = await mkdtemp(join(tmpdir(), 'steward-test-'));
  const config = loadConfig({
    STEWARD_DATA_DIR: dataDir,
    STEWARD_DATABASE_URL: urlOf(scratch.program),
    STEWARD_MIGRATION_DATABASE_URL: urlOf(scratch.owner),
    STEWARD_AUTH_FAILURES_PER_MINUTE: '1000',
  });
  const storage = await openStorage(config, log);

  @Module({
    imports: [StorageModule.of(storage, config, log), TransportModule, AuthModule, CallersModule, TenancyModule],
    providers: [AdminBootstrap],
  })
  class TenancyOnlyModule {}
  const app = await createHttpApplication(TenancyOnlyModule, { config, logger: log });
  assertEveryRouteHasPolicy(app);
  await storage.start();
  await app.get(AdminBootstrap).ensureBootstrap(() => undefined);
  await app.getHttpAdapter().getInstance().ready();

  return {
    app,
    storage,
    usage: app.get(MemberUsage),
    call: async (method, path, { as = 'service:bootstrap-admin', body, headers = {} } = {}) => {
      const answer = await app.inject({
        method: method as 'GET',
        url: path,
        headers: {
          authorization: `Bearer ${as}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
      });
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: (answer.body === '' ? {} : JSON.parse(answer.body)) as AnswerBody,
      };
    },
    caughtUp: async () => {
      const reached = await storage.projections.reach('tenancy', await storage.store.head(), 10_000);
      if (!reached) throw new Error('The lists did not reach the head within 10 s.');
    },
    stop: async () => {
      await app.close();
      await scratch.drop();
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
