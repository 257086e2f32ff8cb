import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { eventTypes, projectQuotaStream, projectStream, type StewardEvent } from '#libs/contracts';
import { Codec, MemoryDataKeys, Refusal, type StoredEvent } from '#libs/eventsourcing';
import { compareWithFold, PostgresEventStore, ProjectionHost } from '#libs/postgres';
import { seededRandom } from '#libs/testing';
import { type EmbeddedLedger, startEmbeddedLedger } from '../../libs/postgres/src/testing/embedded-ledger.js';
import { type Catalogue, defaultCatalogue, resourcesOf } from '../../services/quotas/src/domain/catalogue.js';
import type { QuotaCommand } from '../../services/quotas/src/domain/commands.js';
import { quotaRow } from '../../services/quotas/src/domain/limits.js';
import { reservationAnswer } from '../../services/quotas/src/domain/reservations.js';
import { TestLedger } from '../../services/quotas/src/testing/given-quota.js';
import { type ProjectQuotasView, reservationView, rowView } from '../../services/quotas/src/quotas.views.js';
import { HOUR_MS } from '../../services/quotas/src/read-models/hourly-usage.js';
import { readQuotaPage } from '../../services/quotas/src/read-models/quota-page.js';
import { QUOTAS, quotasProjection } from '../../services/quotas/src/read-models/quotas.projection.js';
import { readReservations } from '../../services/quotas/src/read-models/reservation-list.js';
import { readUsageHistory } from '../../services/quotas/src/read-models/usage-history.js';
import { Commands, timeOf, USERS } from './quota.commands.js';

/** STEWARD_FAULT_SIZE=full is the release check. */
const COMMANDS = process.env['STEWARD_FAULT_SIZE'] === 'full' ? 20_000 : 600;
const COMPARED_EVERY = 40;
const START_MS = Date.UTC(2026, 0, 1);
const PROJECTS = ['GOV1', 'GOV2'];

const cpuDefault = { defaultMemberLimit: 9, defaultProjectLimit: 30 };
const catalogue: Catalogue = {
  revision: 1,
  services: new Map(
    [...defaultCatalogue.services].map(([service, ofService]) => [
      service,
      new Map([...ofService].map(([name, one]) => [name, name === 'cpu' ? { ...one, ...cpuDefault } : one])),
    ]),
  ),
};
const resources = resourcesOf(catalogue);
const principal = { type: 'service', id: 'test', via: 'test', tenantId: null, grants: [], key: null } as const;

interface Step {
  readonly atMs: number;
  readonly used: number;
  readonly reserved: number;
}

/** The model that the commands are made for knows no soft limits; the page shows them. */
const withSoft = (command: QuotaCommand, random: () => number): QuotaCommand =>
  command.type === 'SetQuota' && typeof command.limit === 'number' && random() < 0.5
    ? { ...command, soft: Math.floor(random() * (command.limit + 1)) }
    : command;

/** A project as the rules have it, and what is written of it. */
class World {
  readonly ledger = new TestLedger(catalogue);
  readonly members = new Map<string, { role: 'tenant_user' | 'tenant_admin'; displayName: string | null }>();
  readonly steps = new Map<string, Step[]>();
  private readonly tails = new Map<string, StoredEvent>();

  constructor(
    readonly projectId: string,
    private readonly store: PostgresEventStore,
    private readonly codec: Codec,
  ) {}

  async write(stream: string, atMs: number, events: readonly StewardEvent[]): Promise<void> {
    const tail = this.tails.get(stream);
    const commandId = randomUUID();
    const encoded = await this.codec.encode({
      ...{ stream, tenantId: 'acme', projectId: this.projectId, recordedAt: timeOf(atMs), events },
      lastRevision: tail?.revision ?? 0,
      lastChainHash: tail?.chainHash ?? null,
      context: {
        ...{ commandId, correlationId: commandId, causationId: null, requestHash: null, actorPart: null },
        actor: { type: 'system', id: 'test', via: 'internal' },
      },
    });
    const appended = await this.store.append({ stream, expectedRevision: tail?.revision ?? 0, events: encoded });
    const last = appended.events.at(-1);
    if (last !== undefined) this.tails.set(stream, last);
  }

