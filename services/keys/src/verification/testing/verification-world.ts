import {
  eventTypes,
  type KeyAttributes,
  type KeyEvent,
  type KeyPolicy,
  keyStream,
  type PlatformRole,
  type TenancyEvent,
  type VerifyCode,
} from '#libs/contracts';
import {
  Codec,
  type DomainEvent,
  FixedClock,
  IndexFollower,
  keyIdOfImport,
  MemoryDataKeys,
  MemoryEventStore,
  type StoredEvent,
  StoreUnavailable,
} from '#libs/eventsourcing';
import { AccessIndex, Metrics, PositionGate, type Principal, PrincipalResolver, RequestContexts } from '#libs/platform';
import { FilePeppers } from '#libs/postgres';
import { digestOf, newToken } from '../../key-secret.js';
import { KeyVerifier } from '../key-verifier.js';
import { VerificationIndex } from '../verification-index.js';
import { VerificationMetrics } from '../verification-metrics.js';
import type { VerifierUpgrade, VerifierUpgrades } from '../verifier-upgrades.js';
import { verifyAnswerJson } from '../verify-answer.js';
import { readVerifyRequest } from '../verify-request.js';

export const START = '2026-01-01T00:00:00.000Z';
export const DAY_MS = 86_400_000;

/** A store that can be away. */
class Store extends MemoryEventStore {
  down = false;

  override head(): Promise<string> {
    return this.down ? Promise.reject(new StoreUnavailable('unreachable')) : super.head();
  }
}

/** Peppers that count what they are asked for. */
export class CountingPeppers extends FilePeppers {
  hashes = 0;

  override hmac(version: string, digest: Buffer): Buffer | undefined {
    this.hashes += 1;
    return super.hmac(version, digest);
  }
}

export interface MadeKey {
  readonly keyId: string;
  readonly token: string;
}

export type Answer = Record<string, unknown> & { valid: boolean; code: string };

const noKey: KeyAttributes = {
  keyId: '',
  owner: { type: 'user', id: 'alice', role: 'tenant_user' },
  name: null,
  description: null,
  labels: {},
  metadata: {},
  environment: 'live',
  scopes: null,
  audiences: [],
  ipAllow: [],
  ipDeny: [],
  notBefore: null,
  expiresAt: null,
  canManageKeys: false,
};

/**
 * Verification over a store in memory that other processes write to: what they write is known here only once the
 * follower has brought it. Tenant `acme` has the project `GOV1` with the users `alice` and `bob`.
 */
export class VerificationWorld {
  readonly clock = new FixedClock(Date.parse(START));
  readonly store = new Store(this.clock);
  readonly access = new AccessIndex();
  readonly dataKeys = new MemoryDataKeys();
  readonly missingVerifiers: string[] = [];
  readonly index = new VerificationIndex((keyId) => this.missingVerifiers.push(keyId));
  readonly peppers: CountingPeppers;
  readonly follower: IndexFollower;
  readonly resolver = new PrincipalResolver(this.access, { oidcIssuers: [] });
  readonly uses: [string, number, number][] = [];
  readonly decisions: [string | null, VerifyCode, string][] = [];
  readonly upgrades: VerifierUpgrade[] = [];
  readonly verifier: KeyVerifier;
  readonly contexts: RequestContexts;
  readonly metrics = new Metrics();
  readonly installationKey = Buffer.alloc(32, 7);
  readonly config = { verifyStalenessMaxMs: 30_000, authFailuresPerMinute: 20 };
  /** Added to the monotonic time of the follower. */
  leapMs = 0;
  private readonly codec = new Codec(eventTypes, this.dataKeys);
  private commands = 0;
  private keys = 0;

  private constructor(pepperCurrent: string) {
    this.peppers = new CountingPeppers(
      pepperCurrent,
      new Map([
        ['1', Buffer.alloc(32, 1)],
        ['2', Buffer.alloc(32, 2)],
      ]),
    );
    this.follower = new IndexFollower({
      store: this.store,
      codec: this.codec,
      indexes: [this.access, this.index],
      monotonicMs: () => performance.now() + this.leapMs,
    });
    const { store } = this;
    const gate: PositionGate = {
      isPosition: (text) => store.isPosition(text),
      checkPosition: async (position) => {
        if (position > (await store.head())) throw new Error('Beyond the head.');
      },
    };
    this.contexts = new RequestContexts(this.installationKey, gate);
    const upgrades: VerifierUpgrades = { offer: (upgrade) => this.upgrades.push(upgrade) };
    this.verifier = new KeyVerifier(
      this.index,
      this.access,
      this.resolver,
      this.contexts,
      this.follower,
      {
        decided: (about, code, service, atMs) => {
          this.decisions.push([about?.keyId ?? null, code, service]);
          if (code === 'VALID' && about !== undefined) this.uses.push([about.keyId, about.secret.version, atMs]);
        },
        used: ({ keyId, secret }, atMs) => this.uses.push([keyId, secret.version, atMs]),
      },
      new VerificationMetrics(this.metrics),
      this.peppers,
      this.installationKey,
      this.clock,
      this.config,
      upgrades,
    );
  }

  static async start({ pepper = '1' }: { pepper?: string } = {}): Promise<VerificationWorld> {
    const world = new VerificationWorld(pepper);
    await world.tenancy('tenant-acme', 'acme', null, { type: 'TenantCreated', data: { name: 'Acme' } });
    await world.tenancy('project-GOV1', 'acme', 'GOV1', { type: 'ProjectCreated', data: { name: 'Rain' } });
    for (const userId of ['alice', 'bob'])
      await world.tenancy('project-GOV1', 'acme', 'GOV1', {
        type: 'MemberAdded',
        data: { userId, role: 'tenant_user' },
      });
    await world.tenancy('tenant-umbra', 'umbra', null, { type: 'TenantCreated', data: { name: 'Umbra' } });
    await world.principal('gateway', 'service', null);
    for (const tenantId of ['acme', 'umbra']) await world.principal(`gateway-of-${tenantId}`, 'service', tenantId);
    world.follower.start();
    await world.follower.ready;
    return world;
  }

