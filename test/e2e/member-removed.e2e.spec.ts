import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidV7 } from 'uuid';
import pg from 'pg';
import { connectionOfRunning } from '#libs/postgres';
import { aDataDir, aKey, aProject, type CreatedKey, seededRandom, StewardProcess, verify } from '#libs/testing';
import { processTree } from '../../libs/testing/src/process-tree.js';

/**
 * Members are removed while Steward is killed, every other time with its PostgreSQL. STEWARD_FAULT_SIZE=full runs the 20
 * rounds of the release check; test/fault/offboarding.fault.spec.ts stops at each durable step in turn.
 */
const ROUNDS = process.env['STEWARD_FAULT_SIZE'] === 'full' ? 20 : 3;
const KEYS = 40;
const RESERVATIONS = 20;
const AT = '/v1/projects/GOV112345';
/** About as long as the revocation of all keys takes, so that the kill falls into it. */
const KILL_AFTER_MS_MAX = 60;
const REVOKED_MS_MAX = 15_000;

const { random, seed } = seededRandom();

interface Written {
  readonly stream: string;
  readonly type: string;
  readonly id: string;
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly recordedAt: string;
}

/** The whole ledger, in order. */
async function written(dataDir: string): Promise<Written[]> {
  const running = await connectionOfRunning(dataDir);
  if (running === undefined) throw new Error('The embedded PostgreSQL does not run.');
  const client = new pg.Client(running.programConfig);
  await client.connect();
  try {
    const { rows } = await client.query<{ envelope: string }>('select envelope from ledger.events order by position');
    return rows.map(({ envelope }) => JSON.parse(envelope) as Written);
  } finally {
    await client.end();
  }
}

async function kill(steward: StewardProcess, whole: boolean): Promise<void> {
  for (const pid of whole ? await processTree(steward.dataDir, steward.pid) : [steward.pid])
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // A child that ended by itself meanwhile is as dead as it should be.
    }
  await steward.exited();
}

async function removeMember(steward: StewardProcess, userId: string): Promise<number | undefined> {
  try {
    const path = `${AT}/members/${userId}?disposition=orphan`;
    return (await steward.call('DELETE', path, { headers: { 'idempotency-key': `remove-${userId}` } })).status;
  } catch {
    return undefined;
  }
}

/** A member who has keys and reservations, and uses something. */
async function aLeaver(steward: StewardProcess, userId: string): Promise<CreatedKey[]> {
  await steward.call('PUT', `${AT}/members/${userId}`, { body: { role: 'tenant_user' } });
  await steward.call('PUT', `${AT}/members/${userId}/services/container-compute`);
  const keys = await Promise.all(
    Array.from({ length: KEYS }, () => aKey(steward, { owner: { type: 'user', id: userId } })),
  );
  const items = [{ service: 'container-compute', resource: 'cpu', amount: 1 }];
  const reserved = await Promise.all(
    Array.from({ length: RESERVATIONS }, () =>
      steward.call('POST', `${AT}/reservations`, { body: { id: uuidV7(), userId, items, ttlSeconds: 3_600 } }),
    ),
  );
  expect(new Set(reserved.map(({ status }) => status))).toEqual(new Set([201]));
  await steward.call('POST', `${AT}/allocations`, { body: { id: uuidV7(), userId, items } });
  return keys;
}

async function reservedNow(steward: StewardProcess): Promise<{ used: number; reserved: number } | undefined> {
  const { body } = await steward.call<{
    services: { project: { resource: string; used: number; reserved: number }[] }[];
  }>('GET', `${AT}/quotas?service=container-compute`);
  return body.services[0]?.project.find(({ resource }) => resource === 'cpu');
}

async function expectReleased(steward: StewardProcess, used: number): Promise<void> {
  const deadline = performance.now() + REVOKED_MS_MAX;
  for (;;) {
    const now = await reservedNow(steward);
    if (now?.reserved === 0) {
      expect(now.used).toBe(used);
      return;
    }
    if (performance.now() > deadline)
      throw new Error('The reservations of a removed member were not released in time.');
    await sleep(20);
  }
}

