import { keyStream, principalStream, projectStream } from '#libs/contracts';
import { commandIdOf, type RecordedEvent, runCommand } from '#libs/eventsourcing';
import { ReactorHost } from '#libs/postgres';
import { InProcessSteward } from '../../../libs/testing/src/in-process-steward.js';
import { keyDecider } from './domain/key.js';
import { noPolicy } from './domain/key-policy.js';
import { KEY_OFFBOARDING } from './key-offboarding.reactor.js';
import { plainWish } from './key-wish.js';
import { aKeyWorld, type KeyWorld, user } from './testing/key-world.js';

let steward: InProcessSteward;
let world: KeyWorld;
const made: InProcessSteward['made'] = (...request) => steward.made(...request);

beforeAll(async () => {
  steward = await InProcessSteward.start();
  world = await aKeyWorld(steward);
});
afterAll(() => steward.stop());

async function reacted(): Promise<void> {
  const { store } = steward.storage;
  expect(await steward.app.get(ReactorHost).reach(KEY_OFFBOARDING, await store.head(), 10_000)).toBe(true);
}

async function eventsOf(stream: string): Promise<RecordedEvent[]> {
  const { store, codec } = steward.storage;
  return (await store.readStream(stream)).map((stored) => codec.decode(stored));
}

const typesOf = async (keyId: string): Promise<string[]> => (await eventsOf(keyStream(keyId))).map(({ type }) => type);

async function aMember(projectId: string, userId: string): Promise<void> {
  await made('root', 'PUT', `/v1/projects/${projectId}/members/${userId}`, { role: 'tenant_user' });
}

it('a removed member’s keys are refused at once, and revoked exactly once in the chain of the removal', async () => {
  await aMember('GOV1', 'carol');
  await aMember('GOV2', 'carol');
  const keys = [
    await world.create('root', { owner: user('carol') }),
    await world.create('root', { owner: user('carol') }),
  ];
  const elsewhere = await world.create('root', { owner: user('carol') }, 'GOV2');
  const colleague = await world.create('root', { owner: user('bob') });
  const projects = await world.create('root', { owner: { type: 'project', id: 'GOV1' } });

  await made('alice', 'DELETE', '/v1/projects/GOV1/members/carol');
  for (const { secret } of keys) expect(['OWNER_INACTIVE', 'REVOKED']).toContain(await world.verify(secret));
  await reacted();

  const removal = (await eventsOf(projectStream('GOV1'))).at(-1);
  for (const { key, secret } of keys) {
    expect(await world.verify(secret)).toBe('REVOKED');
    expect((await eventsOf(keyStream(key.id))).slice(1)).toMatchObject([
      {
        type: 'KeyRevoked',
        data: { reason: 'offboarded' },
        actor: { type: 'system', id: KEY_OFFBOARDING, via: 'internal' },
        commandId: commandIdOf(['react', KEY_OFFBOARDING, removal?.id, keyStream(key.id)]),
        causationId: removal?.id,
        correlationId: removal?.correlationId,
      },
    ]);
  }
  for (const { secret } of [elsewhere, colleague, projects]) expect(await world.verify(secret)).toBe('VALID');
});

it('whoever joins again has new keys, and never the old ones', async () => {
  await aMember('GOV1', 'dave');
  const old = await world.create('root', { owner: user('dave') });
  const { store } = steward.storage;
  await steward.app.get(ReactorHost).reach(KEY_OFFBOARDING, await store.head(), 10_000);
  await made('root', 'DELETE', '/v1/projects/GOV1/members/dave');
  await aMember('GOV1', 'dave');
  const renewed = await world.create('root', { owner: user('dave') });
  await reacted();
  expect(await world.verify(old.secret)).toBe('REVOKED');
  expect(await world.verify(renewed.secret)).toBe('VALID');
  expect(await typesOf(renewed.key.id)).toEqual(['KeyCreated']);
});

