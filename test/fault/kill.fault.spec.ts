import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { connectionOfRunning } from '#libs/postgres';
import { aProject, seededRandom, StewardProcess } from '#libs/testing';
import { processTree } from '../../libs/testing/src/process-tree.js';

/**
 * `kill -9` at random moments under load. This process keeps the journal; Steward and its PostgreSQL are the victims.
 * STEWARD_FAULT_SIZE=full runs the 20 rounds and 2,000 commands of the release check.
 */
const full = process.env['STEWARD_FAULT_SIZE'] === 'full';
const ROUNDS = full ? 20 : 4;
/** Sent in every round before anything dies; how many more come before it does is chance. */
const COMMANDS_PER_ROUND = 100;
const SENT_MIN = ROUNDS * COMMANDS_PER_ROUND;
const ACKNOWLEDGED_MIN = full ? 1_500 : 200;
const CALLERS = 8;

type Outcome = 'acknowledged' | 'unknown' | 'refused';

interface Journalled {
  readonly marker: string;
  readonly outcome: Outcome;
  readonly position: string | null;
}

const { random, seed } = seededRandom();

/** One command; an answer that never came, or a 503, leaves its outcome unknown. */
async function command(steward: StewardProcess, marker: string, keyIds: string[]): Promise<Journalled> {
  const target = random() < 0.5 ? undefined : keyIds[Math.floor(random() * keyIds.length)];
  const [method, path, body] =
    target === undefined
      ? ['POST', '/v1/projects/GOV112345/keys', { name: marker, owner: { type: 'user', id: 'alice' } }]
      : ['PATCH', `/v1/keys/${target}`, { description: marker }];
  try {
    const answer = await steward.call<{ key?: { id: string } }>(method, path, {
      token: adminToken,
      body,
      headers: { 'idempotency-key': marker },
    });
    if (answer.status >= 500) return { marker, outcome: 'unknown', position: null };
    if (answer.status >= 400) return { marker, outcome: 'refused', position: null };
    if (answer.body.key !== undefined) keyIds.push(answer.body.key.id);
    return { marker, outcome: 'acknowledged', position: answer.headers.get('steward-position') };
  } catch {
    return { marker, outcome: 'unknown', position: null };
  }
}

let adminToken = '';

async function storedMarkers(dataDir: string): Promise<Map<string, string[]>> {
  const config = await connectionOfRunning(dataDir);
  if (config === undefined) throw new Error('The embedded PostgreSQL does not run.');
  const client = new pg.Client(config.programConfig);
  await client.connect();
  try {
    const { rows } = await client.query<{ position: string; envelope: string }>(
      "select lpad(position::text, 20, '0') as position, envelope from ledger.events order by position",
    );
    const found = new Map<string, string[]>();
    for (const { position, envelope } of rows) {
      // A KeyUpdated also names what was there before, so only what it wrote counts.
      const { data } = JSON.parse(envelope) as { data: { name?: string | null; changes?: { to: unknown }[] } };
      for (const written of [data.name, ...(data.changes ?? []).map(({ to }) => to)])
        if (typeof written === 'string' && written.startsWith('marker-'))
          found.set(written, [...(found.get(written) ?? []), position]);
    }
    return found;
  } finally {
    await client.end();
  }
}

describe(`kill -9, seed ${seed}`, () => {
  it('loses no acknowledged event, writes none twice, and an unknown outcome is there once or not at all', async () => {
    let steward = await StewardProcess.start();
    const { dataDir } = steward;
    const journal: Journalled[] = [];
    try {
      await aProject(steward);
      adminToken = readFileSync(join(dataDir, 'bootstrap-admin.key'), 'utf8').trim();
      const keyIds: string[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        let sent = 0;
        let dead = false;
        const callers = Array.from({ length: CALLERS }, async () => {
          while (!dead) {
            sent += 1;
            journal.push(await command(steward, `marker-${round}-${sent}`, keyIds));
          }
        });
        const dieAfter = COMMANDS_PER_ROUND * (1 + 0.6 * random());
        while (sent < dieAfter) await sleep(1);
        // Odd rounds take PostgreSQL and all its children along.
        const victims = round % 2 === 1 ? await processTree(dataDir, steward.pid) : [steward.pid];
        for (const pid of victims)
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

      const stored = await storedMarkers(dataDir);
      const lost = journal.filter(({ marker, outcome }) => outcome === 'acknowledged' && !stored.has(marker));
      const twice = [...stored].filter(([, positions]) => positions.length > 1);
      const moved = journal.filter(
        ({ marker, outcome, position }) => outcome === 'acknowledged' && !stored.get(marker)?.includes(position ?? ''),
      );
      const ghosts = journal.filter(({ marker, outcome }) => outcome === 'refused' && stored.has(marker));
      const ended = (as: Outcome): number => journal.filter(({ outcome }) => outcome === as).length;
      const [acknowledged, unknown, refused] = [ended('acknowledged'), ended('unknown'), ended('refused')];
      console.log(
        `seed ${seed}: ${ROUNDS} rounds, ${journal.length} sent, ${acknowledged} acknowledged, ${unknown} unknown, ` +
          `${refused} refused; ${stored.size} stored, ${lost.length} lost, ${twice.length} twice, ` +
          `${moved.length} moved, ${ghosts.length} ghosts`,
      );
      expect({ lost, twice, moved, ghosts }).toEqual({ lost: [], twice: [], moved: [], ghosts: [] });
      expect(journal.length).toBeGreaterThanOrEqual(SENT_MIN);
      expect(acknowledged).toBeGreaterThanOrEqual(ACKNOWLEDGED_MIN);
      expect(unknown).toBeGreaterThan(0);
    } finally {
      await steward.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  }, 1_800_000);
});
