import type { RequestContext } from '#libs/platform';
import type { LimitChange, PolicyChange } from './quota.commands.js';
import { limitView, type LimitView, type QuotaPolicyView } from './quotas.views.js';
import type { QuotaOutcome } from './writer/mailbox.js';

/** A limit's ETag is the revision of the event that last changed it, for the stream's own moves with every reservation. */
export function answeredLimit(
  context: RequestContext,
  { answer, position }: QuotaOutcome<LimitChange['type']>,
): LimitView {
  context.answered({ revision: answer.revision, position });
  return limitView(answer);
}

export function answeredPolicy(
  context: RequestContext,
  { answer, position }: QuotaOutcome<PolicyChange['type']>,
): QuotaPolicyView {
  const { overcommit, frozen, closed, revision } = answer;
  context.answered({ revision, position });
  return { overcommit, frozen, closed };
}

/** 201 where it was made now, 200 where it only would be, or was made before. */
export function answeredMade(
  context: RequestContext,
  { answer, position }: QuotaOutcome<'Reserve' | 'Allocate'>,
): void {
  context.answered({ position, status: answer.kind === 'check' || answer.replayed ? 200 : 201 });
}
