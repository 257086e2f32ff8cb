import type { KeyAttributes } from '#libs/contracts';
import { Access, type Principal, type VisibleScope } from '#libs/platform';
import { sampleEvents } from '#libs/testing';
import { type KeyFilter, matchingKeyIds, readKeyPage } from './key-list.js';
import { keySorts, type KeySort } from './keys.dto.js';
import { type KeyLedger, startKeyLedger } from './testing/key-ledger.js';
import type { CountedKey } from './usage/usage-tally.js';

const KEYS = 40;
const T0 = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const day = (n: number): string => new Date(T0 + n * DAY_MS).toISOString();
const AT = day(100);

const aUse = (keyId: string, version: number): CountedKey => ({
  keyId,
  key: { place: { tenantId: 'acme', projectId: 'P1' } },
  secret: { version },
});
let ledger: KeyLedger;

const everything: VisibleScope = { kind: 'all' };
const principal: Principal = { type: 'user', id: 'root', via: 'oidc:x', tenantId: null, grants: [], key: null };
const seeing = (...visible: VisibleScope[]): Access => Access.grantedByGuard(principal, visible);

const attributes = sampleEvents.find(({ event }) => event.type === 'KeyCreated')?.event.data as KeyAttributes;

interface Made {
  readonly keyId: string;
  readonly projectId: string;
  readonly tenantId: string;
  readonly ownerId: string;
  readonly name: string | null;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly notBefore: string | null;
  readonly scopes: string[] | null;
  readonly labels: Record<string, string>;
  readonly status: string;
  readonly lastUsedAt: string | null;
}

/** Forty keys whose every value follows from their number, with ties in each. */
function made(n: number): Made {
  const status = ['active', 'disabled', 'revoked', 'expired', 'scheduled'][n % 5] ?? '';
  const never = n % 7 === 0 && status !== 'expired';
  return {
    keyId: `key_${String(n).padStart(16, '0')}`,
    tenantId: n % 8 === 0 ? 'other' : 'acme',
    projectId: n % 8 === 0 ? 'X1' : `P${n % 3}`,
    ownerId: `user${n % 4}`,
    name: n % 6 === 0 ? null : `Batch ${n % 10} ${n % 2 === 0 ? 'Ünïcode' : 'plain'}`,
    createdAt: day(n % 9),
    expiresAt: never ? null : day(status === 'expired' ? 50 + (n % 3) : 200 + (n % 5)),
    notBefore: status === 'scheduled' ? day(150) : null,
    scopes: n % 4 === 0 ? null : n % 4 === 1 ? ['storage:read'] : ['compute:*', 'storage:read'],
    labels: n % 3 === 0 ? { team: 'ingest' } : n % 3 === 1 ? { team: 'web', tier: '1' } : {},
    status,
    lastUsedAt: n % 3 === 0 ? day(10 + (n % 4)) : null,
  };
}

const all = Array.from({ length: KEYS }, (_, n) => made(n));

beforeAll(async () => {
  ledger = await startKeyLedger();
  for (const key of [...all].sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1))) {
    const { keyId, tenantId, projectId, ownerId, name, expiresAt, notBefore, scopes, labels, status, lastUsedAt } = key;
    const stream = `key-${keyId.slice('key_'.length)}`;
    const owner = { type: 'user' as const, id: ownerId, role: 'tenant_user' as const };
    const data = { ...attributes, keyId, owner, name, expiresAt, notBefore, scopes, labels };
    ledger.clock.set(key.createdAt);
    const events: { type: string; data: object }[] = [{ type: 'KeyCreated', data: { ...data, secret: firstSecret } }];
    if (status === 'disabled') events.push({ type: 'KeyDisabled', data: {} });
    if (status === 'revoked') events.push({ type: 'KeyRevoked', data: { reason: 'unused' } });
    await ledger.write(stream, { tenantId, projectId }, events);
    if (lastUsedAt !== null) ledger.usage.used(aUse(keyId, 1), Date.parse(lastUsedAt));
  }
  await ledger.usage.flush();
  await ledger.settled();
});
afterAll(() => ledger.stop());

