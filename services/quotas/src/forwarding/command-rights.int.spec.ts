import { randomUUID } from 'node:crypto';
import { v7 as uuidV7 } from 'uuid';
import type { CommandContext } from '#libs/eventsourcing';
import { InProcessSteward } from '../../../../libs/testing/src/in-process-steward.js';
import { aQuotaWorld, gpu } from '../testing/quota-world.js';
import { QuotaLedgers } from '../writer/quota-ledgers.js';
import { CommandRights } from './command-rights.js';

let steward: InProcessSteward;
beforeAll(async () => {
  steward = await InProcessSteward.start();
  await aQuotaWorld({ tokens: steward.tokens, made: (...request) => steward.made(...request) });
  await steward.made('alice', 'PUT', '/v1/projects/GOV1/members/carol/services/container-compute');
});
afterAll(() => steward.stop());

const allocations = '/v1/projects/GOV1/allocations';
const allocate = async (userId: string): Promise<string> => {
  const id = uuidV7();
  await steward.made('compute', 'POST', allocations, { id, userId, items: gpu(1), resourceRef: 'vm-1' });
  return id;
};

function context(): CommandContext {
  const commandId = randomUUID();
  return {
    commandId,
    correlationId: commandId,
    causationId: null,
    requestHash: null,
    actor: { type: 'service', id: 'compute', via: 'internal' },
    actorPart: null,
  };
}

it('a command that was forwarded is done to no other than the one whom its rights were asked for', async () => {
  const [rights, ledgers] = [CommandRights, QuotaLedgers].map((token) => steward.app.get(token, { strict: false })) as [
    CommandRights,
    QuotaLedgers,
  ];
  const ofBob = await allocate('bob');
  const release = { type: 'ReleaseAllocation', by: { resourceRef: 'vm-1' } } as const;
  const forwarded = { projectId: 'GOV1', command: release, context: context() };
  const { command, hold } = await rights.permitted(forwarded, null);
  await steward.made('compute', 'DELETE', `${allocations}/${ofBob}`);
  await allocate('carol');
  await expect(ledgers.runHere('GOV1', command, forwarded.context, { hold })).rejects.toMatchObject({
    code: 'OVERLOADED',
  });
  const again = await rights.permitted(forwarded, null);
  const { answer } = await ledgers.runHere('GOV1', again.command, forwarded.context, again);
  expect(answer).toMatchObject({ status: 'released', userId: 'carol' });
});
