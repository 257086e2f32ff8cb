import type { KeyAttributes, StewardEvent } from '#libs/contracts';
import type { Actor, ActorPart, StreamScope } from '#libs/eventsourcing';

/** One event with all that surrounds it, for golden files and for projections that must see every type. */
export interface SampleEvent {
  readonly stream: string;
  readonly scope: StreamScope;
  readonly actor: Actor;
  readonly actorPart: ActorPart | null;
  readonly event: StewardEvent;
}

const admin: Actor = { type: 'service', id: 'bootstrap-admin', via: 'key:key_0000000000000001' };
const alice: Actor = { type: 'user', id: 'alice', via: 'key:key_0000000000000002' };
const clock: Actor = { type: 'system', id: 'expiry', via: 'internal' };
const alicePart: ActorPart = { ip: '192.0.2.7', userAgent: 'curl/8.1', comment: 'for the night batch' };

const platform: StreamScope = { tenantId: null, projectId: null };
const tenant: StreamScope = { tenantId: 'acme', projectId: null };
const project: StreamScope = { tenantId: 'acme', projectId: 'GOV112345' };

const attributes: KeyAttributes = {
  keyId: 'key_9DC9pg4cMivLPKBD',
  owner: { type: 'user', id: 'alice', role: 'tenant_user' },
  name: 'night batch ☕',
  description: null,
  labels: { '10': 'ten', '9': 'nine', team: 'ingest' },
  metadata: { '2': [1, 2.5, -0.125, 1e21], '1': null, nested: { b: true, a: 'é' } },
  environment: 'live',
  scopes: ['compute:read', 'compute:write'],
  audiences: ['container-compute'],
  ipAllow: ['192.0.2.0/24', '2001:db8::/32'],
  ipDeny: [],
  notBefore: null,
  expiresAt: '2026-12-31T00:00:00.000Z',
  canManageKeys: false,
};
const verifier = { verifier: { hmac: 'ab'.repeat(32) } };
const key = 'key-9DC9pg4cMivLPKBD';
const imported = 'key-0importedImport0';

const quota = 'projectQuota-GOV112345';
const gpu = { service: 'container-compute', resource: 'gpu' };
const reservation = '01980000-0000-7000-8000-000000000001';
const otherReservation = '01980000-0000-7000-8000-000000000002';
const givenUp = '01980000-0000-7000-8000-000000000003';
const leftOpen = '01980000-0000-7000-8000-000000000004';
const reported = '01980000-0000-7000-8000-000000000005';

const by =
  (actor: Actor, stream: string, scope: StreamScope) =>
  (event: StewardEvent): SampleEvent => ({
    stream,
    scope,
    actor,
    actorPart: actor.type === 'user' ? alicePart : null,
    event,
  });

