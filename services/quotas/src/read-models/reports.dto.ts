import type { LimitSource, QuotaLimit, QuotaScope } from '#libs/contracts';
import type { Actor, Position } from '#libs/eventsourcing';
import {
  BooleanField,
  CsvChoice,
  EnumField,
  IdField,
  IntegerField,
  ObjectField,
  ObjectListField,
  TextField,
  TimeField,
} from '#libs/platform';
import { QuotasQuery, ReportQuery } from '../quotas.dto.js';
import { PagedView, ScopeView, ShownLimit, ShownLimitOr } from '../quotas.views.js';

/** Requests and answers of the reports: history of usage, changes of limits. Amounts are integers in base units. */

const optional = { optional: true } as const;
const name = { max: 63, ...optional };
const amount = { min: 0, max: Number.MAX_SAFE_INTEGER };
const shownName = { max: 63 };
const scopes = ['project', 'memberDefault', 'member'] as const satisfies readonly QuotaScope['type'][];
const actorTypes = ['user', 'service', 'project', 'system'] as const satisfies readonly Actor['type'][];
const kinds = ['set', 'cleared', 'memberRemoved'] as const;
const commentStatuses = ['shown', 'none', 'hidden', 'erased', 'missing'] as const;

export class QuotaPageQuery extends QuotasQuery {
  @CsvChoice()
  format?: 'json' | 'csv';
}

export class UsageHistoryQuery {
  @TextField({ ...name, description: 'Only this service.' })
  service?: string;

  @TextField({ ...name, description: 'Only resources of this name.' })
  resource?: string;

  @IdField({ ...optional, description: 'A member; the whole project if absent.' })
  userId?: string;

  @TimeField({ ...optional, description: 'In the first bucket; 24 hours or 30 days before `to` if absent.' })
  from?: string;

  @TimeField({ ...optional, description: 'Up to here, in whole buckets; now if absent.' })
  to?: string;

  @EnumField(['hour', 'day'], { ...optional, description: 'Hours (unless told) or days, of UTC.' })
  step?: 'hour' | 'day';

  @CsvChoice()
  format?: 'json' | 'csv';
}

class UsageBucketView {
  @TimeField()
  start!: string;

  @TimeField({ description: 'The bucket that is not over ends now.' })
  end!: string;

  @IntegerField({ ...amount, description: 'At the end.' })
  used!: number;

  @IntegerField({ ...amount, description: 'At the end.' })
  reserved!: number;

  @IntegerField(amount)
  usedMax!: number;

  @IntegerField(amount)
  reservedMax!: number;

  @TextField({ max: 40, description: 'Amount x seconds, rounded down: an integer as a text, for it may pass 2^53.' })
  usedSeconds!: string;

  @TextField({ max: 40, description: 'As usedSeconds.' })
  reservedSeconds!: string;
}

export class UsageSeriesView {
  @TextField(shownName)
  service!: string;

  @TextField(shownName)
  resource!: string;

  @TextField({ max: 32 })
  unit!: string;

  @ObjectListField(() => UsageBucketView, { itemsMax: 1_000 })
  buckets!: UsageBucketView[];
}

export class UsageHistoryView {
  @IdField()
  projectId!: string;

  @IdField({ nullable: true, description: 'Null is the whole project.' })
  userId!: string | null;

  @EnumField(['hour', 'day'])
  step!: 'hour' | 'day';

  @TimeField()
  from!: string;

  @TimeField()
  to!: string;

  @ObjectListField(() => UsageSeriesView, { itemsMax: 256 })
  series!: UsageSeriesView[];
}

export class LimitChangesQuery extends ReportQuery {
  @IdField({ ...optional, description: 'Of this member.' })
  userId?: string;

  @EnumField(scopes, optional)
  scope?: QuotaScope['type'];

  @TextField(name)
  service?: string;

  @TextField(name)
  resource?: string;

  @TimeField({ ...optional, description: 'Then or later.' })
  from?: string;

  @TimeField({ ...optional, description: 'Then or earlier.' })
  to?: string;
}

class ActorView implements Actor {
  @EnumField(actorTypes)
  type!: Actor['type'];

  @IdField()
  id!: string;

  @TextField({ max: 512, description: '`key:key_<16>`, `oidc:<issuer>` or `internal`.' })
  via!: string;

  @IdField(optional)
  onBehalfOf?: string;
}

export class LimitChangeView {
  @EnumField(kinds, { description: '`memberRemoved`: the limit went with its member.' })
  kind!: (typeof kinds)[number];

  @ObjectField(() => ScopeView)
  scope!: ScopeView;

  @TextField(shownName)
  service!: string;

  @TextField(shownName)
  resource!: string;

  @TextField({ max: 32, nullable: true, description: 'Null of a resource that the catalogue has no more.' })
  unit!: string | null;

  @ShownLimitOr('inherit')
  before!: QuotaLimit | 'inherit';

  @ShownLimitOr('inherit')
  after!: QuotaLimit | 'inherit';

  @IntegerField({ ...amount, nullable: true, description: 'The soft limit since then.' })
  soft!: number | null;

  @ShownLimit({ nullable: true, description: 'What held at the scope since then; null of one who left.' })
  effective!: QuotaLimit | null;

  @BooleanField({ description: 'More was used and reserved than was allowed since then.' })
  belowUsage!: boolean;

  @BooleanField()
  forced!: boolean;

  @TextField({ max: 64, nullable: true, description: 'The request that it granted.' })
  requestId!: string | null;

  @ObjectField(() => ActorView)
  actor!: Actor;

  @TextField({ max: 500, nullable: true, description: 'Why, as whoever did it wrote.' })
  comment!: string | null;

  @EnumField(commentStatuses, {
    description: '`hidden` from the reader, `erased` with its writer, `missing` (an alarm), or `none` was written.',
  })
  commentStatus!: (typeof commentStatuses)[number];

  @TimeField()
  recordedAt!: string;

  @IntegerField({ min: 1, max: Number.MAX_SAFE_INTEGER })
  revision!: number;

  @TextField({ max: 64 })
  position!: Position;

  @TextField({ max: 64 })
  correlationId!: string;
}

export class LimitChangeList extends PagedView {
  @ObjectListField(() => LimitChangeView, { itemsMax: 200 })
  data!: LimitChangeView[];
}

/** A row of the quota page as CSV has it. */
export interface QuotaPageLine {
  readonly service: string;
  readonly userId: string | null;
  readonly displayName: string | null;
  readonly role: string | null;
  readonly row: {
    readonly resource: string;
    readonly unit: string;
    readonly limit: QuotaLimit;
    readonly soft: number | null;
    readonly used: number;
    readonly reserved: number;
    readonly available: QuotaLimit;
    readonly source: LimitSource;
    readonly over: boolean;
  };
}
