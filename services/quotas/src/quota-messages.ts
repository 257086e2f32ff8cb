import type { QuotaLimit } from '#libs/contracts';
import { type Page, parseStrictJson, readFields, withoutPosition } from '#libs/platform';
import type { CatalogueResourceView, CatalogueView } from './catalogue/catalogue.views.js';
import type { AllocationAnswer, CheckAnswer, ReservationAnswer, Violation } from './domain/commands.js';
import { ProjectPath } from './quotas.dto.js';
import {
  allocationView,
  type BulkLimitsView,
  type LimitView,
  type OwnQuotasView,
  type ProjectQuotasView,
  reservationView,
  type RowView,
} from './quotas.views.js';
import type { LimitChangeView } from './read-models/reports.dto.js';
import { type BatchResult, violationsOf } from './reserve-batch.command.js';

/**
 * Between the messages of steward/v1/quotas.proto and the fields of HTTP. A limit, which HTTP writes as an integer or a
 * word, is a message of its own.
 */

export type Fields = Record<string, unknown>;

interface LimitMessage {
  readonly amount?: number;
  readonly unlimited?: boolean;
  readonly inherit?: boolean;
}

const wordOf = ({ amount, unlimited, inherit }: LimitMessage): unknown =>
  amount ?? (unlimited === true ? 'unlimited' : inherit === true ? 'inherit' : undefined);

const limitMessage = (limit: QuotaLimit | 'inherit'): LimitMessage =>
  typeof limit === 'number' ? { amount: limit } : limit === 'unlimited' ? { unlimited: true } : { inherit: true };

const LIMITS = ['limit', 'defaultProjectLimit', 'defaultMemberLimit'];

/** The request as the body, path and query of the HTTP route would be together. */
export function fieldsOf(request: unknown): Fields {
  const fields = { ...(withoutPosition(request) as Fields) };
  for (const name of LIMITS) {
    // The limit of a list is a number as it is.
    const given = fields[name];
    if (typeof given === 'object' && given !== null) fields[name] = wordOf(given);
  }
  // Names that HTTP would refuse in a body are refused here too.
  if (fields['labels'] !== undefined)
    Object.assign(fields, parseStrictJson(Buffer.from(JSON.stringify({ labels: fields['labels'] }))));
  return fields;
}

/** What stands in a message as a list of messages. */
export const listOf = (messages: unknown): Fields[] => (Array.isArray(messages) ? messages.map(fieldsOf) : []);

const rowMessage = ({ limit, available, ...row }: RowView): object => ({
  ...row,
  limit: limitMessage(limit),
  available: limitMessage(available),
});

export const projectQuotasMessage = ({ services, ...view }: ProjectQuotasView): object => ({
  ...view,
  services: services.map(({ service, project, members }) => ({
    service,
    project: project.map(rowMessage),
    members: members.map(({ resources, ...member }) => ({ ...member, resources: resources.map(rowMessage) })),
  })),
});

export const ownQuotasMessage = ({ services, ...view }: OwnQuotasView): object => ({
  ...view,
  services: services.map(({ service, resources }) => ({ service, resources: resources.map(rowMessage) })),
});

export const quotaMessage = ({ limit, effective, ...view }: LimitView): object => ({
  ...view,
  limit: limitMessage(limit),
  effective: limitMessage(effective),
});

export const bulkMessage = ({ results }: BulkLimitsView): object => ({
  results: results.map(({ limit, ...others }) => ({ ...others, limit: limit && quotaMessage(limit) })),
});

export const catalogueResourceMessage = ({
  defaultProjectLimit,
  defaultMemberLimit,
  ...view
}: CatalogueResourceView): object => ({
  ...view,
  defaultProjectLimit: limitMessage(defaultProjectLimit),
  defaultMemberLimit: limitMessage(defaultMemberLimit),
});

export const catalogueMessage = ({ revision, services }: CatalogueView): object => ({
  revision,
  services: services.map(({ service, resources }) => ({ service, resources: resources.map(catalogueResourceMessage) })),
});

const violationMessage = ({ limit, ...violation }: Violation): object => ({
  ...violation,
  limit: limitMessage(limit),
});

const checkMessage = ({ allowed, violations, fits }: CheckAnswer): object => ({
  allowed,
  violations: violations.map(violationMessage),
  fits: limitMessage(fits),
});

export const reserveMessage = (answer: ReservationAnswer | CheckAnswer): object =>
  answer.kind === 'check'
    ? { check: checkMessage(answer) }
    : { reservation: reservationView(answer), replayed: answer.replayed };

export const allocateMessage = (answer: AllocationAnswer | CheckAnswer): object =>
  answer.kind === 'check'
    ? { check: checkMessage(answer) }
    : { allocation: allocationView(answer), replayed: answer.replayed };

export const batchMessage = (results: readonly BatchResult[]): object => ({
  results: results.map((result) => {
    const { id, status } = result;
    if (status === 'done') return { id, status, ...reserveMessage(result.answer) };
    const { code, detail } = result.refusal;
    return { id, status, code, detail, violations: violationsOf(result.refusal).map(violationMessage) };
  }),
});

export const read = <T extends object>(type: new () => T, fields: object): T => readFields(type, fields, 'request');

/** The request's project, and the other fields as those of `type`. */
export function inProject<Body extends object>(
  request: unknown,
  type: new () => Body,
): [projectId: string, body: Body] {
  const { projectId, ...fields } = fieldsOf(request);
  return [read(ProjectPath, { projectId }).projectId, read(type, fields)];
}

/** Who changed which limit: the texts and limits that a message writes in its own way. */
export const limitChangesMessage = ({ data, page }: Page<LimitChangeView>): object => ({
  data: data.map(({ before, after, effective, ...change }) => ({
    ...change,
    before: limitMessage(before),
    after: limitMessage(after),
    effective: effective === null ? undefined : limitMessage(effective),
  })),
  page,
});