const firstSecret = { version: 1, pepperVersion: '1', madeBy: 'steward' };

async function list(
  filter: KeyFilter,
  sort: KeySort = 'createdAt',
  access = seeing(everything),
  limit = 7,
): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page <= KEYS; page += 1) {
    const answer = await readKeyPage(ledger.pool, { access, filter, sort, limit, cursor, at: AT });
    ids.push(...answer.data.map(({ id }) => id));
    if (answer.page.nextCursor === null) return ids;
    cursor = answer.page.nextCursor;
  }
  throw new Error('The pages do not end.');
}

const expected = (matches: (key: Made) => boolean): string[] =>
  all
    .filter(matches)
    .map(({ keyId }) => keyId)
    .sort();

const filters: [string, KeyFilter, (key: Made) => boolean][] = [
  ['nothing', {}, () => true],
  ['a project', { projectId: 'P1' }, (key) => key.projectId === 'P1'],
  ['an owner', { ownerId: 'user2' }, (key) => key.ownerId === 'user2'],
  ...['scheduled', 'active', 'expired', 'disabled', 'revoked'].map(
    (status): [string, KeyFilter, (key: Made) => boolean] => [
      status,
      { status: [status] },
      (key) => key.status === status,
    ],
  ),
  ['two states', { status: ['active', 'expired'] }, (key) => ['active', 'expired'].includes(key.status)],
  ['a label', { label: ['team=web', 'tier=1'] }, (key) => key.labels['tier'] === '1'],
  ['any value of a label', { label: ['team'] }, (key) => 'team' in key.labels],
  ['a label of another value', { label: ['team=none'] }, () => false],
  ['a scope', { scope: 'compute:*' }, (key) => key.scopes?.includes('compute:*') === true],
  ['what expires before', { expiresBefore: day(51) }, (key) => key.expiresAt !== null && key.expiresAt < day(51)],
  ['what expires after', { expiresAfter: day(202) }, (key) => key.expiresAt !== null && key.expiresAt > day(202)],
  ['what was used before', { lastUsedBefore: day(12) }, (key) => key.lastUsedAt !== null && key.lastUsedAt < day(12)],
  ['what was never used', { neverUsed: true }, (key) => key.lastUsedAt === null],
  ['what was used', { neverUsed: false }, (key) => key.lastUsedAt !== null],
  ['a part of the name in any case', { q: 'ÜNÏ' }, (key) => key.name?.includes('Ünï') === true],
  ['the start of the ID', { q: '000000000000003' }, (key) => key.keyId.startsWith('key_000000000000003')],
  ['the start of the whole ID', { q: 'key_000000000000001' }, (key) => key.keyId.startsWith('key_000000000000001')],
  ['a pattern that is none', { q: '%' }, () => false],
  ['what contradicts itself', { neverUsed: true, lastUsedBefore: day(90) }, () => false],
  [
    'several things at once',
    { projectId: 'P2', status: ['active'], neverUsed: false },
    (key) => key.projectId === 'P2' && key.status === 'active' && key.lastUsedAt !== null,
  ],
];