  /** What each counter was after every event, for the integrals. */
  note(atMs: number): void {
    const { state } = this.ledger;
    for (const scope of [state.project, ...state.members.values()])
      for (const counter of scope.counters) {
        if (counter === undefined) continue;
        const { used, reserved, resource } = counter;
        const key = [scope.userId ?? '', resource.service, resource.resource].join(' ');
        const steps = this.steps.get(key) ?? [];
        steps.push({ atMs, used, reserved });
        this.steps.set(key, steps);
      }
  }

  position(): string | null {
    return this.tails.get(projectQuotaStream(this.projectId))?.position ?? null;
  }

  /** The page from the fold, in which what is due has expired. */
  page(): ProjectQuotasView {
    const { state } = this.ledger;
    const left = [...state.members.values()]
      .flatMap(({ userId, open, live }) =>
        userId !== null && open + live > 0 && !this.members.has(userId) ? userId : [],
      )
      .sort();
    const people = [
      ...[...this.members].sort(([a], [b]) => (a < b ? -1 : 1)).map(([userId, one]) => ({ userId, ...one })),
      ...left.map((userId) => ({ userId, role: null, displayName: null })),
    ];
    const rows = (userId: string | null, service: string) =>
      resources.filter((one) => one.service === service).map((one) => rowView(quotaRow(state, catalogue, userId, one)));
    return {
      projectId: this.projectId,
      position: this.position(),
      services: [...new Set(resources.map(({ service }) => service))].map((service) => ({
        service,
        project: rows(null, service),
        members: people.map(({ userId, displayName, role }) => ({
          ...{ userId, displayName, role },
          resources: rows(userId, service),
        })),
      })),
    };
  }
}