/** The types of all that the auditors are told of one request. */
async function timeline(steward: StewardProcess, correlationId: string): Promise<string[]> {
  const { body } = await steward.call<{ data: Written[]; page: { hasMore: boolean } }>(
    'GET',
    `/v1/audit/events?correlationId=${correlationId}&limit=200`,
  );
  expect(body.page.hasMore).toBe(false);
  return body.data.map(({ type }) => type).sort();
}

async function expectRefused(steward: StewardProcess, keys: readonly CreatedKey[]): Promise<void> {
  const codes = await Promise.all(keys.map(async ({ secret }) => (await verify(steward, secret)).code));
  expect(codes.filter((code) => code !== 'OWNER_INACTIVE' && code !== 'REVOKED')).toEqual([]);
}

async function expectRevoked(steward: StewardProcess, keys: readonly CreatedKey[]): Promise<void> {
  const deadline = performance.now() + REVOKED_MS_MAX;
  for (const { secret } of keys)
    while ((await verify(steward, secret)).code !== 'REVOKED') {
      if (performance.now() > deadline) throw new Error('A key of a removed member was not revoked in time.');
      await sleep(20);
    }
}

describe(`a member is removed while Steward is killed, seed ${seed}`, () => {
  it('its keys are refused at once and revoked exactly once, its reservations go, and all of it is one timeline', async () => {
    const dataDir = aDataDir();
    let steward = await StewardProcess.start({ dataDir });
    let finishedLater = 0;
    try {
      await aProject(steward);
      const colleague = await aKey(steward);
      for (let round = 0; round < ROUNDS; round += 1) {
        const userId = `leaver-${round}`;
        const keys = await aLeaver(steward, userId);
        expect(await reservedNow(steward)).toMatchObject({ used: round + 1, reserved: RESERVATIONS });
        expect((await verify(steward, keys[0]?.secret ?? '')).code).toBe('VALID');

        expect(await removeMember(steward, userId)).toBe(204);
        await expectRefused(steward, keys.slice(0, 1));
        // The first kills come at once, so that a fast machine is cut off too.
        await sleep(round < 2 ? 0 : KILL_AFTER_MS_MAX * random());
        await kill(steward, round % 2 === 1);
        const killedAtMs = Date.now();
        steward = await StewardProcess.start({ dataDir });
        await expectRefused(steward, keys);
        await expectRevoked(steward, keys);
        await expectReleased(steward, round + 1);
        // The caller who never saw the answer may ask again.
        expect(await removeMember(steward, userId)).toBe(204);

        const log = await written(dataDir);
        const removal = log.filter(({ type, stream }) => type === 'MemberRemoved' && stream === 'project-GOV112345')[
          round
        ];
        const chain = log.filter(({ correlationId }) => correlationId === removal?.correlationId);
        const types = chain.map(({ type }) => type);
        expect(types[0]).toBe('MemberRemoved');
        expect(types.slice(1).sort()).toEqual([
          ...keys.map(() => 'KeyRevoked'),
          'QuotaMemberRemoved',
          ...Array.from({ length: RESERVATIONS }, () => 'ReservationReleased'),
        ]);
        expect(await timeline(steward, removal?.correlationId ?? '')).toEqual([...types].sort());
        expect(new Set(chain.slice(1).map(({ stream }) => stream))).toEqual(
          new Set(['projectQuota-GOV112345', ...keys.map(({ key }) => `key-${key.id.slice('key_'.length)}`)]),
        );
        expect(new Set(chain.slice(1).map(({ causationId }) => causationId))).toEqual(new Set([removal?.id]));
        finishedLater += chain.filter(({ recordedAt }) => Date.parse(recordedAt) > killedAtMs).length;
      }
      const log = await written(dataDir);
      expect(log.filter(({ type }) => type === 'KeyRevoked')).toHaveLength(ROUNDS * KEYS);
      expect(log.filter(({ type }) => type === 'MemberRemoved')).toHaveLength(ROUNDS);
      console.log(`seed ${seed}: ${finishedLater} of ${ROUNDS * (KEYS + RESERVATIONS + 1)} steps came after a restart`);
      expect(finishedLater).toBeGreaterThan(0);
      expect((await verify(steward, colleague.secret)).code).toBe('VALID');
    } finally {
      await steward.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 600_000);
});
