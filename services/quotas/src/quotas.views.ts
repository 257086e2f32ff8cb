import type { LimitSource, MemberRole, Overcommit, QuotaItem, QuotaLimit, QuotaScope } from '#libs/contracts';
import type { ErrorCode } from '#libs/contracts';
import type { Position } from '#libs/eventsourcing';
import {
  BooleanField,
  CustomField,
  EnumField,
  type FieldOptions,
  IdField,
  IntegerField,
  ObjectField,
  ObjectListField,
  TextField,
  TextMapField,
  TimeField,
} from '#libs/platform';
import type {
  AllocationAnswer,
  BulkAnswer,
  CheckAnswer,
  LimitAnswer,
  ReservationAnswer,
  SoftWarning,
  Violation,
} from './domain/commands.js';
import type { QuotaRow } from './domain/limits.js';
import { ItemBody, limitSchema } from './quotas.dto.js';

/** What callers are shown of quotas. Amounts are integers in the resource's base unit. */

const REVISION_MAX = Number.MAX_SAFE_INTEGER;
const name = { max: 63 };
const amount = { min: 0, max: Number.MAX_SAFE_INTEGER };
const list = { itemsMax: 10_000 };
export const ShownLimit = (options: FieldOptions = {}): PropertyDecorator =>
  CustomField(() => undefined, limitSchema, options);
export const ShownLimitOr = (other: string, options: FieldOptions = {}): PropertyDecorator =>
  CustomField(
    () => undefined,
    { oneOf: [limitSchema.oneOf[0], { type: 'string', enum: ['unlimited', other] }] },
    options,
  );
const ShownPosition = (): PropertyDecorator => TextField({ max: 64, nullable: true });

export class ScopeView implements QuotaScope {
  @EnumField(['project', 'memberDefault', 'member'])
  type!: QuotaScope['type'];

  @IdField({ nullable: true })
  userId!: string | null;
}

export class RowView implements Omit<QuotaRow, 'service'> {
  @TextField(name)
  resource!: string;

  @TextField({ max: 32 })
  unit!: string;

  @ShownLimit({ description: 'The scope’s own effective limit.' })
  limit!: QuotaLimit;

  @IntegerField({ ...amount, nullable: true })
  soft!: number | null;

  @IntegerField(amount)
  used!: number;

  @IntegerField(amount)
  reserved!: number;

  @ShownLimit({ description: 'What the project’s and the member’s limit leave, the lesser of both.' })
  available!: QuotaLimit;

  @EnumField(['set', 'memberDefault', 'catalogue'])
  source!: LimitSource;

  @BooleanField()
  over!: boolean;

  @IntegerField({ min: 0, max: REVISION_MAX, description: 'Of the event that last changed this limit; its ETag.' })
  revision!: number;
}

export class MemberRowsView {
  @IdField()
  userId!: string;

  @TextField({ max: 100, nullable: true })
  displayName!: string | null;

  @EnumField(['tenant_admin', 'tenant_user'], { nullable: true, description: 'Null of one who left usage behind.' })
  role!: MemberRole | null;

  @ObjectListField(() => RowView, list)
  resources!: RowView[];
}

export class ServiceQuotasView {
  @TextField(name)
  service!: string;

  @ObjectListField(() => RowView, list)
  project!: RowView[];

  @ObjectListField(() => MemberRowsView, list)
  members!: MemberRowsView[];
}

export class ProjectQuotasView {
  @IdField()
  projectId!: string;

  @ShownPosition()
  position!: Position | null;

  @ObjectListField(() => ServiceQuotasView, list)
  services!: ServiceQuotasView[];
}

export class OwnServiceView {
  @TextField(name)
  service!: string;

  @ObjectListField(() => RowView, list)
  resources!: RowView[];
}

export class OwnQuotasView {
  @IdField()
  projectId!: string;

  @IdField()
  userId!: string;

  @ShownPosition()
  position!: Position | null;

  @ObjectListField(() => OwnServiceView, list)
  services!: OwnServiceView[];
}

export class LimitView {
  @ObjectField(() => ScopeView)
  scope!: ScopeView;

  @TextField(name)
  service!: string;

  @TextField(name)
  resource!: string;

  @TextField({ max: 32 })
  unit!: string;

  @ShownLimitOr('inherit')
  limit!: QuotaLimit | 'inherit';

  @ShownLimit()
  effective!: QuotaLimit;

  @EnumField(['set', 'memberDefault', 'catalogue'])
  source!: LimitSource;

  @IntegerField({ ...amount, nullable: true })
  soft!: number | null;

  @BooleanField({ description: 'More is used and reserved than is allowed now.' })
  belowUsage!: boolean;

  @IntegerField({ min: 0, max: REVISION_MAX })
  revision!: number;
}

class LimitResultView {
  @EnumField(['done', 'refused'])
  status!: 'done' | 'refused';

  @ObjectField(() => LimitView, { optional: true })
  limit?: LimitView;

  @TextField({ max: 64, optional: true })
  code?: ErrorCode;

  @TextField({ max: 500, optional: true })
  detail?: string;
}

export class BulkLimitsView {
  @ObjectListField(() => LimitResultView, list)
  results!: LimitResultView[];
}

export class QuotaPolicyView {
  @EnumField(['shared', 'partitioned'])
  overcommit!: Overcommit;

  @EnumField(['hold', 'drain'], { nullable: true })
  frozen!: 'hold' | 'drain' | null;

