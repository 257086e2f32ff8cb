import { type IncomingMessage, request } from 'node:http';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { subjectStream } from '#libs/contracts';
import type { StoredEvent } from '#libs/eventsourcing';
import { Readiness } from '#libs/platform';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import { aKeyWorld, type KeyWorld, user } from '../../keys/src/testing/key-world.js';

interface Told {
  readonly position: string;
  readonly storedAt: string;
  readonly stream: string;
  readonly revision: number;
  readonly type: string;
  readonly tenantId: string | null;
  readonly projectId: string | null;
  readonly correlationId: string;
  readonly actor: { readonly type: string; readonly id: string };
  readonly private: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly raw?: string;
}

let steward: InProcessSteward;
let world: KeyWorld;
/** The streams of bob's keys in GOV1, as the test made them. */
const streamsOfBob = new Set<string>();
let keyOfBob: string;

const streamOf = (keyId: string): string => keyId.replace('key_', 'key-');

async function principalKey(id: string, principal: Record<string, unknown>, key: object = {}): Promise<void> {
  await steward.made('root', 'PUT', `/v1/principals/${id}`, principal);
  const made = await steward.made('root', 'POST', `/v1/principals/${id}/keys`, key);
  steward.tokens[id] = (made.body as { secret: string }).secret;
}

beforeAll(async () => {
  steward = await InProcessSteward.start();
  world = await aKeyWorld(steward);
  await principalKey('olga', { type: 'user', role: 'tenant_owner', tenantId: 'acme' });
  await principalKey('ada', { type: 'user', role: 'auditor', tenantId: 'acme' });
  await principalKey('argus', { type: 'user', role: 'auditor' });
  await principalKey('narrow', { type: 'user', role: 'auditor' }, { scopes: ['steward:audit:read'] });
  await principalKey('compute', { type: 'service', role: 'service' });
  const { key } = await world.create('alice', { owner: user('bob'), name: 'by alice' });
  keyOfBob = key.id;
  await steward.made('bob', 'PATCH', `/v1/keys/${key.id}`, { name: 'by bob' });
  await steward.made('alice', 'PUT', '/v1/projects/GOV1/members/carol', { role: 'tenant_user', displayName: 'Carol' });
  await world.create('alice', {});
  const gone = await world.create('bob', {});
  await steward.made('bob', 'DELETE', `/v1/keys/${gone.key.id}`);
  await world.create('root', { owner: user('eve') }, 'X1');
  for (const id of [key.id, gone.key.id, `key_${(steward.tokens['bob'] ?? '').slice(9, 25)}`])
    streamsOfBob.add(streamOf(id));
});
afterAll(() => steward.stop());

/** Everything by following the cursors. */
async function pages(who: string, query = '', limit = 7): Promise<Told[]> {
  const events: Told[] = [];
  for (let cursor = ''; ;) {
    const answer = await steward.call(who, 'GET', `/v1/audit/events?limit=${limit}${query}${cursor}`);
    expect(answer.status).toBe(200);
    const { data, page } = answer.body as { data: Told[]; page: { nextCursor: string | null; hasMore: boolean } };
    events.push(...data);
    expect(page.hasMore).toBe(page.nextCursor !== null);
    if (page.nextCursor === null) return events;
    cursor = `&cursor=${page.nextCursor}`;
  }
}

async function ask(who: string, query: string): Promise<IncomingMessage> {
  const url = await steward.app.getUrl();
  return new Promise((resolve, reject) => {
    request(`${url}/v1/audit/events?${query}`, {
      headers: { authorization: `Bearer ${steward.tokens[who] ?? ''}`, accept: 'application/x-ndjson' },
    })
      .on('response', resolve)
      .on('error', reject)
      .end();
  });
}

async function ndjson(who: string, query = ''): Promise<Told[]> {
  const answer = await ask(who, query);
  expect(answer.statusCode).toBe(200);
  expect(answer.headers['content-type']).toContain('application/x-ndjson');
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk as string;
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Told);
}

