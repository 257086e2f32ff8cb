import type { FreezeMode, Overcommit, QuotaItem, QuotaLimit, QuotaScope } from '#libs/contracts';
import {
  BooleanField,
  CsvChoice,
  CustomField,
  EnumField,
  type FieldOptions,
  IdField,
  IntegerField,
  ObjectListField,
  PAGE_LIMIT_MAX,
  PageQuery,
  refuseSecret,
  TextField,
  TextMapField,
  TimeField,
} from '#libs/platform';
import { hasFormOfLimit } from './domain/catalogue.js';
import type { CommitReservation, LimitWish, RequestMode } from './domain/commands.js';

/** Every request of quotas. Amounts are integers in base units; a GPU is 1,000 milliGpu. */

export const TTL_SECONDS_DEFAULT = 900;
export const BATCH_RESERVATIONS_MAX = 100;
export const ITEMS_SENT_MAX = 64;
const LIMITS_SENT_MAX = 1_000;
const AMOUNT_MAX = Number.MAX_SAFE_INTEGER;

const modes = ['ENFORCE', 'CHECK_ONLY', 'FORCE'] as const satisfies readonly RequestMode[];
const overcommits = ['shared', 'partitioned'] as const satisfies readonly Overcommit[];
const freezeModes = ['hold', 'drain'] as const satisfies readonly FreezeMode[];
const scopeTypes = ['project', 'memberDefault', 'member'] as const satisfies readonly QuotaScope['type'][];
const onExpired = ['fail', 'reacquire', 'force'] as const satisfies readonly CommitReservation['onExpired'][];

const name = { max: 63, check: refuseSecret };
const resourceRef = { max: 256, check: refuseSecret, optional: true, description: 'What it stands for elsewhere.' };
const reason = { max: 500, optional: true, description: 'Typed text, kept as a private comment.' };
const label = {
  keysMax: 32,
  key: { max: 63, pattern: /^[a-z0-9._/-]+$/, form: 'of a-z 0-9 . _ / -' },
  value: { min: 0, max: 255, check: refuseSecret },
};

const amountSchema = { type: 'integer', minimum: 0, maximum: AMOUNT_MAX };
export const limitSchema = { oneOf: [amountSchema, { type: 'string', enum: ['unlimited'] }] };
const wishSchema = { oneOf: [amountSchema, { type: 'string', enum: ['unlimited', 'inherit'] }] };

/** Zero and what is too large have codes of their own, so they are left to the rules. */
const AmountField = (): PropertyDecorator =>
  CustomField((value) => (Number.isInteger(value) && Number(value) >= 0 ? undefined : 'must be an integer from 1'), {
    ...amountSchema,
    minimum: 1,
  });

const LimitField = (options: FieldOptions = {}): PropertyDecorator =>
  CustomField(
    (value) => (hasFormOfLimit(value) ? undefined : 'must be an integer from 0 or "unlimited"'),
    limitSchema,
    options,
  );

const LimitWishField = (): PropertyDecorator =>
  CustomField(
    (value) =>
      value === 'inherit' || hasFormOfLimit(value) ? undefined : 'must be an integer from 0, "unlimited" or "inherit"',
    wishSchema,
  );

const SoftField = (): PropertyDecorator =>
  IntegerField({
    min: 0,
    max: AMOUNT_MAX,
    optional: true,
    nullable: true,
    description: 'Up to the limit; passing it only warns.',
  });

export class ProjectPath {
  @IdField()
  projectId!: string;
}

export class MemberPath extends ProjectPath {
  @IdField()
  userId!: string;
}

export class LimitPath extends ProjectPath {
  @TextField(name)
  service!: string;

  @TextField(name)
  resource!: string;
}

export class MemberLimitPath extends LimitPath {
  @IdField()
  userId!: string;
}

export class CatalogueResourcePath {
  @TextField(name)
  service!: string;

  @TextField(name)
  resource!: string;
}

/** The id of a reservation or an allocation. */
export class UsagePath extends ProjectPath {
  @TextField({ max: 36 })
  id!: string;
}

export class QuotasQuery {
  @TextField({ ...name, optional: true, description: 'Only this service.' })
  service?: string;
}

export class SetLimitBody {
  @LimitWishField()
  limit!: QuotaLimit | 'inherit';

  @SoftField()
  soft?: number | null;

  @BooleanField({ optional: true, description: 'Also below what is used and reserved.' })
  force?: boolean;

  @TextField(reason)
  reason?: string;
}

export class ClearLimitBody {
  @BooleanField({ optional: true, description: 'Also where what holds then is below what is used and reserved.' })
  force?: boolean;

  @TextField(reason)
  reason?: string;
}

export class ScopedBody {
  @EnumField(scopeTypes, { optional: true, description: '`member` where a userId is given, else `project`.' })
  scope?: QuotaScope['type'];

  @IdField({ optional: true, description: 'The member, where the limit is one’s.' })
  userId?: string;
}

