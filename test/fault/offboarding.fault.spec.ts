import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidV7 } from 'uuid';
import { projectStream } from '#libs/contracts';
import { type AppendRequest, type AppendResult, StoreUnavailable } from '#libs/eventsourcing';
import { ReactorHost } from '#libs/postgres';
import { aDataDir, type ExternalPostgres, startExternalPostgres } from '#libs/testing';
import { InProcessSteward } from '../../libs/testing/src/in-process-steward.js';

/**
 * The process managers of a removal are stopped after each of their durable steps in turn, as `kill -9` would stop them
 * there: what was appended stands, nothing further is written, not even that it was done, and another process begins
 * where the log says. So many reservations make the quotas' part more than one append. STEWARD_FAULT_SIZE=full removes
 * with more keys and more reservations.
 */
const full = process.env['STEWARD_FAULT_SIZE'] === 'full';
const REACTORS = ['key-offboarding', 'quota-offboarding'] as const;
const REACTED_MS_MAX = 15_000;
const CALLERS = 50;
const USER = 'leaver';
const STARTS_MAX = 3;

/** What one removal is made of, and what it must come to. */
interface Case {
  readonly query: string;
  readonly keys: number;
  readonly reservations: number;
  /** Appends of the process managers. */
  readonly steps: number;
}

const cases: readonly Case[] = full
  ? [
      { query: '?disposition=orphan', keys: 10, reservations: 1_000, steps: 12 },
      { query: '?disposition=transfer&to=heir', keys: 10, reservations: 1_000, steps: 11 },
    ]
  : [
      { query: '?disposition=orphan', keys: 1, reservations: 501, steps: 3 },
      { query: '?disposition=transfer&to=heir', keys: 2, reservations: 2, steps: 3 },
    ];

/** As whoever keeps services running does: again, where a busy machine let the start fail. */
async function started(env: Record<string, string>): Promise<InProcessSteward> {
  for (let attempt = 1; ; attempt += 1)
    try {
      return await InProcessSteward.start(env);
    } catch (error) {
      if (attempt === STARTS_MAX) throw error;
    }
}

/** A process whose process managers write so many appends and no more. */
class Victim {
  private readonly death = new AbortController();
  private written = 0;

  private constructor(
    readonly steward: InProcessSteward,
    private stepsMax: number,
  ) {}

  static async start(env: Record<string, string>): Promise<Victim> {
    const steward = await started(env);
    const victim = new Victim(steward, Number.POSITIVE_INFINITY);
    const { store } = steward.storage;
    const append = store.append.bind(store);
    store.append = (request) => victim.append(append, request);
    return victim;
  }

  /** From now on the process managers get this far, and hear no more of the store after it. */
  diesAfter(steps: number): void {
    this.written = 0;
    this.stepsMax = steps;
  }

  get stepsDone(): number {
    return Math.min(this.written, this.stepsMax);
  }

  private async append(
    append: (request: AppendRequest) => Promise<AppendResult>,
    request: AppendRequest,
  ): Promise<AppendResult> {
    const isReaction = REACTORS.some((name) => request.events[0]?.envelope.startsWith(`{"actor":{"id":"${name}"`));
    if (!isReaction) return append(request);
    this.written += 1;
    if (this.written > this.stepsMax) return this.silence();
    const isLast = this.written === this.stepsMax;
    const result = await append(request);
    return isLast ? this.silence() : result;
  }

  private silence(): Promise<never> {
    return new Promise((_, reject) => {
      const end = (): void => {
        reject(new StoreUnavailable('unreachable'));
      };
      if (this.death.signal.aborted) end();
      else this.death.signal.addEventListener('abort', end);
    });
  }

  async kill(): Promise<void> {
    // The reactors are told first, so that what they hear of the store at last moves no checkpoint.
    const stopped = this.steward.storage.reactors.stop();
    this.death.abort();
    await stopped;
    await this.steward.stop();
  }
}

interface Place {
  readonly projectId: string;
  readonly keys: readonly { readonly id: string; readonly secret: string }[];
  readonly reservations: readonly string[];
  readonly allocation: string;
}