const nowhere = (): Writable =>
  new Writable({
    write: (_chunk, _encoding, taken) => {
      taken();
    },
  });

const positions = (events: readonly { readonly position: string }[]): string[] => events.map((one) => one.position);

async function everything(): Promise<readonly StoredEvent[]> {
  return (await steward.storage.store.readAll({ limit: 10_000 })).events;
}

describe('who sees what of the history', () => {
  const readers: [string, (event: StoredEvent) => boolean][] = [
    ['root', () => true],
    ['argus', () => true],
    ['ada', ({ tenantId }) => tenantId === 'acme'],
    ['olga', ({ tenantId }) => tenantId === 'acme'],
    ['alice', ({ projectId }) => projectId === 'GOV1'],
    ['bob', ({ stream }) => streamsOfBob.has(stream)],
    ['eve', ({ projectId }) => projectId === 'X1'],
  ];

  it.each(readers)('%s sees these events and no others, in pages and as NDJSON', async (who, sees) => {
    const expected = positions((await everything()).filter(sees));
    expect(expected.length).toBeGreaterThan(3);
    expect(positions(await pages(who))).toEqual(expected);
    expect(positions(await ndjson(who))).toEqual(expected);
  });

  it('a service sees none of it', async () => {
    expect(await steward.call('compute', 'GET', '/v1/audit/events')).toMatchObject({
      status: 403,
      body: { code: 'FORBIDDEN' },
    });
    expect((await ask('compute', '')).statusCode).toBe(403);
  });

  it.each([
    ['alice', 'tenantId=other', 404],
    ['alice', 'projectId=X1', 404],
    ['alice', 'projectId=GOV2', 403],
    ['bob', 'projectId=GOV2', 403],
    ['ada', 'tenantId=other', 404],
    ['ada', 'projectId=X1', 404],
    ['argus', 'tenantId=nowhere', 404],
    ['argus', 'projectId=GOV2', 200],
    ['bob', 'tenantId=acme', 200],
  ])('%s with %s: %i', async (who, query, status) => {
    expect((await steward.call(who, 'GET', `/v1/audit/events?${query}`)).status).toBe(status);
    expect((await ask(who, query)).statusCode).toBe(status);
  });

  it('the key of another is no history of one’s own, even by its stream', async () => {
    const { key } = await world.create('alice', {});
    expect(await pages('bob', `&stream=${streamOf(key.id)}`)).toEqual([]);
    await steward.made('alice', 'POST', `/v1/keys/${key.id}/transfer`, { owner: user('bob') });
    expect((await pages('bob', `&stream=${streamOf(key.id)}`)).map(({ type }) => type)).toEqual([
      'KeyCreated',
      'KeyOwnershipTransferred',
    ]);
    streamsOfBob.add(streamOf(key.id));
  });
});

describe('private parts in the history', () => {
  const partsOf = async (who: string, query: string): Promise<Told['private'][]> =>
    (await pages(who, query)).map((event) => event.private);
  const ofBobsKey = (): string => `&stream=${streamOf(keyOfBob)}`;
  const hidden = { hidden: true };

  it('a verifier is shown to nobody', async () => {
    const shown = (await pages('argus')).flatMap(({ private: { verifier } }) =>
      verifier === undefined ? [] : [verifier],
    );
    expect(shown.length).toBeGreaterThan(4);
    expect(shown.every((part) => part['hidden'] === true)).toBe(true);
  });

  it('where somebody acted from is shown to whoever audits the place, and of the own acts to oneself', async () => {
    const opened = expect.objectContaining({ ip: '127.0.0.1' }) as unknown;
    for (const who of ['alice', 'olga', 'ada', 'argus', 'root', 'narrow'])
      expect(await partsOf(who, ofBobsKey())).toEqual([{ verifier: hidden, actor: opened }, { actor: opened }]);
    expect(await partsOf('bob', ofBobsKey())).toEqual([{ verifier: hidden, actor: hidden }, { actor: opened }]);
  });

  it('the name of a member is shown to whoever may read members', async () => {
    const carol = (who: string) => partsOf(who, '&projectId=GOV1&type=MemberAdded&actor=alice');
    for (const who of ['alice', 'olga', 'ada', 'argus', 'root'])
      expect(await carol(who)).toMatchObject([{ person: { displayName: 'Carol', email: null } }]);
    expect(await carol('narrow')).toMatchObject([{ person: hidden }]);
  });

  it('what was erased reads so, and the history goes on', async () => {
    const { dataKeys } = steward.storage;
    await dataKeys.destroy(await dataKeys.standing('user:carol'));
    expect(await partsOf('argus', '&projectId=GOV1&type=MemberAdded&actor=alice')).toMatchObject([
      { person: { erased: true } },
    ]);
  });
});

