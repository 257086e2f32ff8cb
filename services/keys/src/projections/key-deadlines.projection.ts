import { idOf, type KeyEvent, type KeyPolicy } from '#libs/contracts';
import type { OpenedEvent, Projection, ProjectionTransaction } from '#libs/eventsourcing';
import { WARN_DAYS_DEFAULT } from '../domain/key-policy.js';

/**
 * What the schedulers look for: the keys that expire, when the next warning of each is due, and whether its expiry has
 * been recorded. The days of warnings come from the policies of tenant and project, so their events are followed too.
 */
export const KEY_DEADLINES = 'key-deadlines';

const deadlinesDdl = (qualified: string): string => `
  create table ${qualified} (
    key_id text collate "C" primary key,
    tenant_id text collate "C",
    project_id text collate "C",
    expires_at timestamptz not null,
    expiry_set_at timestamptz not null,
    -- The nearest threshold that was warned of, in days.
    warned_days integer,
    expiry_recorded boolean not null,
    next_warning_at timestamptz
  );
  create index on ${qualified} (next_warning_at, key_id);
  create index on ${qualified} (expires_at, key_id) where not expiry_recorded;
  create index on ${qualified} (tenant_id);
  create index on ${qualified} (project_id);
`;

const warnDaysDdl = (qualified: string): string => `
  create table ${qualified} (
    stream text collate "C" primary key,
    days integer[] not null
  );
`;

type DeadlineChange = Extract<
  KeyEvent,
  {
    type: 'KeyCreated' | 'KeyImported' | 'KeyExtended' | 'KeyExpired' | 'KeyExpiryWarned' | 'KeyRevoked' | 'KeyDeleted';
  }
>;

interface Tables {
  readonly deadlines: string;
  readonly warnDays: string;
}

interface Deadline {
  readonly key_id: string;
  readonly tenant_id: string | null;
  readonly project_id: string | null;
  readonly expires_at: string;
  readonly expiry_set_at: string;
  readonly warned_days: number | null;
  readonly expiry_recorded: boolean;
}

/** Null where nothing is due any more, or ever was: the key does not expire, or has ended. */
function deadlineAfter(before: Deadline | null, event: OpenedEvent): Deadline | null {
  const change = event as unknown as DeadlineChange;
  switch (change.type) {
    case 'KeyCreated':
    case 'KeyImported':
      return change.data.expiresAt === null
        ? null
        : {
            key_id: change.data.keyId,
            tenant_id: event.tenantId,
            project_id: event.projectId,
            expires_at: change.data.expiresAt,
            expiry_set_at: event.recordedAt,
            warned_days: null,
            expiry_recorded: false,
          };
    case 'KeyExtended':
      return (
        before && {
          ...before,
          expires_at: change.data.to,
          expiry_set_at: event.recordedAt,
          warned_days: null,
          expiry_recorded: false,
        }
      );
    case 'KeyExpired':
      return before && { ...before, expiry_recorded: true };
    case 'KeyExpiryWarned': {
      const days = change.data.thresholdDays;
      return before && { ...before, warned_days: Math.min(before.warned_days ?? days, days) };
    }
    case 'KeyRevoked':
    case 'KeyDeleted':
      return null;
  }
}

async function applyKeyEvents(
  tx: ProjectionTransaction,
  { deadlines }: Tables,
  events: readonly OpenedEvent[],
): Promise<string[]> {
  const keyIdOf = (event: OpenedEvent): string => `key_${idOf(event.stream)}`;
  const keyIds = [...new Set(events.map(keyIdOf))];
  const columns = 'key_id, tenant_id, project_id, expires_at, expiry_set_at, warned_days, expiry_recorded';
  const { rows } = await tx.query(`select ${columns} from ${deadlines} where key_id = any($1)`, [keyIds]);
  const standing = new Map<string, Deadline | null>(
    rows.map((row) => [row['key_id'] as string, row as unknown as Deadline]),
  );
  for (const event of events) standing.set(keyIdOf(event), deadlineAfter(standing.get(keyIdOf(event)) ?? null, event));
  const kept = [...standing.values()].filter((deadline) => deadline !== null);
  if (kept.length > 0)
    await tx.query(
      `insert into ${deadlines} (${columns})
       select ${columns} from json_populate_recordset(null::${deadlines}, $1)
       on conflict (key_id) do update set
         expires_at = excluded.expires_at, expiry_set_at = excluded.expiry_set_at,
         warned_days = excluded.warned_days, expiry_recorded = excluded.expiry_recorded`,
      [JSON.stringify(kept)],
    );
  const ended = keyIds.filter((keyId) => standing.get(keyId) === null);
  if (ended.length > 0) await tx.query(`delete from ${deadlines} where key_id = any($1)`, [ended]);
  return keyIds;
}