  @BooleanField()
  closed!: boolean;
}

class CountedView {
  @ObjectField(() => ScopeView)
  scope!: ScopeView;

  @TextField(name)
  service!: string;

  @TextField(name)
  resource!: string;

  @IntegerField(amount)
  used!: number;

  @IntegerField(amount)
  reserved!: number;
}

class WarningView extends CountedView implements SoftWarning {
  @IntegerField(amount)
  soft!: number;
}

class ViolationView extends CountedView implements Violation {
  @ShownLimit()
  limit!: QuotaLimit;

  @IntegerField(amount)
  requested!: number;

  @IntegerField({ ...amount, description: 'What this scope’s limit leaves.' })
  available!: number;
}

export class ReservationView implements Omit<ReservationAnswer, 'kind' | 'replayed'> {
  @TextField({ max: 36 })
  id!: string;

  @EnumField(['open', 'committed', 'released', 'expired'])
  status!: ReservationAnswer['status'];

  @IdField()
  userId!: string;

  @ObjectListField(() => ItemBody, list)
  items!: readonly QuotaItem[];

  @IntegerField(amount)
  ttlSeconds!: number;

  @TimeField()
  expiresAt!: string;

  @EnumField(['ENFORCE', 'FORCE'])
  mode!: ReservationAnswer['mode'];

  @TextField({ max: 256, nullable: true })
  resourceRef!: string | null;

  @TextMapField({ keysMax: 32, key: { max: 63 }, value: { min: 0, max: 255 } })
  labels!: Readonly<Record<string, string>>;

  @TimeField()
  reservedAt!: string;

  @ObjectListField(() => WarningView, list)
  warnings!: ReservationAnswer['warnings'];
}

export class AllocationView implements Omit<AllocationAnswer, 'kind' | 'replayed'> {
  @TextField({ max: 36 })
  id!: string;

  @EnumField(['live', 'released'])
  status!: AllocationAnswer['status'];

  @IdField()
  userId!: string;

  @ObjectListField(() => ItemBody, list)
  items!: readonly QuotaItem[];

  @EnumField(['ENFORCE', 'FORCE'])
  mode!: AllocationAnswer['mode'];

  @TextField({ max: 256, nullable: true })
  resourceRef!: string | null;

  @BooleanField({ description: 'It was committed after its reservation had expired.' })
  late!: boolean;

  @ObjectListField(() => ItemBody, { ...list, description: 'What the commit gave back of its reservation.' })
  returned!: readonly QuotaItem[];

  @ObjectListField(() => WarningView, list)
  warnings!: AllocationAnswer['warnings'];
}

/** The answer to CHECK_ONLY. */
export class CheckView implements Omit<CheckAnswer, 'kind'> {
  @BooleanField()
  allowed!: boolean;

  @ObjectListField(() => ViolationView, list)
  violations!: readonly ViolationView[];

  @ShownLimit({ description: 'How many times these items would fit now.' })
  fits!: QuotaLimit;
}

class PageInfo {
  @TextField({ max: 2048, nullable: true })
  nextCursor!: string | null;

  @BooleanField()
  hasMore!: boolean;
}

export class PagedView {
  @ObjectField(() => PageInfo)
  page!: PageInfo;
}

export class ReservationList extends PagedView {
  @ObjectListField(() => ReservationView, list)
  data!: ReservationView[];
}

export class AllocationList extends PagedView {
  @ObjectListField(() => AllocationView, list)
  data!: AllocationView[];
}

export class BatchResultView {
  @TextField({ max: 36 })
  id!: string;

  @EnumField(['done', 'refused'])
  status!: 'done' | 'refused';

  @ObjectField(() => ReservationView, { optional: true })
  reservation?: ReservationView;

  @ObjectField(() => CheckView, { optional: true, description: 'Of CHECK_ONLY.' })
  check?: CheckView;

  @TextField({ max: 64, optional: true })
  code?: ErrorCode;

  @TextField({ max: 500, optional: true })
  detail?: string;

  @ObjectListField(() => ViolationView, { ...list, optional: true })
  violations?: readonly ViolationView[];
}

export class ReserveBatchView {
  @ObjectListField(() => BatchResultView, list)
  results!: BatchResultView[];
}

export const rowView = (row: QuotaRow): RowView => without(row, 'service');

export function limitView({
  scope,
  service,
  resource,
  unit,
  after,
  soft,
  belowUsage,
  revision,
}: LimitAnswer): LimitView {
  const { limit, effective, source } = after;
  return { scope, service, resource, unit, limit: limit ?? 'inherit', effective, source, soft, belowUsage, revision };
}

export const bulkLimitsView = ({ results }: BulkAnswer): BulkLimitsView => ({
  results: results.map((result) =>
    result.status === 'done' ? { status: 'done', limit: limitView(result.limit) } : result,
  ),
});

export const reservationView = (answer: ReservationAnswer): ReservationView => without(answer, 'kind', 'replayed');

export const allocationView = (answer: AllocationAnswer): AllocationView => without(answer, 'kind', 'replayed');

export const checkView = (answer: CheckAnswer): CheckView => without(answer, 'kind');

export function without<Thing extends object, Field extends keyof Thing & string>(
  thing: Thing,
  ...fields: Field[]
): Omit<Thing, Field> {
  const hidden: readonly string[] = fields;
  return Object.fromEntries(Object.entries(thing).filter(([field]) => !hidden.includes(field))) as Omit<Thing, Field>;
}
