import type { QuotaItem } from '#libs/contracts';
import {
  BooleanField,
  IdField,
  IntegerField,
  ObjectListField,
  refuseSecret,
  TextField,
  TimeField,
} from '#libs/platform';
import { ENTRIES_MAX } from '../domain/granting.js';
import { ItemBody, ItemName, ITEMS_SENT_MAX } from '../quotas.dto.js';

/** A report of what really runs: a header, then a line a resource; and what it differed in. */

/** Resources in one catalogue that a report may be about. */
const LOOKED_AT_MAX = 256;
const DIFFERENCES_MAX = ENTRIES_MAX;

export class ReportHeader {
  @TextField({ max: 64, check: refuseSecret, description: 'Who reports; sequences are counted by source.' })
  source!: string;

  @TimeField({ description: 'When it was so. What the ledger learned later is left alone.' })
  observedAt!: string;

  @IntegerField({ min: 1, max: Number.MAX_SAFE_INTEGER, description: 'Higher than that of the report before.' })
  sequence!: number;

  @IdField({ optional: true, description: 'Only this member’s usage was looked at.' })
  userId?: string;

  @ObjectListField(() => ItemName, {
    itemsMin: 1,
    itemsMax: LOOKED_AT_MAX,
    optional: true,
    description: 'Only these resources were looked at.',
  })
  resources?: ItemName[];

  @BooleanField({ optional: true, description: 'Answers what would be, changes nothing and takes no sequence.' })
  dryRun?: boolean;

  @IntegerField({
    min: 0,
    max: ENTRIES_MAX,
    optional: true,
    description: 'How many lines follow: a file that was cut off is then refused.',
  })
  entries?: number;
}

export class ReportLine {
  @TextField({ max: 256, check: refuseSecret, description: 'What it is called where it runs.' })
  resourceRef!: string;

  @IdField()
  userId!: string;

  @ObjectListField(() => ItemBody, { itemsMax: ITEMS_SENT_MAX })
  items!: ItemBody[];
}

export class DifferenceView {
  @TextField({ max: 256 })
  resourceRef!: string;

  @ObjectListField(() => ItemBody, { itemsMax: ITEMS_SENT_MAX, description: 'Of the ledger; empty where it had none.' })
  before!: readonly QuotaItem[];

  @ObjectListField(() => ItemBody, { itemsMax: ITEMS_SENT_MAX, description: 'Empty where the resource is gone.' })
  after!: readonly QuotaItem[];
}

export class ReconciledView {
  @ObjectListField(() => DifferenceView, { itemsMax: DIFFERENCES_MAX, description: 'Ran, and the ledger had it not.' })
  adopted!: DifferenceView[];

  @ObjectListField(() => DifferenceView, { itemsMax: DIFFERENCES_MAX, description: 'Ran no more.' })
  removed!: DifferenceView[];

  @ObjectListField(() => DifferenceView, { itemsMax: DIFFERENCES_MAX })
  resized!: DifferenceView[];

  @ObjectListField(() => DifferenceView, {
    itemsMax: DIFFERENCES_MAX,
    description: 'Changed in the ledger after the observation; left as it stands there.',
  })
  ignoredNewer!: DifferenceView[];
}