/** Every event type at least once, in an order in which they could have happened. */
export const sampleEvents: readonly SampleEvent[] = [
  ...[
    { type: 'PrincipalRegistered' as const, data: { type: 'service' as const, role: 'service' as const } },
    { type: 'PrincipalRoleChanged' as const, data: { from: 'service' as const, to: 'auditor' as const } },
    { type: 'PrincipalRemoved' as const, data: {} },
  ].map(by(admin, 'principal-batch-runner', platform)),
  ...[
    { type: 'TenantCreated' as const, data: { name: 'Acme' } },
    { type: 'KeyPolicySet' as const, data: { policy: { maxLifetimeDays: 365, warnDays: [30, 7, 1] } } },
    { type: 'KeyPolicyRemoved' as const, data: {} },
    { type: 'TenantSuspended' as const, data: {} },
    { type: 'TenantResumed' as const, data: {} },
  ].map(by(admin, 'tenant-acme', tenant)),
  ...[
    { type: 'ProjectCreated' as const, data: { name: 'Weather' } },
    {
      type: 'MemberAdded' as const,
      data: { userId: 'alice', role: 'tenant_user' as const },
      private: { person: { displayName: 'Alice', email: 'alice@example.org' } },
    },
    { type: 'MemberAdded' as const, data: { userId: 'bob', role: 'tenant_user' as const } },
    {
      type: 'MemberRoleChanged' as const,
      data: { userId: 'bob', from: 'tenant_user' as const, to: 'tenant_admin' as const },
    },
    {
      type: 'MemberProfileChanged' as const,
      data: { userId: 'bob' },
      private: { person: { displayName: 'Bob', email: null } },
    },
    { type: 'ServiceAccessGranted' as const, data: { userId: 'alice', service: 'container-compute' } },
    { type: 'ServiceAccessRevoked' as const, data: { userId: 'alice', service: 'container-compute' } },
    { type: 'MemberSuspended' as const, data: { userId: 'bob' } },
    { type: 'MemberResumed' as const, data: { userId: 'bob' } },
    { type: 'MemberRemoved' as const, data: { userId: 'bob', disposition: 'transfer' as const, to: 'alice' } },
  ].map(by(alice, 'project-GOV112345', project)),
  ...[
    {
      type: 'KeyCreated' as const,
      data: { ...attributes, secret: { version: 1 as const, pepperVersion: '1', madeBy: 'steward' as const } },
      private: verifier,
    },
    {
      type: 'KeyUpdated' as const,
      data: { changes: [{ field: 'name' as const, from: 'night batch ☕', to: 'day batch' }] },
    },
    {
      type: 'KeyExtended' as const,
      data: { from: '2026-12-31T00:00:00.000Z', to: '2027-01-30T00:00:00.000Z', days: 30 },
    },
    {
      type: 'KeyRotated' as const,
      data: {
        version: 2,
        pepperVersion: '1',
        madeBy: 'steward' as const,
        previousVersion: 1,
        previousRetiresAt: '2026-01-02T00:00:00.000Z',
      },
      private: verifier,
    },
    { type: 'KeySecretRetired' as const, data: { version: 1 } },
    { type: 'KeyDisabled' as const, data: {} },
    { type: 'KeyEnabled' as const, data: {} },
    {
      type: 'KeyOwnershipTransferred' as const,
      data: { from: attributes.owner, to: { type: 'project' as const, id: 'GOV112345', role: 'tenant_user' as const } },
    },
  ].map(by(alice, key, project)),
  ...[
    { type: 'KeyVerifierUpgraded' as const, data: { version: 2, from: '1', to: '2' }, private: verifier },
    { type: 'KeyExpiryWarned' as const, data: { thresholdDays: 7, expiresAt: '2027-01-30T00:00:00.000Z' } },
    { type: 'KeyExpired' as const, data: { expiresAt: '2027-01-30T00:00:00.000Z' } },
  ].map(by(clock, key, project)),
  by(alice, key, project)({ type: 'KeyRevoked', data: { reason: 'compromised' } }),
  by(
    admin,
    imported,
    project,
  )({
    type: 'KeyImported',
    data: {
      ...attributes,
      keyId: 'key_0importedImport0',
      name: null,
      scopes: null,
      expiresAt: null,
      secret: { version: 1, pepperVersion: '1', madeBy: 'client' },
    },
    private: verifier,
  }),
  by(
    alice,
    imported,
    project,
  )({ type: 'KeyDeleted', data: { dataKeys: ['key:key_0importedImport0#0123456789abcdef'] } }),
  ...[
    { type: 'ProjectCreated' as const, data: { name: 'Closed at last' } },
    { type: 'ProjectClosed' as const, data: {} },
  ].map(by(admin, 'project-GOV000001', { tenantId: 'acme', projectId: 'GOV000001' })),
  by(
    admin,
    'subject-bob',
    platform,
  )({ type: 'SubjectErased', data: { subjectId: 'bob', dataKeys: ['user:bob#0123456789abcdef'] } }),
  ...[
    {
      type: 'CatalogueResourceSet' as const,
      data: {
        service: 'container-compute',
        resource: 'gpu',
        unit: 'milliGpu',
        kind: 'allocation' as const,
        defaultProjectLimit: 'unlimited' as const,
        defaultMemberLimit: 2000,
      },
    },
  ].map(by(admin, 'quotaCatalogue-platform', platform)),
  ...[
    { type: 'ProjectQuotaOpened' as const, data: { catalogueRevision: 1, overcommit: 'shared' as const } },
    {
      type: 'QuotaSet' as const,
      data: {
        scope: { type: 'project' as const, userId: null },
        ...gpu,
        unit: 'milliGpu',
        limit: 'unlimited' as const,
        soft: null,
        previous: null,
        effective: 'unlimited' as const,
        belowUsage: false,
        forced: false,
        requestId: null,
      },
    },
    {
      type: 'QuotaSet' as const,
      data: {
        scope: { type: 'member' as const, userId: 'alice' },
        ...gpu,
        unit: 'milliGpu',
        limit: 4000,
        soft: 3500,
        previous: null,
        effective: 4000,
        belowUsage: false,
        forced: false,
        requestId: null,
      },
    },
    {
      type: 'QuotaSet' as const,
      data: {
        scope: { type: 'memberDefault' as const, userId: null },
        ...gpu,
        unit: 'milliGpu',
        limit: 1000,
        soft: null,
        previous: null,
        effective: 1000,
        belowUsage: false,
        forced: true,
        requestId: null,
      },
    },
    {
      type: 'QuotaReserved' as const,
      data: {
        reservationId: reservation,
        userId: 'alice',
        items: [{ ...gpu, amount: 3000 }],
        ttlSeconds: 900,
        expiresAt: '2026-01-01T00:15:00.000Z',
        mode: 'ENFORCE' as const,
        resourceRef: null,
        labels: { job: 'night-1' },
        bodyHash: 'ef'.repeat(32),
      },
    },
    {
      type: 'ReservationExtended' as const,
      data: { reservationId: reservation, userId: 'alice', expiresAt: '2026-01-01T00:30:00.000Z' },
    },
    {
      type: 'ReservationCommitted' as const,
      data: {
        reservationId: reservation,
        userId: 'alice',
        items: [{ ...gpu, amount: 2500 }],
        returned: [{ ...gpu, amount: 500 }],
        resourceRef: 'pod/night-1',
        late: false,
      },
    },
    {
      type: 'AllocationResized' as const,
      data: {
        allocationId: reservation,
        userId: 'alice',
        before: [{ ...gpu, amount: 2500 }],
        after: [{ ...gpu, amount: 250 }],
      },
    },
    {
      type: 'AllocationReleased' as const,
      data: { allocationId: reservation, userId: 'alice', items: [{ ...gpu, amount: 250 }] },
    },
    {
      type: 'QuotaReserved' as const,
      data: {
        reservationId: givenUp,
        userId: 'bob',
        items: [{ ...gpu, amount: 100 }],
        ttlSeconds: 900,
        expiresAt: '2026-01-01T00:15:00.000Z',
        mode: 'ENFORCE' as const,
        resourceRef: null,
        labels: {},
        bodyHash: '23'.repeat(32),
      },
    },
    { type: 'ReservationReleased' as const, data: { reservationId: givenUp, userId: 'bob' } },
    {
      type: 'QuotaReserved' as const,
      data: {
        reservationId: leftOpen,
        userId: 'alice',
        items: [{ ...gpu, amount: 200 }],
        ttlSeconds: 3600,
        expiresAt: '2026-01-01T01:00:00.000Z',
        mode: 'ENFORCE' as const,
        resourceRef: 'pod/night-2',
        labels: {},
        bodyHash: '45'.repeat(32),
      },
    },
    {
      type: 'AllocationRecorded' as const,
      data: {
        allocationId: reported,
        userId: 'alice',
        items: [{ ...gpu, amount: 1000 }],
        mode: 'ENFORCE' as const,
        resourceRef: 'vm/9',
        bodyHash: '67'.repeat(32),
      },
    },
    {
      type: 'AllocationRecorded' as const,
      data: {
        allocationId: otherReservation,
        userId: 'bob',
        items: [{ ...gpu, amount: 5000 }],
        mode: 'FORCE' as const,
        resourceRef: 'vm/7',
        bodyHash: '01'.repeat(32),
      },
    },
    {
      type: 'OverQuotaEntered' as const,
      data: { scope: { type: 'member' as const, userId: 'bob' }, ...gpu, limit: 1000, used: 5000, reserved: 0 },
    },
    { type: 'QuotaMemberRemoved' as const, data: { userId: 'bob', disposition: 'transfer' as const, to: 'alice' } },
    {
      type: 'QuotaMemberUsageTransferred' as const,
      data: {
        from: 'bob',
        to: 'alice',
        part: 1,
        parts: 1,
        reservations: [],
        allocations: [otherReservation],
        totals: [{ ...gpu, amount: 5000 }],
      },
    },
    {
      type: 'OverQuotaCleared' as const,
      data: { scope: { type: 'member' as const, userId: 'bob' }, ...gpu, limit: 1000, used: 0, reserved: 0 },
    },
    { type: 'QuotaMemberClosed' as const, data: { userId: 'bob' } },
    {
      type: 'QuotaCleared' as const,
      data: {
        scope: { type: 'member' as const, userId: 'alice' },
        ...gpu,
        previous: 4000,
        effective: 1000,
        source: 'memberDefault' as const,
      },
    },
    { type: 'QuotaPolicySet' as const, data: { overcommit: 'partitioned' as const } },
    { type: 'ProjectQuotaFrozen' as const, data: { mode: 'hold' as const } },
    { type: 'ProjectQuotaUnfrozen' as const, data: {} },
  ].map(by(alice, quota, project)),
  by(
    clock,
    quota,
    project,
  )({
    type: 'ReservationExpired',
    data: { reservationId: leftOpen, userId: 'alice', expiresAt: '2026-01-01T01:00:00.000Z' },
  }),
  ...[
    {
      type: 'UsageReconciled' as const,
      data: {
        source: 'compute-eu',
        observedAt: '2026-01-01T00:00:00.000Z',
        sequence: 7,
        part: 1,
        parts: 1,
        adopted: [
          {
            resourceRef: 'vm/8',
            allocationId: '6e9d2f4e-0a5b-5c0e-9f57-0c3e5f1a2b3c',
            userId: 'alice',
            items: [{ service: 'virtual-compute', resource: 'floating_ip', amount: 1 }],
          },
        ],
        removed: [{ resourceRef: 'vm/7', allocationId: otherReservation, items: [{ ...gpu, amount: 5000 }] }],
        resized: [
          {
            resourceRef: 'vm/9',
            allocationId: reported,
            before: [{ ...gpu, amount: 1000 }],
            after: [{ ...gpu, amount: 2000 }],
          },
        ],
        ignoredNewer: ['vm/10'],
      },
    },
    { type: 'ProjectQuotaClosed' as const, data: {} },
  ].map(by(admin, quota, project)),
];