/** What the auditors read of an event, as far as it is told here. */
interface Told {
  readonly eventId: string;
  readonly stream: string;
  readonly type: string;
  readonly data: unknown;
  readonly actor: { readonly id: string };
  readonly causationId: string | null;
}

async function aPlace({ made }: InProcessSteward, projectId: string, wanted: Case): Promise<Place> {
  const at = `/v1/projects/${projectId}`;
  await made('root', 'POST', '/v1/tenants/acme/projects', { id: projectId, name: projectId });
  for (const userId of [USER, 'heir']) {
    await made('root', 'PUT', `${at}/members/${userId}`, { role: 'tenant_user' });
    await made('root', 'PUT', `${at}/members/${userId}/services/container-compute`);
  }
  const keys: Place['keys'][number][] = [];
  for (let n = 0; n < wanted.keys; n += 1) {
    const created = await made('root', 'POST', `${at}/keys`, { owner: { type: 'user', id: USER } });
    const { key, secret } = created.body as { key: { id: string }; secret: string };
    keys.push({ id: key.id, secret });
  }
  const items = [{ service: 'container-compute', resource: 'cpu', amount: 10 }];
  const reservations = Array.from({ length: wanted.reservations }, () => uuidV7());
  for (let n = 0; n < reservations.length; n += CALLERS)
    await Promise.all(
      reservations
        .slice(n, n + CALLERS)
        .map((id) => made('root', 'POST', `${at}/reservations`, { id, userId: USER, items, ttlSeconds: 3_600 })),
    );
  const allocation = uuidV7();
  await made('root', 'POST', `${at}/allocations`, { id: allocation, userId: USER, items });
  return { projectId, keys, reservations, allocation };
}

async function timeline({ made }: InProcessSteward, correlationId: string): Promise<Told[]> {
  const events: Told[] = [];
  for (let cursor = ''; ;) {
    const path = `/v1/audit/events?correlationId=${correlationId}&limit=200${cursor}`;
    const { data, page } = (await made('root', 'GET', path)).body as {
      data: Told[];
      page: { nextCursor: string | null };
    };
    events.push(...data);
    if (page.nextCursor === null) return events;
    cursor = `&cursor=${page.nextCursor}`;
  }
}

/** The chain of the removal by stream, under names that are the same in every place. */
async function chainOf(steward: InProcessSteward, place: Place): Promise<Record<string, unknown[]>> {
  const { store, codec } = steward.storage;
  const [last] = await store.readStream(projectStream(place.projectId), { backwards: true, limit: 1 });
  if (last === undefined) throw new Error('The project has no events.');
  const removal = codec.decode(last);
  expect(removal.type).toBe('MemberRemoved');
  const names = new Map([
    [place.projectId, 'project'],
    [place.allocation, 'allocation'],
    ...place.keys.map(({ id }, n) => [id.slice('key_'.length), `key ${n}`] as const),
    ...place.reservations.map((id, n) => [id, `reservation ${n}`] as const),
  ]);
  const ids = new RegExp([...names.keys()].join('|'), 'g');
  const renamed = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value).replaceAll(ids, (id) => names.get(id) ?? id));
  const chain: Record<string, unknown[]> = {};
  for (const { stream, type, data, actor, causationId, eventId } of await timeline(steward, removal.correlationId)) {
    const isCaused = causationId === (eventId === removal.id ? null : removal.id);
    (chain[String(renamed(stream))] ??= []).push({ type, data: renamed(data), actor: actor.id, isCaused });
  }
  return chain;
}

async function reacted(steward: InProcessSteward): Promise<void> {
  const head = await steward.storage.store.head();
  for (const name of REACTORS) expect(await steward.app.get(ReactorHost).reach(name, head, REACTED_MS_MAX)).toBe(true);
}

