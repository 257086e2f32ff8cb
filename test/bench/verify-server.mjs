// Steward's own HTTP application with every hook, limit and check that it ships with; only the keys were put into the
// index at once instead of being followed from a log.
import { FixedClock } from '../../dist/libs/eventsourcing/src/index.js';
import * as eventsourcing from '../../dist/libs/eventsourcing/src/index.js';
import * as platform from '../../dist/libs/platform/src/index.js';
import { FilePeppers } from '../../dist/libs/postgres/src/index.js';
import { eventTypes } from '../../dist/libs/contracts/src/index.js';
import { digestOf } from '../../dist/services/keys/src/key-secret.js';
import { KeyUsageSink } from '../../dist/services/keys/src/usage/key-usage-sink.js';
import { VerificationIndex } from '../../dist/services/keys/src/verification/verification-index.js';
import { VerificationModule } from '../../dist/services/keys/src/verification/verification.module.js';
import { CALLER, keyIdOf, projectOf, tenantOf, tokenOf, usedEvery } from './verify-keys.mjs';
import { fill } from './verify-fill.mjs';

const [count, used] = process.argv.slice(2).map(Number);
const { Codec, IndexFollower, MemoryDataKeys, MemoryEventStore } = eventsourcing;
const clock = new FixedClock(Date.now());
const store = new MemoryEventStore(clock);
const codec = new Codec(eventTypes, new MemoryDataKeys());
const follower = new IndexFollower({ store, codec });
const peppers = new FilePeppers('1', new Map([['1', Buffer.alloc(32, 1)]]));
const logger = platform.createLogger({ level: 'info' });

let commands = 0;
async function append(stream, tenantId, projectId, ...events) {
  const commandId = `00000000-0000-4000-8000-${String((commands += 1)).padStart(12, '0')}`;
  const prepared = await codec.encode({
    stream,
    tenantId,
    projectId,
    lastRevision: 0,
    lastChainHash: null,
    recordedAt: clock.now(),
    context: {
      commandId,
      correlationId: commandId,
      causationId: null,
      requestHash: null,
      actor: { type: 'system', id: 'bench', via: 'internal' },
      actorPart: null,
    },
    events,
  });
  await store.append({ stream, expectedRevision: 0, events: prepared });
}

const globals = [
  [
    platform.CONFIG,
    { verifyStalenessMaxMs: 30_000, authFailuresPerMinute: 20, trustedProxies: [], tls: undefined, oidcIssuers: [] },
  ],
  [platform.LOGGER, logger],
  [platform.CLOCK, { nowMs: () => Date.now(), now: () => new Date().toISOString() }],
  [platform.INSTALLATION_KEY, Buffer.alloc(32, 7)],
  [platform.PEPPERS, peppers],
  [platform.POOL, { query: () => Promise.resolve({ rows: [] }) }],
  [platform.PositionGate, { isPosition: () => true, checkPosition: () => Promise.resolve() }],
  [IndexFollower, follower],
  [KeyUsageSink, { take: () => Promise.resolve(), close: () => Promise.resolve() }],
];
const providers = globals.map(([provide, useValue]) => ({ provide, useValue }));
const benchGlobals = {
  module: class BenchGlobals {},
  global: true,
  providers,
  exports: globals.map(([token]) => token),
};
const root = {
  module: class Bench {},
  imports: [benchGlobals, platform.TransportModule, platform.AuthModule, VerificationModule],
};

for (let n = 0; n < 50; n += 1)
  await append(`tenant-${tenantOf(n)}`, tenantOf(n), null, { type: 'TenantCreated', data: { name: 'Bench' } });
const members = new Map();
for (let n = 0; n < count; n += usedEvery(count, used))
  members.set(projectOf(n), [...(members.get(projectOf(n)) ?? []), n]);
const { ownerOf } = await import('./verify-keys.mjs');
for (const [projectId, numbers] of members) {
  const [first] = numbers;
  const users = [...new Set(numbers.map(ownerOf))];
  await append(
    `project-${projectId}`,
    tenantOf(first),
    projectId,
    { type: 'ProjectCreated', data: { name: 'Bench' } },
    ...users.map((userId) => ({ type: 'MemberAdded', data: { userId, role: 'tenant_user' } })),
  );
}
await append('principal-gateway', null, null, {
  type: 'PrincipalRegistered',
  data: { type: 'service', role: 'service' },
});

const app = await platform.createHttpApplication(root, {
  config: { trustedProxies: [], tls: undefined },
  logger,
});
const index = app.get(VerificationIndex);
const verifierOf = (token) => peppers.hmac('1', digestOf(token));
fill(index, count, used, verifierOf);
index.put({
  attributes: {
    keyId: keyIdOf(CALLER),
    owner: { type: 'service', id: 'gateway', role: 'service' },
    name: null,
    description: null,
    labels: {},
    metadata: {},
    environment: 'live',
    scopes: null,
    audiences: [],
    ipAllow: [],
    ipDeny: [],
    notBefore: null,
    expiresAt: null,
    canManageKeys: false,
  },
  tenantId: null,
  projectId: null,
  imported: false,
  createdAtMs: Date.now(),
  pepperVersion: '1',
  verifier: verifierOf(tokenOf(CALLER)),
  revision: 1,
});
follower.start();
await follower.ready;
await app.listen(0, '127.0.0.1');
process.send({ port: app.getHttpServer().address().port });
process.on('disconnect', () => process.exit(0));
