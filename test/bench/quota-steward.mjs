// Steward's own writer of one project, over the event store on PostgreSQL: the service core without HTTP.
import { projectQuotaStream } from '../../dist/libs/contracts/src/index.js';
import { commandIdOf } from '../../dist/libs/eventsourcing/src/index.js';
import { defaultCatalogue } from '../../dist/services/quotas/src/domain/catalogue.js';
import { ProjectWriter } from '../../dist/services/quotas/src/writer/project-writer.js';
import { WRITER_LIMITS } from '../../dist/services/quotas/src/writer/writer-limits.js';
import { items, TTL_SECONDS } from './quota-work.mjs';

const PAGE_EVENTS = 2_000;
const standing = { member: 'active', services: new Set(['container-compute']) };
const stepOf = { QuotaReserved: 'reserve', ReservationCommitted: 'commit', AllocationReleased: 'release' };

/** As a request with an Idempotency-Key has it, so that the ledger remembers the command. */
function contextOf(projectId, step, id) {
  const commandId = commandIdOf(['bench', projectId, step, id]);
  const actor = { type: 'service', id: 'bench', via: 'internal' };
  return { commandId, correlationId: commandId, causationId: null, requestHash: null, actor, actorPart: null };
}

function commandOf(step, { id, userId, requestHash }) {
  switch (step) {
    case 'reserve': {
      const wish = { id, userId, items, ttlSeconds: TTL_SECONDS, mode: 'ENFORCE', resourceRef: null, labels: {} };
      return { type: 'Reserve', ...wish, bodyHash: requestHash, standing };
    }
    case 'commit':
      return { type: 'CommitReservation', id, items: null, resourceRef: null, onExpired: 'fail', standing };
    case 'release':
      return { type: 'ReleaseAllocation', by: { id } };
  }
}

export async function stewardProject(ledger, projectId, room) {
  const writer = new ProjectWriter({
    ledger,
    scope: { tenantId: 'acme', projectId },
    catalogue: () => defaultCatalogue,
    limits: WRITER_LIMITS,
  });
  for (const { service, resource, amount } of items)
    for (const [type, fitting] of [
      ['project', room.project],
      ['memberDefault', room.member],
    ]) {
      const wish = { scope: { type, userId: null }, service, resource, limit: amount * fitting, soft: null };
      const context = contextOf(projectId, type, resource);
      await writer.run({ type: 'SetQuota', ...wish, force: false }, context);
    }
  return {
    async change(step, wish) {
      try {
        await writer.run(commandOf(step, wish), contextOf(projectId, step, wish.id));
        return true;
      } catch (error) {
        if (error.code === 'QUOTA_EXCEEDED') return false;
        throw error;
      }
    },
    async history() {
      const history = [];
      const users = new Map();
      for (let from = 1; ; from += PAGE_EVENTS) {
        const page = await ledger.store.readStream(projectQuotaStream(projectId), { from, limit: PAGE_EVENTS });
        for (const stored of page) {
          const { type, data } = ledger.codec.decode(stored);
          const id = data.reservationId ?? data.allocationId;
          if (type === 'QuotaReserved') users.set(id, data.userId);
          if (stepOf[type] !== undefined) history.push({ step: stepOf[type], userId: users.get(id) });
        }
        if (page.length < PAGE_EVENTS) return history;
      }
    },
    close: () => writer.close(),
  };
}
