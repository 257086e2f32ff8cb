import { categoryOf, type KeyEvent } from '#libs/contracts';
import { sampleEvents } from '#libs/testing';
import { evolve, type KeyState } from '../domain/key-state.js';
import { type KeyLedger, startKeyLedger } from '../testing/key-ledger.js';

let ledger: KeyLedger;

beforeAll(async () => {
  ledger = await startKeyLedger();
});
afterAll(() => ledger.stop());

const rowOf = async (table: string, keyId: string): Promise<Record<string, unknown> | undefined> => {
  const { rows } = await ledger.pool.query<Record<string, unknown>>(`select * from keys.${table} where key_id = $1`, [
    keyId,
  ]);
  return rows[0];
};

async function foldOf(stream: string): Promise<KeyState> {
  let state: KeyState = { kind: 'absent' };
  for (const stored of await ledger.store.readStream(stream)) {
    const event = ledger.codec.decode(stored);
    state = evolve(state, event as unknown as KeyEvent, event);
  }
  return state;
}

describe('the read models of keys', () => {
  it('agree with the fold of the stream after every event of every type', async () => {
    const seen = new Set<string>();
    for (const { stream, scope, event, actor } of sampleEvents) {
      await ledger.write(stream, scope, [event], actor);
      if (categoryOf(stream) !== 'key') continue;
      seen.add(event.type);
      await ledger.settled();
      const keyId = `key_${stream.slice('key-'.length)}`;
      const state = await foldOf(stream);
      const row = await rowOf('key_list', keyId);
      if (state.kind === 'deleted') {
        expect(row).toBeUndefined();
        expect(await rowOf('key_deadlines', keyId)).toBeUndefined();
        continue;
      }
      expect(row?.['state']).toEqual(JSON.parse(JSON.stringify(state)));
      expect(row).toMatchObject({ tenant_id: 'acme', project_id: 'GOV112345', revoked: state.kind === 'revoked' });
    }
    expect([...seen].sort()).toEqual([
      'KeyCreated',
      'KeyDeleted',
      'KeyDisabled',
      'KeyEnabled',
      'KeyExpired',
      'KeyExpiryWarned',
      'KeyExtended',
      'KeyImported',
      'KeyOwnershipTransferred',
      'KeyRevoked',
      'KeyRotated',
      'KeySecretRetired',
      'KeyUpdated',
      'KeyVerifierUpgraded',
    ]);
  });
});

describe('deadlines', () => {
  const T0 = '2027-01-01T00:00:00.000Z';
  const day = (n: number): string => new Date(Date.parse(T0) + n * 86_400_000).toISOString();
  const keyId = 'key_deadline00000001';
  const stream = 'key-deadline00000001';
  const scope = { tenantId: 'acme', projectId: 'GOV777777' };
  const created = sampleEvents.find(({ event }) => event.type === 'KeyCreated')?.event.data as object;
  const nextWarning = async (): Promise<string | null> => {
    await ledger.settled();
    const next = (await rowOf('key_deadlines', keyId))?.['next_warning_at'] as Date | null;
    return next?.toISOString() ?? null;
  };
  const policy = (streamOfPolicy: string, warnDays: number[] | undefined): Promise<void> =>
    ledger.write(streamOfPolicy, { tenantId: 'acme', projectId: null }, [
      { type: 'KeyPolicySet', data: { policy: warnDays === undefined ? {} : { warnDays } } },
    ]);

  it('follow the key and the policies of its tenant and project', async () => {
    ledger.clock.set(T0);
    await ledger.write(stream, scope, [{ type: 'KeyCreated', data: { ...created, keyId, expiresAt: day(20) } }]);
    // 30 days before was past when the key was made.
    expect(await nextWarning()).toBe(day(13));
    await policy('project-GOV777777', [10, 2]);
    expect(await nextWarning()).toBe(day(10));
    await policy('tenant-acme', [15]);
    expect(await nextWarning()).toBe(day(5));
    await ledger.write(stream, scope, [{ type: 'KeyExpiryWarned', data: { thresholdDays: 10, expiresAt: day(20) } }]);
    expect(await nextWarning()).toBe(day(18));
    await ledger.write('project-GOV777777', scope, [{ type: 'KeyPolicyRemoved', data: {} }]);
    // Of the tenant's days 15 is farther off than what was warned of already.
    expect(await nextWarning()).toBeNull();
    await ledger.write('tenant-acme', scope, [{ type: 'KeyPolicyRemoved', data: {} }]);
    expect(await nextWarning()).toBe(day(13));
    await ledger.write(stream, scope, [{ type: 'KeyExtended', data: { from: day(20), to: day(50), days: 30 } }]);
    expect(await nextWarning()).toBe(day(20));
    await ledger.write(stream, scope, [{ type: 'KeyExpired', data: { expiresAt: day(50) } }]);
    expect(await nextWarning()).toBeNull();
  });
});

describe('a rebuild', () => {
  it('gives the same rows as the live tables have', async () => {
    const read = async (): Promise<unknown> => {
      const { rows: list } = await ledger.pool.query('select * from keys.key_list order by key_id');
      const { rows: deadlines } = await ledger.pool.query('select * from keys.key_deadlines order by key_id');
      const { rows: days } = await ledger.pool.query('select * from keys.key_warn_days order by stream');
      return { list, deadlines, days };
    };
    const live = await read();
    await ledger.host.rebuild('key-list');
    await ledger.host.rebuild('key-deadlines');
    expect(await read()).toEqual(live);
  });
});
