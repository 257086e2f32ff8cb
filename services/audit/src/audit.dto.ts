import { eventTypes } from '#libs/contracts';
import {
  BooleanField,
  IdField,
  IntegerField,
  PAGE_LIMIT_MAX,
  TextField,
  TextListField,
  TimeField,
} from '#libs/platform';

const optional = { optional: true } as const;
const position = { max: 128, optional: true } as const;

/** What of the history is wanted: all that is given must hold. */
export class HistoryFilter {
  @IdField(optional)
  tenantId?: string;

  @IdField(optional)
  projectId?: string;

  @TextField({
    max: 128,
    pattern: /^[A-Za-z]+-[A-Za-z0-9._-]{1,64}$/,
    form: 'the whole name of a stream, such as project-GOV112345',
    ...optional,
  })
  stream?: string;

  @TextListField({
    max: 64,
    itemsMax: Object.keys(eventTypes).length,
    check: (type) => (Object.hasOwn(eventTypes, type) ? undefined : 'is no type of event'),
    ...optional,
    description: 'Any of these types.',
  })
  type?: string[];

  @TextField({
    max: 72,
    pattern: /^(?:(?:user|service|project|system):)?[A-Za-z0-9._-]{1,64}$/,
    form: 'an id, or user:, service:, project: or system: and an id',
    ...optional,
    description: 'Who did it: `alice`, or `user:alice` where others bear the same id.',
  })
  actor?: string;

  @TextField({
    max: 36,
    pattern: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    form: 'a UUID in lower case',
    ...optional,
    description: 'All that one request brought about, in every stream.',
  })
  correlationId?: string;

  @TextField({ ...position, description: 'A position; only what is later.' })
  after?: string;

  @TextField({ ...position, description: 'A position; only what is not later.' })
  until?: string;

  @TimeField({ ...optional, description: 'Stored then or later.' })
  from?: string;

  @TimeField({ ...optional, description: 'Stored then or earlier.' })
  to?: string;

  @BooleanField({ ...optional, description: 'Adds `raw`, the bytes from which the hashes are made.' })
  raw?: boolean;
}

export class AuditEventsQuery extends HistoryFilter {
  @IntegerField({ min: 1, max: PAGE_LIMIT_MAX, ...optional, description: 'Of a JSON page; 50 if absent.' })
  limit?: number;

  @TextField({ max: 2048, ...optional, description: '`page.nextCursor` of the JSON page before.' })
  cursor?: string;
}