/** The limit of a resource at a scope. */
export class ScopedNameBody extends ScopedBody {
  @TextField(name)
  service!: string;

  @TextField(name)
  resource!: string;
}

export class LimitItemBody
  extends ScopedNameBody
  implements Omit<LimitWish, 'scope' | 'soft' | 'requestId' | 'ifMatch'>
{
  @LimitWishField()
  limit!: QuotaLimit | 'inherit';

  @SoftField()
  soft?: number | null;

  @IntegerField({
    min: 0,
    max: AMOUNT_MAX,
    optional: true,
    description: 'The revision of this limit that the caller has seen.',
  })
  ifMatch?: number;
}

export class BulkSetLimitsBody {
  @ObjectListField(() => LimitItemBody, { itemsMax: LIMITS_SENT_MAX })
  items!: LimitItemBody[];

  @BooleanField({ optional: true, description: 'All or none; true unless told.' })
  atomic?: boolean;

  @BooleanField({ optional: true, description: 'Answers what would be, and changes nothing.' })
  dryRun?: boolean;

  @BooleanField({ optional: true })
  force?: boolean;

  @TextField(reason)
  reason?: string;
}

export class QuotaPolicyBody {
  @EnumField(overcommits)
  overcommit!: Overcommit;
}

export class FreezeBody {
  @EnumField(freezeModes)
  mode!: FreezeMode;
}

export class SetCatalogueResourceBody {
  @TextField({ max: 32 })
  unit!: string;

  @LimitField({ optional: true })
  defaultProjectLimit?: QuotaLimit;

  @LimitField({ optional: true })
  defaultMemberLimit?: QuotaLimit;
}

export class ItemName {
  @TextField(name)
  service!: string;

  @TextField(name)
  resource!: string;
}

export class ItemBody extends ItemName implements QuotaItem {
  @AmountField()
  amount!: number;
}

export class AllocateBody {
  @TextField({ max: 36, description: 'A UUIDv7 made by the caller and kept before it is sent.' })
  id!: string;

  @IdField()
  userId!: string;

  @ObjectListField(() => ItemBody, { itemsMax: ITEMS_SENT_MAX })
  items!: ItemBody[];

  @EnumField(modes, { optional: true })
  mode?: RequestMode;

  @TextField(resourceRef)
  resourceRef?: string;
}

export class ReserveBody extends AllocateBody {
  @IntegerField({ min: 1, max: AMOUNT_MAX, optional: true, description: 'Up to 86,400; 900 unless told.' })
  ttlSeconds?: number;

  @TextMapField({ ...label, optional: true })
  labels?: Record<string, string>;
}

export class ReserveBatchBody {
  @ObjectListField(() => ReserveBody, { itemsMin: 1, itemsMax: BATCH_RESERVATIONS_MAX })
  reservations!: ReserveBody[];

  @CustomField(
    (value) => (value === false ? undefined : 'is not offered: each reservation is decided by itself'),
    { type: 'boolean', enum: [false] },
    { optional: true, description: 'All or none; not offered yet.' },
  )
  linked?: false;
}

export class CommitBody {
  @ObjectListField(() => ItemBody, { itemsMax: ITEMS_SENT_MAX, optional: true, description: 'Absent is all of it.' })
  items?: ItemBody[];

  @TextField(resourceRef)
  resourceRef?: string;

  @EnumField(onExpired, { optional: true })
  onExpired?: CommitReservation['onExpired'];
}

export class ExtendBody {
  @IntegerField({ min: 1, max: AMOUNT_MAX, description: 'From now.' })
  ttlSeconds!: number;
}

export class ResizeBody {
  @ObjectListField(() => ItemBody, { itemsMax: ITEMS_SENT_MAX })
  items!: ItemBody[];

  @EnumField(modes, { optional: true })
  mode?: RequestMode;
}

/** What is a page of JSON, or all of it as CSV. */
export class ReportQuery {
  @IntegerField({ min: 1, max: PAGE_LIMIT_MAX, optional: true, description: 'Of a JSON page; 50 if absent.' })
  limit?: number;

  @TextField({ max: 2048, optional: true, description: '`page.nextCursor` of the JSON page before.' })
  cursor?: string;

  @CsvChoice()
  format?: 'json' | 'csv';
}

export class ReservationsQuery extends ReportQuery {
  @IdField({ optional: true })
  userId?: string;

  @EnumField(['open', 'committed', 'released', 'expired'], { optional: true, description: 'Open unless told.' })
  status?: 'open' | 'committed' | 'released' | 'expired';

  @TimeField({ optional: true, description: 'Those that expire, or expired, before then.' })
  expiresBefore?: string;
}

export class AllocationsQuery extends PageQuery {
  @IdField({ optional: true })
  userId?: string;

  @TextField({ max: 256, optional: true })
  resourceRef?: string;
}

export class ResourceRefQuery {
  @TextField({ max: 256 })
  resourceRef!: string;
}
