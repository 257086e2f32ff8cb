import {
  CsvChoice,
  EnumField,
  IdField,
  IntegerField,
  KeyIdField,
  ObjectListField,
  TextField,
  TimeField,
} from '#libs/platform';
import type { UsageStep } from './usage-range.js';

/** Requests and answers of the usage of keys. */

const optional = { optional: true } as const;
const count = { min: 0, max: Number.MAX_SAFE_INTEGER };
const steps = ['minute', 'hour', 'day'] as const satisfies readonly UsageStep[];
export const TOP_MAX = 100;

class UsageQuery {
  @TimeField({
    ...optional,
    description: 'In the first bucket; 60 minutes, 24 hours or 30 days before `to` if absent.',
  })
  from?: string;

  @TimeField({ ...optional, description: 'Up to here, in whole buckets; now if absent.' })
  to?: string;

  @CsvChoice()
  format?: 'json' | 'csv';
}

export class KeyUsageQuery extends UsageQuery {
  @EnumField(['hour', 'day'], { ...optional, description: 'Hours (unless told) or days, of UTC.' })
  step?: 'hour' | 'day';
}

export class ProjectKeyUsageQuery extends UsageQuery {
  @EnumField(steps, { ...optional, description: 'Minutes, hours (unless told) or days, of UTC.' })
  step?: UsageStep;

  @IntegerField({ min: 0, max: TOP_MAX, ...optional, description: 'How many of the most verified keys; 10 if absent.' })
  top?: number;
}

export class AllKeyUsageQuery extends UsageQuery {
  @EnumField(steps, { ...optional, description: 'Minutes, hours (unless told) or days, of UTC.' })
  step?: UsageStep;

  @IdField({ ...optional, description: 'Of keys in this tenant; of the whole platform if absent.' })
  tenantId?: string;
}

class CodeCountView {
  @TextField({ max: 64, description: 'A code of verify.' })
  code!: string;

  @IntegerField(count)
  verifications!: number;
}

export class KeyUsageBucketView {
  @TimeField()
  start!: string;

  @IntegerField(count)
  verifications!: number;

  @ObjectListField(() => CodeCountView, { itemsMax: 64 })
  codes!: CodeCountView[];
}

class ServiceCountView {
  @IdField({ description: 'The principal that asked.' })
  service!: string;

  @IntegerField(count)
  verifications!: number;
}

class KeyCountView {
  @KeyIdField()
  keyId!: string;

  @IntegerField(count)
  verifications!: number;
}

class UsageView {
  @TimeField()
  from!: string;

  @TimeField()
  to!: string;

  @ObjectListField(() => KeyUsageBucketView, {
    itemsMax: 1_500,
    description: 'In the order of time; those in which nothing was counted are left out.',
  })
  buckets!: KeyUsageBucketView[];
}

export class KeyUsageView extends UsageView {
  @KeyIdField()
  keyId!: string;

  @EnumField(['hour', 'day'])
  step!: 'hour' | 'day';

  @TimeField({ nullable: true, description: 'To the minute.' })
  lastUsedAt!: string | null;

  @ObjectListField(() => ServiceCountView, { itemsMax: TOP_MAX, description: 'Who asked most, in the same time.' })
  services!: ServiceCountView[];
}

export class ProjectKeyUsageView extends UsageView {
  @IdField()
  projectId!: string;

  @EnumField(steps)
  step!: UsageStep;

  @ObjectListField(() => KeyCountView, {
    itemsMax: TOP_MAX,
    description: 'The most verified keys, in the whole hours that the time touches.',
  })
  topKeys!: KeyCountView[];
}

export class AllKeyUsageView extends UsageView {
  @IdField({ nullable: true, description: 'Null is the whole platform, with what was about no key.' })
  tenantId!: string | null;

  @EnumField(steps)
  step!: UsageStep;
}