it('a key that was given while its owner was being removed is revoked as the removal’s own', async () => {
  await aMember('GOV1', 'erik');
  await made('root', 'DELETE', '/v1/projects/GOV1/members/erik');
  const removal = (await eventsOf(projectStream('GOV1'))).at(-1);
  const keyId = 'key_Crossing00000001';
  await runCommand(steward.storage.ledger, {
    stream: keyStream(keyId),
    decider: keyDecider,
    command: {
      type: 'CreateKey',
      keyId,
      wish: plainWish,
      secret: { pepperVersion: '1', madeBy: 'steward', hmac: '00'.repeat(32) },
      facts: {
        place: 'open',
        owner: { type: 'user', id: 'erik', role: 'tenant_user' },
        scopesBeyondOwner: [],
        servicesWithheld: [],
        policy: noPolicy,
        counts: { owner: 0, project: 0 },
        caller: null,
      },
    },
    scope: { tenantId: 'acme', projectId: 'GOV1' },
    context: {
      commandId: commandIdOf(['crossing']),
      correlationId: commandIdOf(['crossing']),
      causationId: null,
      requestHash: null,
      actor: { type: 'system', id: 'test', via: 'internal' },
      actorPart: null,
    },
  });
  await reacted();
  expect((await eventsOf(keyStream(keyId))).at(-1)).toMatchObject({
    type: 'KeyRevoked',
    causationId: removal?.id,
    correlationId: removal?.correlationId,
  });
});

it('offboarding revokes the keys of every project of the tenant in one chain', async () => {
  await aMember('GOV1', 'fay');
  await aMember('GOV2', 'fay');
  const keys = [
    await world.create('root', { owner: user('fay') }),
    await world.create('root', { owner: user('fay') }, 'GOV2'),
  ];
  const answer = await made('root', 'POST', '/v1/tenants/acme/users/fay/offboard', { disposition: 'orphan' });
  await reacted();
  const { correlationId } = answer.body as { correlationId: string };
  for (const { key } of keys)
    expect((await eventsOf(keyStream(key.id))).at(-1)).toMatchObject({ type: 'KeyRevoked', correlationId });
});

it('a closed project’s keys are refused at once and revoked, whoever owns them', async () => {
  await made('root', 'POST', '/v1/tenants/acme/projects', { id: 'GOV9', name: 'Short' });
  await aMember('GOV9', 'gil');
  const keys = [
    await world.create('root', { owner: user('gil') }, 'GOV9'),
    await world.create('root', { owner: { type: 'project', id: 'GOV9' } }, 'GOV9'),
  ];
  await made('root', 'POST', '/v1/projects/GOV9/close');
  for (const { secret } of keys) expect(['OWNER_INACTIVE', 'REVOKED']).toContain(await world.verify(secret));
  await reacted();
  const closing = (await eventsOf(projectStream('GOV9'))).at(-1);
  for (const { key } of keys)
    expect((await eventsOf(keyStream(key.id))).slice(1)).toMatchObject([
      { type: 'KeyRevoked', causationId: closing?.id, correlationId: closing?.correlationId },
    ]);
});

it('a removed principal’s keys are revoked, those that it owns in projects too', async () => {
  await made('root', 'PUT', '/v1/principals/runner', { type: 'service', role: 'service' });
  const own = (await made('root', 'POST', '/v1/principals/runner/keys', {})).body as { key: { id: string } };
  const inProject = await world.create('root', { owner: { type: 'service', id: 'runner' } });
  await made('root', 'DELETE', '/v1/principals/runner');
  await reacted();
  const removal = (await eventsOf(principalStream('runner'))).at(-1);
  for (const keyId of [own.key.id, inProject.key.id])
    expect((await eventsOf(keyStream(keyId))).slice(1)).toMatchObject([
      { type: 'KeyRevoked', causationId: removal?.id },
    ]);
});

it('what is revoked, deleted or handed on already is left as it is', async () => {
  await aMember('GOV1', 'hal');
  const [revoked, deleted, handedOn] = [
    await world.create('root', { owner: user('hal') }),
    await world.create('root', { owner: user('hal') }),
    await world.create('root', { owner: user('hal') }),
  ];
  await made('root', 'POST', `/v1/keys/${revoked.key.id}/revoke`, { reason: 'compromised' });
  await made('root', 'DELETE', `/v1/keys/${deleted.key.id}`);
  await made('root', 'POST', `/v1/keys/${handedOn.key.id}/transfer`, { owner: user('bob') });
  await made('root', 'DELETE', '/v1/projects/GOV1/members/hal');
  await reacted();
  expect(await typesOf(revoked.key.id)).toEqual(['KeyCreated', 'KeyRevoked']);
  expect(await typesOf(deleted.key.id)).toEqual(['KeyCreated', 'KeyDeleted']);
  expect(await typesOf(handedOn.key.id)).toEqual(['KeyCreated', 'KeyOwnershipTransferred']);
  expect(await world.verify(handedOn.secret)).toBe('VALID');
});