describe('the filters of the history', () => {
  it('give what filtering everything afterwards would, alone and together', async () => {
    const all = await pages('argus', '', 200);
    const [early, middle, late] = [0.2, 0.5, 0.8].map((part) => all[Math.floor(all.length * part)] as Told) as [
      Told,
      Told,
      Told,
    ];
    const filters: [string, (event: Told) => boolean][] = [
      ['tenantId=acme', (event) => event.tenantId === 'acme'],
      ['projectId=GOV1', (event) => event.projectId === 'GOV1'],
      ['stream=project-GOV1', (event) => event.stream === 'project-GOV1'],
      ['stream=project-GOV', () => false],
      ['type=KeyCreated&type=MemberAdded', (event) => ['KeyCreated', 'MemberAdded'].includes(event.type)],
      ['actor=alice', (event) => event.actor.id === 'alice'],
      ['actor=user:alice', (event) => event.actor.id === 'alice'],
      ['actor=service:alice', () => false],
      ['actor=service:bootstrap-admin', (event) => event.actor.id === 'bootstrap-admin'],
      [`correlationId=${middle.correlationId}`, (event) => event.correlationId === middle.correlationId],
      ['correlationId=00000000-0000-4000-8000-000000000000', () => false],
      [`after=${early.position}`, (event) => event.position > early.position],
      [`until=${late.position}`, (event) => event.position <= late.position],
      [`from=${middle.storedAt}`, (event) => event.storedAt >= middle.storedAt],
      [`to=${middle.storedAt}`, (event) => event.storedAt <= middle.storedAt],
      [`from=${middle.storedAt}&to=${middle.storedAt}`, (event) => event.storedAt === middle.storedAt],
    ];
    const pairs = filters.flatMap(([one, holds], n) =>
      filters
        .slice(n + 1)
        .filter(([other]) => other.split('=')[0] !== one.split('=')[0] && !/^(from|to)=.*&/.test(other))
        .map(([other, alsoHolds]): [string, (event: Told) => boolean] => [
          `${one}&${other}`,
          (event) => holds(event) && alsoHolds(event),
        ]),
    );
    for (const [query, holds] of [...filters, ...pairs]) {
      const expected = positions(all.filter(holds));
      expect([query, positions(await pages('argus', `&${query}`, 50))]).toEqual([query, expected]);
      expect([query, positions(await ndjson('argus', query))]).toEqual([query, expected]);
    }
  });

  it('a cursor belongs to its filters and its reader, and grants nothing', async () => {
    const first = await steward.made('argus', 'GET', '/v1/audit/events?limit=1');
    const cursor = (first.body as { page: { nextCursor: string } }).page.nextCursor;
    for (const [who, query] of [
      ['argus', `type=KeyCreated&cursor=${cursor}`],
      ['ada', `cursor=${cursor}`],
      ['argus', 'cursor=bm9uZQ'],
    ] as const)
      expect((await steward.call(who, 'GET', `/v1/audit/events?${query}`)).body).toMatchObject({
        status: 400,
        code: 'CURSOR_INVALID',
      });
  });

  it.each([
    ['after=1', 'POSITION_UNKNOWN'],
    ['until=99999999999999999999', 'POSITION_UNKNOWN'],
    [`after=${'0'.repeat(10)}9999999999`, 'POSITION_UNKNOWN'],
    ['type=KeyMelted', 'VALIDATION'],
    ['stream=project', 'VALIDATION'],
    ['actor=robot:alice', 'VALIDATION'],
    ['correlationId=all', 'VALIDATION'],
    ['from=yesterday', 'VALIDATION'],
    ['raw=yes', 'VALIDATION'],
    ['surely=unknown', 'VALIDATION'],
  ])('%s is %s', async (query, code) => {
    expect((await steward.call('argus', 'GET', `/v1/audit/events?${query}`)).body).toMatchObject({ code, status: 400 });
    expect((await ask('argus', query)).statusCode).toBe(400);
  });

  it('a page’s own parameters are refused for NDJSON', async () => {
    expect((await ask('argus', 'limit=5')).statusCode).toBe(400);
    expect((await ask('argus', 'cursor=x')).statusCode).toBe(400);
  });

  it('raw has the bytes as they are stored', async () => {
    const stored = new Map((await everything()).map((event) => [event.position, event.envelope]));
    for (const { position, raw } of [...(await pages('argus', '&raw=true', 200)), ...(await ndjson('ada', 'raw=true'))])
      expect(Buffer.from(raw ?? '', 'base64').toString('utf8')).toBe(stored.get(position));
  });

  it('shows at once what was acknowledged', async () => {
    const { key } = await world.create('bob', {});
    streamsOfBob.add(streamOf(key.id));
    expect((await pages('bob', `&stream=${streamOf(key.id)}`)).map(({ type }) => type)).toEqual(['KeyCreated']);
  });
});

