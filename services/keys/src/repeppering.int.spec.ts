import { createHash } from 'node:crypto';
import { keyStream } from '#libs/contracts';
import { createLogger } from '#libs/platform';
import { FilePeppers } from '#libs/postgres';
import { sampleEvents } from '#libs/testing';
import { Repeppering } from './repeppering.js';
import { type KeyCommands, startKeyCommands } from './testing/key-commands.js';
import { type KeyLedger, startKeyLedger } from './testing/key-ledger.js';

const keyId = 'key_Repeppered000001';
const digest = createHash('sha256').update('a token').digest();
const peppers = new FilePeppers(
  '2',
  new Map([
    ['1', Buffer.alloc(32, 1)],
    ['2', Buffer.alloc(32, 2)],
  ]),
);
const attributes = sampleEvents.find(({ event }) => event.type === 'KeyCreated')?.event.data as object;

let ledger: KeyLedger;
let commands: KeyCommands;

beforeAll(async () => {
  ledger = await startKeyLedger();
  const secret = { version: 1, pepperVersion: '1', madeBy: 'steward' };
  const created = { type: 'KeyCreated', data: { ...attributes, keyId, secret } };
  await ledger.write(keyStream(keyId), { tenantId: 'acme', projectId: 'GOV1' }, [created]);
  commands = await startKeyCommands(ledger);
});
afterAll(async () => {
  await commands.close();
  await ledger.stop();
});

it('makes a verifier under the current pepper once, however often and by whomever it is offered', async () => {
  for (let process = 0; process < 2; process += 1) {
    const repeppering = new Repeppering(commands.bus, commands.directory, peppers, createLogger({ level: 'silent' }));
    for (let use = 0; use < 3; use += 1) repeppering.offer({ keyId, version: 1, fromPepper: '1', digest });
    // What has begun is finished before the process ends.
    await repeppering.onApplicationShutdown();
    repeppering.offer({ keyId, version: 1, fromPepper: '1', digest });
  }
  const stored = await ledger.store.readStream(keyStream(keyId));
  expect(stored.map(({ type }) => type)).toEqual(['KeyCreated', 'KeyVerifierUpgraded']);
  const upgraded = stored.slice(1);
  expect(JSON.parse(upgraded[0]?.envelope ?? '')).toMatchObject({ data: { version: 1, from: '1', to: '2' } });
  const opened = await ledger.codec.openParts(upgraded, 'verifier');
  expect([...opened.values()]).toEqual([{ value: { hmac: peppers.hmac('2', digest)?.toString('hex') } }]);
});