  async close(): Promise<void> {
    await this.follower.close();
  }

  /** The platform's gateway, which may verify every key. */
  get gateway(): Principal {
    return this.serviceOf(null);
  }

  /** A caller that is a service of the tenant, or of the platform. */
  serviceOf(tenantId: string | null): Principal {
    const grants = [{ role: 'service', tenantId, projectId: null }] as const;
    const key = { keyId: 'key_callersOwnKey001', scopes: null, canManageKeys: false, expiresAt: null };
    return {
      type: 'service',
      id: tenantId === null ? 'gateway' : `gateway-of-${tenantId}`,
      via: `key:${key.keyId}`,
      tenantId,
      grants,
      key: { ...key, ipAllow: [], ipDeny: [], audiences: [] },
    };
  }

  async principal(id: string, role: PlatformRole, tenantId: string | null): Promise<void> {
    const data = { type: role === 'service' ? ('service' as const) : ('user' as const), role };
    await this.tenancy(`principal-${id}`, tenantId, null, { type: 'PrincipalRegistered', data });
  }

  /** As another process does it: here it is known once it was followed. */
  async elsewhere(
    stream: string,
    tenantId: string | null,
    projectId: string | null,
    ...events: DomainEvent[]
  ): Promise<readonly StoredEvent[]> {
    const history = await this.store.readStream(stream);
    this.commands += 1;
    const commandId = `00000000-0000-4000-8000-${String(this.commands).padStart(12, '0')}`;
    const prepared = await this.codec.encode({
      stream,
      tenantId,
      projectId,
      lastRevision: history.length,
      lastChainHash: history.at(-1)?.chainHash ?? null,
      recordedAt: this.clock.now(),
      context: {
        commandId,
        correlationId: commandId,
        causationId: null,
        requestHash: null,
        actor: { type: 'system', id: 'test', via: 'internal' },
        actorPart: null,
      },
      events,
    });
    const { events: stored } = await this.store.append({ stream, expectedRevision: history.length, events: prepared });
    return stored;
  }

  async tenancy(
    stream: string,
    tenantId: string | null,
    projectId: string | null,
    ...events: TenancyEvent[]
  ): Promise<void> {
    await this.follower.applyAppended(await this.elsewhere(stream, tenantId, projectId, ...events));
  }

  tenantEvent(...events: TenancyEvent[]): Promise<void> {
    return this.tenancy('tenant-acme', 'acme', null, ...events);
  }

  projectEvent(...events: TenancyEvent[]): Promise<void> {
    return this.tenancy('project-GOV1', 'acme', 'GOV1', ...events);
  }

  projectPolicy(policy: KeyPolicy): Promise<void> {
    return this.projectEvent({ type: 'KeyPolicySet', data: { policy } });
  }

  /** As this process does it: known here at once. */
  async change(keyId: string, ...events: KeyEvent[]): Promise<void> {
    await this.follower.applyAppended(await this.elsewhere(keyStream(keyId), 'acme', 'GOV1', ...events));
  }

  changeElsewhere(keyId: string, ...events: KeyEvent[]): Promise<readonly StoredEvent[]> {
    return this.elsewhere(keyStream(keyId), 'acme', 'GOV1', ...events);
  }

  verifierOf(token: string, pepper = '1'): { verifier: { hmac: string } } {
    const hmac = new FilePeppers('1', new Map([[pepper, Buffer.alloc(32, Number(pepper))]])).hmac(
      pepper,
      digestOf(token),
    );
    return { verifier: { hmac: hmac?.toString('hex') ?? '' } };
  }

  async key(changes: Partial<KeyAttributes> = {}, { elsewhere = false, pepper = '1' } = {}): Promise<MadeKey> {
    this.keys += 1;
    const keyId = `key_${String(this.keys).padStart(16, '0')}`;
    const attributes = { ...noKey, keyId, ...changes };
    const token = newToken(attributes.environment, keyId);
    const event: KeyEvent = {
      type: 'KeyCreated',
      data: { ...attributes, secret: { version: 1, pepperVersion: pepper, madeBy: 'steward' } },
      private: this.verifierOf(token, pepper),
    };
    await (elsewhere ? this.changeElsewhere(keyId, event) : this.change(keyId, event));
    return { keyId, token };
  }

  async imported(token: string): Promise<string> {
    const keyId = keyIdOfImport(this.installationKey, digestOf(token));
    await this.change(keyId, {
      type: 'KeyImported',
      data: { ...noKey, keyId, secret: { version: 1, pepperVersion: '1', madeBy: 'client' } },
      private: this.verifierOf(token),
    });
    return keyId;
  }

  /** Rotates to a second secret and answers its token. */
  async rotate(keyId: string, retiresInMs: number, environment = 'live'): Promise<string> {
    const token = newToken(environment, keyId);
    await this.change(keyId, {
      type: 'KeyRotated',
      data: {
        version: 2,
        pepperVersion: '1',
        madeBy: 'steward',
        previousVersion: 1,
        previousRetiresAt: new Date(this.clock.nowMs() + retiresInMs).toISOString(),
      },
      private: this.verifierOf(token),
    });
    return token;
  }

  async verify(token: string, ask: object = {}, caller: Principal = this.gateway): Promise<Answer> {
    const json = await this.verifier.verify(readVerifyRequest({ token, ...ask }), caller, verifyAnswerJson);
    return JSON.parse(json) as Answer;
  }
}