describe('a long history as NDJSON', () => {
  const EVENTS = 20_000;
  const stream = subjectStream('nobody');
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const heapBytes = (): number => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };

  beforeAll(async () => {
    const { store, codec, clock } = steward.storage;
    const data = { subjectId: 'nobody', dataKeys: Array.from({ length: 20 }, (_, n) => `user:nobody#${n}`) };
    let lastChainHash: Buffer | null = null;
    for (let revision = 0; revision < EVENTS; revision += 500) {
      const events = await codec.encode({
        tenantId: null,
        projectId: null,
        stream,
        lastRevision: revision,
        lastChainHash,
        recordedAt: clock.now(),
        context: {
          commandId: `00000000-0000-4000-8000-${String(revision).padStart(12, '0')}`,
          correlationId: '00000000-0000-4000-8000-000000000000',
          causationId: null,
          requestHash: null,
          actor: { type: 'system', id: 'test', via: 'internal' },
          actorPart: null,
        },
        events: Array.from({ length: 500 }, () => ({ type: 'SubjectErased', data })),
      });
      await store.append({ stream, expectedRevision: revision, events });
      lastChainHash = events.at(-1)?.chainHash ?? null;
    }
  });

  it('is whole, in flat memory, and appends go on beside a reader that takes nothing', async () => {
    const answer = await ask('argus', `stream=${stream}&raw=true`);
    answer.pause();
    const pausedMs = performance.now();
    await world.create('alice', {});
    expect(performance.now() - pausedMs).toBeLessThan(2_000);

    const before = heapBytes();
    let lines = 0;
    let sizeBytes = 0;
    let most = 0;
    let measuredAt = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      for (const byte of chunk) if (byte === 0x0a) lines += 1;
      if (lines - measuredAt < 2_500) continue;
      measuredAt = lines;
      most = Math.max(most, heapBytes() - before);
    }
    expect(lines).toBe(EVENTS);
    expect(sizeBytes).toBeGreaterThan(30_000_000);
    expect(most).toBeLessThan(8_000_000);
  });

  it('is paged to the end', async () => {
    expect(
      (await pages('argus', `&stream=${stream}&after=${(await everything())[0]?.position ?? ''}`, 200)).length,
    ).toBe(EVENTS);
  });

  it('is broken off, and not ended in order, when the process goes down', async () => {
    const answer = await ask('argus', 'raw=true');
    answer.pause();
    steward.app.get(Readiness).drain();
    await expect(pipeline(answer, nowhere())).rejects.toThrow();
  });
});
