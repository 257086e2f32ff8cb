import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as uuidV7 } from 'uuid';
import { seededRandom } from '#libs/testing';
import { codeOf, TwoStewards, writerFigures, type WriterFigures } from './two-stewards.js';

/**
 * Two whole processes write the ledger of one project, neither knowing of the other, and one of them is killed in the
 * middle. STEWARD_FAULT_SIZE=full runs the 20 rounds of the release check.
 */
const ROUNDS = process.env['STEWARD_FAULT_SIZE'] === 'full' ? 20 : 2;
const CLIENTS = 256;
const LIMIT = 1_000;
const WISHES = 1_300;
const REPEATS_MAX = 200;
const MEMBERS = ['ada', 'ben', 'cleo', 'dan'];

const { random, seed } = seededRandom();

interface Told {
  readonly granted: string[];
  denied: number;
  /** How often a wish was sent again because nobody had said what became of it. */
  repeats: number;
}

/** As the caller of a platform service: the same id until somebody says what became of it. */
async function ask(pair: TwoStewards, token: string, path: string, client: number, told: Told): Promise<void> {
  const id = uuidV7();
  const body = {
    id,
    userId: MEMBERS[client % MEMBERS.length],
    items: [{ service: 'container-compute', resource: 'gpu', amount: 1 }],
  };
  for (let repeat = 0; repeat < REPEATS_MAX; repeat += 1) {
    const { status, code } = await codeOf(pair.both[((client + repeat) % 2) as 0 | 1], token, path, body);
    if (status === 200 || status === 201) {
      told.granted.push(id);
      return;
    }
    if (code === 'QUOTA_EXCEEDED') {
      told.denied += 1;
      return;
    }
    if (status !== 0 && status !== 503) throw new Error(`Unexpected: ${status} ${code ?? ''}`);
    told.repeats += 1;
    await sleep(5 + random() * 20);
  }
  throw new Error('A wish was never answered.');
}

/** Asked all the time, so that a kill need not wait for an answer: what is told of the victim, it did at least. */
function followFigures(pair: TwoStewards, before: readonly WriterFigures[]): { stop(): readonly WriterFigures[] } {
  const ending = new AbortController();
  const isEnded = (): boolean => ending.signal.aborted;
  let last: readonly WriterFigures[] = [];
  const follow = async (): Promise<void> => {
    while (!isEnded()) {
      const now = await Promise.all(pair.both.map(writerFigures));
      if (!isEnded()) last = now.map((figures, n) => less(figures, before[n] as WriterFigures));
      await sleep(10);
    }
  };
  // The one that is killed answers no more.
  follow().catch(() => undefined);
  return {
    stop: () => {
      ending.abort();
      return last;
    },
  };
}

const less = (a: WriterFigures, b: WriterFigures): WriterFigures => ({
  batches: a.batches - b.batches,
  commands: a.commands - b.commands,
  conflicts: a.conflicts - b.conflicts,
});

describe('two writer processes on one project', () => {
  let pair: TwoStewards;
  beforeAll(async () => {
    pair = await TwoStewards.start();
    await pair.made('POST', '/v1/tenants', { id: 'acme', name: 'Acme' });
  });
  afterAll(() => pair.stop());

  /** A process that has just begun would hardly come to write beside one that runs hot. */
  async function warmUp(token: string, path: string): Promise<void> {
    const body = { userId: MEMBERS[0], items: [{ service: 'container-compute', resource: 'gpu', amount: 1 }] };
    const looks = Array.from({ length: 200 }, (_, n) =>
      codeOf(pair.both[(n % 2) as 0 | 1], token, path, { ...body, id: uuidV7(), mode: 'CHECK_ONLY' }),
    );
    const statuses = new Set((await Promise.all(looks)).map(({ status }) => status));
    expect(statuses).toEqual(new Set([200]));
  }

  async function round(projectId: string, victim: 0 | 1): Promise<{ isContended: boolean; line: string }> {
    await pair.aProject(projectId, MEMBERS);
    await pair.made('PUT', `/v1/projects/${projectId}/quotas/container-compute/gpu`, { limit: LIMIT });
    const token = pair.both[0].adminToken;
    const path = `/v1/projects/${projectId}/reservations`;
    await warmUp(token, path);
    const before = await Promise.all(pair.both.map(writerFigures));
    const told: Told = { granted: [], denied: 0, repeats: 0 };
    let sent = 0;
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      while (sent < WISHES) {
        sent += 1;
        await ask(pair, token, path, client, told);
      }
    });
    const figures = followFigures(pair, before);
    const killAt = LIMIT * (0.5 + 0.2 * random());
    while (told.granted.length < killAt) await sleep(1);
    const whileBoth = figures.stop();
    const survivor = victim === 0 ? 1 : 0;
    const grantedAtKill = told.granted.length;
    pair.kill(victim);
    await Promise.all(clients);
    const ofSurvivor = less(await writerFigures(pair.both[survivor]), before[survivor] as WriterFigures);

    const ledger = await pair.ledgerOf(projectId);
    const reserved = ledger.filter(({ type }) => type === 'QuotaReserved').map(({ data }) => data['reservationId']);
    expect(reserved).toHaveLength(LIMIT);
    expect(new Set(reserved).size).toBe(LIMIT);
    expect(new Set(told.granted)).toEqual(new Set(reserved));
    expect(told).toMatchObject({ denied: WISHES - LIMIT });
    expect(grantedAtKill).toBeLessThan(LIMIT);
    const ofVictim = whileBoth[victim] as WriterFigures;
    const conflicts = ofVictim.conflicts + ofSurvivor.conflicts;
    const both = [ofVictim.batches, ofSurvivor.batches] as const;
    await pair.restart(victim);
    return {
      isContended: conflicts >= 5 && Math.min(...both) >= (both[0] + both[1]) / 10,
      line:
        `${both[0]} batches of the one killed at ${grantedAtKill} granted, ${both[1]} of the other, ` +
        `${conflicts} conflicts, ${told.repeats} asked again`,
    };
  }

  it(`grants exactly ${LIMIT} of ${LIMIT}, none twice, with a writer killed in the middle, ${ROUNDS} times`, async () => {
    const lines: string[] = [];
    let contended = 0;
    try {
      // All must hold in every round; one in which the other process hardly came to write proves too little to be counted.
      for (let n = 0; contended < ROUNDS && n < 2 * ROUNDS + 4; n += 1) {
        const { isContended, line } = await round(`HOT${n}`, (n % 2) as 0 | 1);
        lines.push(isContended ? line : `not counted: ${line}`);
        if (isContended) contended += 1;
      }
    } finally {
      console.log([`seed ${seed}`, ...lines].join('\n'));
    }
    expect(contended).toBe(ROUNDS);
  }, 1_800_000);
});