async function verified({ made }: InProcessSteward, { keys }: Place): Promise<string[]> {
  const requests = keys.map(({ secret }) => ({ token: secret }));
  const { results } = (await made('root', 'POST', '/v1/keys/verify-batch', { requests })).body as {
    results: { code: string }[];
  };
  return results.map(({ code }) => code);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + REACTED_MS_MAX;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what} did not come about in time.`);
    await sleep(2);
  }
}

describe('the process managers of a removal', () => {
  const dataDir = aDataDir();
  const env: Record<string, string> = { STEWARD_DATA_DIR: dataDir };
  let postgres: ExternalPostgres;
  let victim: Victim;
  let rounds = 0;
  beforeAll(async () => {
    postgres = await startExternalPostgres();
    env['STEWARD_DATABASE_URL'] = postgres.url;
    victim = await Victim.start(env);
    await victim.steward.made('root', 'POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  });
  afterAll(async () => {
    await victim.kill();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  /** A place whose member is removed by a process that dies after so many steps; then the next one ends it. */
  async function removal(wanted: Case, steps: number): Promise<Record<string, unknown[]>> {
    rounds += 1;
    const place = await aPlace(victim.steward, `P${rounds}`, wanted);
    await reacted(victim.steward);
    victim.diesAfter(steps);
    await victim.steward.made('root', 'DELETE', `/v1/projects/P${rounds}/members/${USER}${wanted.query}`);
    // From the acknowledgement on, whatever the process managers have done.
    const refused = await verified(victim.steward, place);
    expect(refused.filter((code) => code !== 'OWNER_INACTIVE' && code !== 'REVOKED')).toEqual([]);
    if (Number.isFinite(steps)) {
      await until('The last step', () => victim.stepsDone === steps);
      await victim.kill();
      victim = await Victim.start(env);
      expect(new Set(await verified(victim.steward, place)).has('VALID')).toBe(false);
    }
    await reacted(victim.steward);
    expect(new Set(await verified(victim.steward, place))).toEqual(new Set(['REVOKED']));
    return chainOf(victim.steward, place);
  }

  it.each(cases)(
    'come to the same end wherever they are killed, by $query in $steps steps',
    async (wanted) => {
      const whole = await removal(wanted, Number.POSITIVE_INFINITY);
      expect(victim.stepsDone).toBe(wanted.steps);
      expect(Object.keys(whole).sort()).toEqual(
        [
          ...Array.from({ length: wanted.keys }, (_, n) => `key-key ${n}`),
          'project-project',
          'projectQuota-project',
        ].sort(),
      );
      const ledger = whole['projectQuota-project'] as { type: string; isCaused: boolean }[];
      expect(ledger.every(({ isCaused }) => isCaused)).toBe(true);
      if (wanted.query.includes('orphan'))
        expect(ledger.filter(({ type }) => type === 'ReservationReleased')).toHaveLength(wanted.reservations);
      for (let steps = 0; steps <= wanted.steps; steps += 1) expect(await removal(wanted, steps)).toEqual(whole);
    },
    600_000,
  );

  it('leave to whoever joined again meanwhile what is of the new membership', async () => {
    const place = await aPlace(victim.steward, 'Again', { query: '', keys: 1, reservations: 2, steps: 0 });
    await reacted(victim.steward);
    await victim.steward.storage.reactors.stop();
    const { made } = victim.steward;
    const member = `/v1/projects/Again/members/${USER}`;
    await made('root', 'DELETE', `${member}?disposition=orphan`);
    await made('root', 'PUT', member, { role: 'tenant_user' });
    await made('root', 'PUT', `${member}/services/container-compute`);
    const created = await made('root', 'POST', '/v1/projects/Again/keys', { owner: { type: 'user', id: USER } });
    const key = created.body as { key: { id: string }; secret: string };
    const id = uuidV7();
    const items = [{ service: 'container-compute', resource: 'cpu', amount: 1 }];
    await made('root', 'POST', '/v1/projects/Again/reservations', { id, userId: USER, items, ttlSeconds: 3_600 });
    await victim.kill();
    victim = await Victim.start(env);
    await reacted(victim.steward);
    const renewed = { ...place, keys: [...place.keys, { id: key.key.id, secret: key.secret }] };
    expect(await verified(victim.steward, renewed)).toEqual(['REVOKED', 'VALID']);
    const statuses = [];
    for (const one of [...place.reservations, id]) {
      const answer = await victim.steward.made('root', 'GET', `/v1/projects/Again/reservations/${one}`);
      statuses.push((answer.body as { status: string }).status);
    }
    expect(statuses).toEqual(['released', 'released', 'open']);
  }, 120_000);
});