describe('a list of keys', () => {
  it.each(filters)('filters by %s, over all its pages', async (_name, filter, matches) => {
    for (const sort of ['createdAt', '-lastUsedAt'] as const) {
      const ids = await list(filter, sort);
      expect([...ids].sort()).toEqual(expected(matches));
      expect(new Set(ids).size).toBe(ids.length);
    }
    expect((await matchingKeyIds(ledger.pool, { access: seeing(everything), filter, at: AT }, 1000)).sort()).toEqual(
      expected(matches),
    );
  });

  it.each(keySorts)('sorts by %s with ties in the order of the IDs', async (sort) => {
    const valueOf = (key: Made): string => {
      if (sort.endsWith('createdAt')) return key.createdAt;
      if (sort.endsWith('expiresAt')) return key.expiresAt ?? '~';
      if (sort.endsWith('lastUsedAt')) return key.lastUsedAt ?? '';
      return key.name ?? '';
    };
    const sign = sort.startsWith('-') ? -1 : 1;
    const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');
    const sorted = [...all].sort(
      (a, b) => sign * (Buffer.compare(bytes(valueOf(a)), bytes(valueOf(b))) || (a.keyId < b.keyId ? -1 : 1)),
    );
    expect(await list({}, sort)).toEqual(sorted.map(({ keyId }) => keyId));
  });

  it.each<[string, VisibleScope[], (key: Made) => boolean]>([
    ['nothing without a rule', [], () => false],
    ['its tenant', [{ kind: 'tenant', tenantId: 'other' }], (key) => key.tenantId === 'other'],
    ['its project', [{ kind: 'project', projectId: 'P0' }], (key) => key.projectId === 'P0'],
    [
      'the own keys in one project and all of another',
      [
        { kind: 'own', projectId: 'P1', ownerType: 'user', ownerId: 'user1' },
        { kind: 'project', projectId: 'P2' },
      ],
      (key) => (key.projectId === 'P1' && key.ownerId === 'user1') || key.projectId === 'P2',
    ],
    [
      'no key of a service that has a user’s id',
      [{ kind: 'own', projectId: 'P1', ownerType: 'service', ownerId: 'user1' }],
      () => false,
    ],
  ])('shows %s', async (_name, visible, matches) => {
    expect((await list({}, 'createdAt', seeing(...visible))).sort()).toEqual(expected(matches));
    expect(await list({ projectId: 'X1' }, 'createdAt', seeing({ kind: 'tenant', tenantId: 'acme' }))).toEqual([]);
  });

  it('refuses a cursor of another filter or sort', async () => {
    const request = { access: seeing(everything), filter: {}, sort: 'createdAt' as const, limit: 5, at: AT };
    const { page } = await readKeyPage(ledger.pool, request);
    const cursor = page.nextCursor ?? '';
    for (const other of [{ filter: { projectId: 'P1' } }, { sort: 'name' as const }])
      await expect(readKeyPage(ledger.pool, { ...request, ...other, cursor })).rejects.toMatchObject({
        code: 'CURSOR_INVALID',
      });
  });

  it('counts on request', async () => {
    const request = { access: seeing(everything), filter: {}, sort: 'createdAt' as const, limit: 5, at: AT };
    const { page } = await readKeyPage(ledger.pool, { ...request, count: true });
    expect(page).toMatchObject({ total: KEYS, totalIsCapped: false });
  });

  it('shows when the key and each secret were last used, and the status of the moment', async () => {
    const { data } = await readKeyPage(ledger.pool, {
      access: seeing(everything),
      filter: { q: all[3]?.keyId ?? '' },
      sort: 'name',
      limit: 1,
      at: AT,
    });
    expect(data[0]).toMatchObject({
      id: all[3]?.keyId,
      masked: 'stw_live_0000…',
      status: 'expired',
      lastUsedAt: all[3]?.lastUsedAt,
      secretVersions: [{ version: 1, lastUsedAt: all[3]?.lastUsedAt, retiresAt: null }],
      version: 1,
    });
  });
});

describe('the last use', () => {
  it('is written once a minute and only ever moves forward', async () => {
    const keyId = all[1]?.keyId ?? '';
    const read = async (): Promise<unknown> => {
      await ledger.usage.flush();
      return (await ledger.lastUses.of([keyId])).get(keyId);
    };
    const at = Date.parse(day(60));
    ledger.usage.used(aUse(keyId, 1), at);
    expect(await read()).toEqual({ at: day(60), byVersion: { '1': day(60) } });
    ledger.usage.used(aUse(keyId, 1), at + 59_999);
    expect(await read()).toMatchObject({ at: day(60) });
    ledger.usage.used(aUse(keyId, 2), at + 30_000);
    const later = new Date(at + 30_000).toISOString();
    expect(await read()).toEqual({ at: later, byVersion: { '1': day(60), '2': later } });
    ledger.usage.used(aUse(keyId, 1), at + 60_000);
    expect(await read()).toMatchObject({ at: new Date(at + 60_000).toISOString() });
  });
});