async function applyPolicyEvent(tx: ProjectionTransaction, { warnDays }: Tables, event: OpenedEvent): Promise<void> {
  const { policy } = event.data as { policy?: KeyPolicy };
  if (policy?.warnDays === undefined) await tx.query(`delete from ${warnDays} where stream = $1`, [event.stream]);
  else
    await tx.query(
      `insert into ${warnDays} (stream, days) values ($1, $2) on conflict (stream) do update set days = excluded.days`,
      [event.stream, policy.warnDays],
    );
}

/** The rules of dueWarning in SQL, for many keys at once: a threshold past when the expiry was set is never due. */
const refresh = ({ deadlines, warnDays }: Tables, where: string): string => `
  update ${deadlines} k set next_warning_at = (
    select min(k.expires_at - d.days * interval '86400 seconds')
    from unnest(
      case when of_tenant.days is null and of_project.days is null then $2::int[]
      else coalesce(of_tenant.days, '{}') || coalesce(of_project.days, '{}') end
    ) as d (days)
    where k.expires_at - d.days * interval '86400 seconds' > k.expiry_set_at
      and (k.warned_days is null or d.days < k.warned_days)
      and not k.expiry_recorded
  )
  from ${deadlines} self
    left join ${warnDays} of_tenant on of_tenant.stream = 'tenant-' || self.tenant_id
    left join ${warnDays} of_project on of_project.stream = 'project-' || self.project_id
  where self.key_id = k.key_id and ${where}`;

const followed: ReadonlySet<string> = new Set<DeadlineChange['type']>([
  'KeyCreated',
  'KeyImported',
  'KeyExtended',
  'KeyExpired',
  'KeyExpiryWarned',
  'KeyRevoked',
  'KeyDeleted',
]);

const isPolicyEvent = (event: OpenedEvent): boolean =>
  event.type === 'KeyPolicySet' || event.type === 'KeyPolicyRemoved';

export const keyDeadlinesProjection: Projection = {
  name: KEY_DEADLINES,
  schema: 'keys',
  version: 1,
  categories: ['key', 'tenant', 'project'],
  parts: [],
  tables: [
    { name: 'key_deadlines', ddl: deadlinesDdl },
    { name: 'key_warn_days', ddl: warnDaysDdl },
  ],
  async apply(tx, physical, events) {
    const tables = { deadlines: physical['key_deadlines'] as string, warnDays: physical['key_warn_days'] as string };
    const tenants = new Set<string>();
    const projects = new Set<string>();
    for (const event of events.filter(isPolicyEvent)) {
      await applyPolicyEvent(tx, tables, event);
      (event.stream.startsWith('tenant-') ? tenants : projects).add(idOf(event.stream));
    }
    const ofKeys = events.filter(({ type }) => followed.has(type));
    const keyIds = new Set(ofKeys.length === 0 ? [] : await applyKeyEvents(tx, tables, ofKeys));
    const touched: [string, ReadonlySet<string>][] = [
      ['self.key_id = any($1)', keyIds],
      ['self.tenant_id = any($1)', tenants],
      ['self.project_id = any($1)', projects],
    ];
    for (const [where, ids] of touched)
      if (ids.size > 0) await tx.query(refresh(tables, where), [[...ids], WARN_DAYS_DEFAULT]);
  },
};