describe('the read model of quotas', () => {
  let server: EmbeddedLedger;
  let store: PostgresEventStore;
  let pool: pg.Pool;
  let host: ProjectionHost;
  const codec = new Codec(eventTypes, new MemoryDataKeys());

  beforeAll(async () => {
    server = await startEmbeddedLedger();
    store = new PostgresEventStore({ connection: server.program });
    pool = new pg.Pool({ ...server.program, max: 4 });
    pool.on('error', () => undefined);
    host = new ProjectionHost({ database: pool, store, codec, projections: [quotasProjection] });
    host.start();
  });
  afterAll(async () => {
    await host.stop();
    await store.close();
    await pool.end();
    await server.stop();
  });

  /** Compares with the fold swept at `at`; the sweep itself is not written, and is undone. */
  async function compare(world: World, at: string): Promise<void> {
    const { state } = world.ledger;
    const { projectId } = world;
    const seen = await readQuotaPage(pool, { projectId, service: undefined, catalogue, at });
    const { events } = world.ledger;
    const written = events.length;
    world.ledger.sweep(at);
    const swept = events.splice(written);
    expect(seen).toEqual(world.page());
    for (const status of ['open', 'committed', 'released', 'expired'] as const) {
      const expected = [...state.entries.values()].flatMap((entry) => {
        const answer = reservationAnswer(entry, false);
        return answer?.status === status ? [answer] : [];
      });
      expected.sort((a, b) => (a.id < b.id ? -1 : 1));
      const audience = { kind: 'all' } as const;
      const page = { projectId, audience, principal, filter: { status }, limit: 100_000, at };
      const { data } = await readReservations(pool, page);
      // The ledger forgets what the report goes on to show.
      const known = data.filter(({ id }) => status === 'open' || state.entries.has(id));
      expect(known).toEqual(expected.map(reservationView));
    }
    // What was swept is due, so it is swept again before the next command, and written then.
    expect(
      swept.every(
        ({ type }) => type === 'ReservationExpired' || type === 'OverQuotaCleared' || type === 'QuotaMemberClosed',
      ),
    ).toBe(true);
    if (swept.length > 0) {
      await world.write(projectQuotaStream(projectId), Date.parse(at), swept);
      world.note(Date.parse(at));
    }
  }

  async function compareHistory({ projectId, steps }: World, nowMs: number): Promise<void> {
    const stepMs = HOUR_MS;
    const fromMs = START_MS - HOUR_MS;
    const toMs = nowMs - (nowMs % HOUR_MS) + HOUR_MS;
    for (const userId of [null, ...USERS]) {
      const series = await readUsageHistory(pool, { projectId, userId }, resources, { fromMs, toMs, stepMs, nowMs });
      for (const { service, resource, buckets } of series) {
        const course = steps.get([userId ?? '', service, resource].join(' ')) ?? [];
        let [next, used, reserved] = [0, 0, 0];
        for (const bucket of buckets) {
          const [startMs, endMs] = [Date.parse(bucket.start), Date.parse(bucket.end)];
          let [usedMax, reservedMax, usedMs, reservedMs, atMs] = [used, reserved, 0n, 0n, startMs];
          const isLast = bucket === buckets.at(-1);
          for (let step = course[next]; step !== undefined && (step.atMs < endMs || isLast); step = course[next]) {
            usedMs += BigInt(used) * BigInt(step.atMs - atMs);
            reservedMs += BigInt(reserved) * BigInt(step.atMs - atMs);
            ({ atMs, used, reserved } = step);
            usedMax = Math.max(usedMax, used);
            reservedMax = Math.max(reservedMax, reserved);
            next += 1;
          }
          usedMs += BigInt(used) * BigInt(endMs - atMs);
          reservedMs += BigInt(reserved) * BigInt(endMs - atMs);
          expect(bucket).toMatchObject({
            ...{ used, reserved, usedMax, reservedMax },
            usedSeconds: String(usedMs / 1_000n),
            reservedSeconds: String(reservedMs / 1_000n),
          });
        }
      }
    }
  }

  it(`says after ${COMMANDS} random commands what the fold says, row by row, and folds to the same tables anew`, async () => {
    const { seed, random } = seededRandom();
    console.log(`seed ${seed}`);
    const pick = <Thing>(things: readonly Thing[]): Thing => things[Math.floor(random() * things.length)] as Thing;
    let clockMs = START_MS;
    const worlds = PROJECTS.map((projectId) => ({
      world: new World(projectId, store, codec),
      asking: new Commands(random, () => clockMs),
    }));
    let written = 0;
    for (let n = 1; n <= COMMANDS; n += 1) {
      clockMs += pick([0, 0, 1, 900, 10_000, 60_000, 600_000, 2_400_000]);
      const { world, asking } = pick(worlds);
      const { ledger, members, projectId } = world;
      const before = ledger.events.length;
      // One command, then another at the same time: each event is a step of its own for the maxima.
      try {
        ledger.sweep(timeOf(clockMs));
        world.note(clockMs);
        ledger.run(timeOf(clockMs), withSoft(asking.next().command, random));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
      world.note(clockMs);
      const events = ledger.events.slice(before);
      written += events.length;
      if (events.length > 0) await world.write(projectQuotaStream(projectId), clockMs, events);
      if (random() < 0.1) await changeMember(world, pick(USERS), clockMs);
      if (n % COMPARED_EVERY !== 0) continue;
      expect(await host.reach(QUOTAS, await store.head(), 20_000)).toBe(true);
      for (const one of worlds) await compare(one.world, timeOf(clockMs + pick([0, 0, 5_000, 1_000_000])));
      clockMs += 1_000_000;
      expect(members.size).toBeLessThanOrEqual(USERS.length);
    }
    expect(await host.reach(QUOTAS, await store.head(), 20_000)).toBe(true);
    for (const { world } of worlds) await compareHistory(world, clockMs);
    expect(written).toBeGreaterThan(COMMANDS / 4);
    expect(await host.listParked()).toEqual([]);
    const compared = await compareWithFold(quotasProjection, { database: pool, store, codec });
    expect(compared?.tables.filter(({ equal }) => !equal)).toEqual([]);
    expect(compared?.tables.filter(({ liveRows }) => liveRows === 0)).toEqual([]);

    async function changeMember(world: World, userId: string, atMs: number): Promise<void> {
      const { projectId, members } = world;
      const stream = projectStream(projectId);
      const member = members.get(userId);
      if (member === undefined) {
        const displayName = random() < 0.5 ? `Person ${userId}` : null;
        members.set(userId, { role: 'tenant_user', displayName });
        const added = { type: 'MemberAdded' as const, data: { userId, role: 'tenant_user' as const } };
        const person = { private: { person: { displayName, email: null } } };
        await world.write(stream, atMs, [displayName === null ? added : { ...added, ...person }]);
      } else if (random() < 0.5) {
        members.set(userId, { ...member, role: 'tenant_admin' });
        const to = 'tenant_admin' as const;
        await world.write(stream, atMs, [{ type: 'MemberRoleChanged', data: { userId, from: member.role, to } }]);
      } else {
        members.delete(userId);
        await world.write(stream, atMs, [{ type: 'MemberRemoved', data: { userId, disposition: 'orphan', to: null } }]);
      }
    }
  });
});
