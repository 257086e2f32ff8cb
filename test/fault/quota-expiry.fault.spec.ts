import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { v7 as uuidV7 } from 'uuid';
import { connectionOfRunning } from '#libs/postgres';
import { aDataDir, seededRandom, StewardProcess } from '#libs/testing';
import { processTree } from '../../libs/testing/src/process-tree.js';
import type { StoredFact } from './two-stewards.js';

/**
 * `kill -9` while reservations are made, committed and released. Whatever was written counts, or expires without anybody
 * asking. STEWARD_FAULT_SIZE=full kills ten times.
 */
const KILLS = process.env['STEWARD_FAULT_SIZE'] === 'full' ? 10 : 2;
const CALLERS = 8;
/** Some are short and run out while nobody looks, some outlive the test. */
const TTL_SECONDS = [2, 4, 3_600] as const;
/** Of the sweeper's look, and of the read model that it looks into. */
const EXPIRY_MS_MAX = 60_000;
const path = '/v1/projects/HOT/reservations';

const { random, seed } = seededRandom();

async function ledger(dataDir: string): Promise<StoredFact[]> {
  const config = await connectionOfRunning(dataDir);
  if (config === undefined) throw new Error('The embedded PostgreSQL does not run.');
  const client = new pg.Client(config.programConfig);
  await client.connect();
  try {
    const { rows } = await client.query<{ envelope: string }>(
      `select envelope from ledger.events where stream = 'projectQuota-HOT' order by revision`,
    );
    return rows.map(({ envelope }) => JSON.parse(envelope) as StoredFact);
  } finally {
    await client.end();
  }
}

interface Held {
  readonly amount: number;
  readonly expiresAt: string;
}

const amountOf = (items: unknown): number =>
  (items as { amount: number }[]).reduce((sum, { amount }) => sum + amount, 0);

/** What the events say, folded by no code of the product. */
function folded(events: readonly StoredFact[]): { open: Map<string, Held>; used: number } {
  const open = new Map<string, Held>();
  let used = 0;
  for (const { type, data } of events) {
    const id = data['reservationId'] as string;
    if (type === 'QuotaReserved')
      open.set(id, { amount: amountOf(data['items']), expiresAt: data['expiresAt'] as string });
    else if (type === 'ReservationCommitted') used += amountOf(data['items']);
    if (['ReservationCommitted', 'ReservationReleased', 'ReservationExpired'].includes(type)) open.delete(id);
  }
  return { open, used };
}

const sum = (held: Iterable<Held>): number => [...held].reduce((total, { amount }) => total + amount, 0);

async function told(steward: StewardProcess): Promise<{ used: number; reserved: number }> {
  const { body } = await steward.call<{
    services: { service: string; project: { resource: string; used: number; reserved: number }[] }[];
  }>('GET', '/v1/projects/HOT/quotas?service=container-compute');
  const row = body.services[0]?.project.find(({ resource }) => resource === 'gpu');
  return { used: row?.used ?? NaN, reserved: row?.reserved ?? NaN };
}

async function work(steward: StewardProcess, token: string, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    const id = uuidV7();
    const body = {
      id,
      userId: 'ada',
      items: [{ service: 'container-compute', resource: 'gpu', amount: 1 + Math.floor(random() * 5) }],
      ttlSeconds: TTL_SECONDS[Math.floor(random() * TTL_SECONDS.length)],
    };
    try {
      await steward.call('POST', path, { token, body });
      const then = random();
      if (then < 0.3) await steward.call('POST', `${path}/${id}/commit`, { token, body: {} });
      else if (then < 0.6) await steward.call('POST', `${path}/${id}/release`, { token, body: {} });
    } catch {
      // The process is dead, which is what this is about.
    }
  }
}

describe('reservations of a process that is killed', () => {
  it(`count or expire, with the instant that was promised, and no request wakes them, after ${KILLS} kills`, async () => {
    const dataDir = aDataDir();
    let steward = await StewardProcess.start({ dataDir });
    try {
      const token = steward.adminToken;
      const made = async (method: string, to: string, body: unknown): Promise<void> => {
        const answer = await steward.call(method, to, { body });
        if (answer.status >= 300) throw new Error(`${method} ${to}: ${answer.status} ${JSON.stringify(answer.body)}`);
      };
      await made('POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
      await made('POST', '/v1/tenants/acme/projects', { id: 'HOT', name: 'Hot' });
      await made('PUT', '/v1/projects/HOT/members/ada', { role: 'tenant_user' });
      await made('PUT', '/v1/projects/HOT/members/ada/services/container-compute', {});
      for (let kill = 0; kill < KILLS; kill += 1) {
        let dead = false;
        const callers = Array.from({ length: CALLERS }, () => work(steward, token, () => dead));
        await sleep(700 + random() * 600);
        // Odd rounds take PostgreSQL and all its children along.
        for (const pid of kill % 2 === 1 ? await processTree(dataDir, steward.pid) : [steward.pid])
          try {
            process.kill(pid, 'SIGKILL');
          } catch {
            // A child that ended by itself meanwhile is as dead as it should be.
          }
        dead = true;
        await Promise.all(callers);
        await steward.exited();
        steward = await StewardProcess.start({ dataDir });
      }

      const isShort = ({ expiresAt }: Held): boolean => Date.parse(expiresAt) < Date.now() + 60_000;
      const left = [...folded(await ledger(dataDir)).open.values()].filter(isShort).length;
      const deadline = performance.now() + EXPIRY_MS_MAX;
      let events = await ledger(dataDir);
      // Nobody asks Steward anything here: the store alone is looked at.
      while ([...folded(events).open.values()].some(isShort) && performance.now() < deadline) {
        await sleep(200);
        events = await ledger(dataDir);
      }
      const { open, used } = folded(events);
      const expired = events.filter(({ type }) => type === 'ReservationExpired');
      console.log(
        `seed ${seed}: ${events.length} events, ${expired.length} expired, ${left} open ones after the restart`,
      );
      expect([...open.values()].filter(isShort)).toEqual([]);
      const promised = new Map(
        events
          .filter(({ type }) => type === 'QuotaReserved')
          .map(({ data }) => [data['reservationId'], data['expiresAt']]),
      );
      expect(expired.length).toBeGreaterThan(0);
      for (const { data, recordedAt } of expired) {
        expect(data['expiresAt']).toBe(promised.get(data['reservationId']));
        expect(recordedAt >= (data['expiresAt'] as string)).toBe(true);
      }
      expect(await told(steward)).toEqual({ used, reserved: sum(open.values()) });
    } finally {
      await steward.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 600_000);
});
