import { keyStream } from '#libs/contracts';
import { createLogger, Metrics } from '#libs/platform';
import { sampleEvents } from '#libs/testing';
import { ExpiryScheduler } from './expiry.scheduler.js';
import { type KeyCommands, startKeyCommands } from './testing/key-commands.js';
import { type KeyLedger, startKeyLedger } from './testing/key-ledger.js';

const T0 = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;
const day = (n: number): string => new Date(T0 + n * DAY_MS).toISOString();
const scope = { tenantId: 'acme', projectId: 'GOV1' };
const attributes = sampleEvents.find(({ event }) => event.type === 'KeyCreated')?.event.data as object;

let ledger: KeyLedger;
const started: KeyCommands[] = [];

/** A scheduler as a process that has just started has one; the test says when it looks, and not its timer. */
async function startScheduler(): Promise<ExpiryScheduler> {
  const commands = await startKeyCommands(ledger);
  started.push(commands);
  const { pool, clock, host } = ledger;
  const logger = createLogger({ level: 'silent' });
  return new ExpiryScheduler(pool, clock, logger, commands.bus, host, commands.facts, new Metrics());
}

const signal = new AbortController().signal;

async function run(scheduler: ExpiryScheduler): Promise<number> {
  await ledger.settled();
  return scheduler.run(signal);
}

async function createKey(keyId: string, expiresAt: string, projectId = 'GOV1'): Promise<void> {
  const secret = { version: 1, pepperVersion: '1', madeBy: 'steward' };
  const data = { ...attributes, keyId, expiresAt, secret };
  await ledger.write(keyStream(keyId), { tenantId: 'acme', projectId }, [{ type: 'KeyCreated', data }]);
}

async function timeEventsOf(keyId: string): Promise<unknown[]> {
  const events = (await ledger.store.readStream(keyStream(keyId))).map((stored) => ledger.codec.decode(stored));
  return events
    .filter(({ type }) => type === 'KeyExpired' || type === 'KeyExpiryWarned')
    .map(({ type, data }) =>
      type === 'KeyExpired'
        ? (data as { expiresAt: string }).expiresAt
        : (data as { thresholdDays: number }).thresholdDays,
    );
}

beforeAll(async () => {
  ledger = await startKeyLedger();
});
afterAll(async () => {
  for (const commands of started) await commands.close();
  await ledger.stop();
});

it('warns exactly once per threshold and expiry across three restarts, and records the expiry at its true instant', async () => {
  const keyId = 'key_Warned0000000001';
  ledger.clock.set(day(0));
  await createKey(keyId, day(40));
  const moments: [number, unknown[]][] = [
    [9, []],
    [10, [30]],
    [33.5, [30, 7]],
    [39.5, [30, 7, 1]],
    [41, [30, 7, 1, day(40)]],
  ];
  for (const [at, expected] of moments) {
    ledger.clock.set(day(at));
    const scheduler = await startScheduler();
    await run(scheduler);
    expect(await timeEventsOf(keyId)).toEqual(expected);
    expect(await run(scheduler)).toBe(0);
  }
  await ledger.write(keyStream(keyId), scope, [
    { type: 'KeyExtended', data: { from: day(40), to: day(61), days: 20 } },
  ]);
  ledger.clock.set(day(60.5));
  await run(await startScheduler());
  // Of 7 and 1, both missed, only the nearest is written; 30 was past when the key was extended.
  expect(await timeEventsOf(keyId)).toEqual([30, 7, 1, day(40), 1]);
});

it('follows the days that the project asks for', async () => {
  const keyId = 'key_Warned0000000002';
  ledger.clock.set(day(100));
  await ledger.write('project-GOV2', { tenantId: 'acme', projectId: 'GOV2' }, [
    { type: 'ProjectCreated', data: { name: 'GOV2' } },
    { type: 'KeyPolicySet', data: { policy: { warnDays: [3] } } },
  ]);
  await createKey(keyId, day(140), 'GOV2');
  ledger.clock.set(day(136.9));
  const scheduler = await startScheduler();
  await run(scheduler);
  expect(await timeEventsOf(keyId)).toEqual([]);
  ledger.clock.set(day(137));
  await run(scheduler);
  expect(await timeEventsOf(keyId)).toEqual([3]);
});

it('writes each event once where two processes look at the same time, and takes more than one piece at a time', async () => {
  ledger.clock.set(day(200));
  const keyIds = Array.from({ length: 620 }, (_, n) => `key_Many${String(n).padStart(12, '0')}`);
  for (const keyId of keyIds) await createKey(keyId, day(210));
  ledger.clock.set(day(211));
  const schedulers = [await startScheduler(), await startScheduler()];
  await ledger.settled();
  await Promise.all(schedulers.map((scheduler) => scheduler.run(signal)));
  for (const keyId of keyIds) expect(await timeEventsOf(keyId)).toEqual([day(210)]);
});
