import type { KeyEvent } from '#libs/contracts';
import type { OpenedEvent, Projection, ProjectionTransaction } from '#libs/eventsourcing';
import { evolve, type Key, type KeyState } from '../domain/key-state.js';

/**
 * One row a key that is not deleted: the folded state, and beside it in columns what lists filter and sort by. An expiry
 * of `infinity` is none, a start of `-infinity` too, so that every sort value is there and a page has a next one.
 */
export const KEY_LIST = 'key-list';

/** A search compares texts in this form, in the table and in the query alike, whatever the database's locale. */
export const searchable = (text: string): string => text.normalize('NFKC').toLowerCase();

const ddl = (qualified: string, bare: string): string => `
  create table ${qualified} (
    key_id text collate "C" primary key,
    tenant_id text collate "C",
    project_id text collate "C",
    owner_type text collate "C" not null,
    owner_id text collate "C" not null,
    name text collate "C" not null,
    search text collate "C" not null,
    labels jsonb not null,
    scopes text[],
    created_at timestamptz not null,
    not_before timestamptz not null,
    expires_at timestamptz not null,
    disabled boolean not null,
    revoked boolean not null,
    revision integer not null,
    position text collate "C" not null,
    state json not null
  );
  ${['', 'tenant_id, ', 'project_id, ']
    .flatMap((scope) =>
      ['created_at', 'expires_at', 'name'].map((sort) => `create index on ${qualified} (${scope}${sort}, key_id);`),
    )
    .join('\n')}
  create index on ${qualified} (owner_id, project_id);
  create index ${bare}_labels on ${qualified} using gin (labels);
  create index ${bare}_scopes on ${qualified} using gin (scopes);
`;

interface Entry {
  readonly state: KeyState;
  readonly revision: number;
  readonly position: string;
}

async function standing(
  tx: ProjectionTransaction,
  table: string,
  keyIds: readonly string[],
): Promise<Map<string, Entry>> {
  const { rows } = await tx.query(`select key_id, state, revision, position from ${table} where key_id = any($1)`, [
    keyIds,
  ]);
  return new Map(rows.map((row) => [row['key_id'] as string, row as unknown as Entry]));
}

const keyIdOf = (event: OpenedEvent): string => `key_${event.stream.slice('key-'.length)}`;

/** One statement for all keys of the page. */
async function save(
  tx: ProjectionTransaction,
  table: string,
  keys: readonly { key: Key; revision: number; position: string }[],
): Promise<void> {
  if (keys.length === 0) return;
  const rows = keys.map(({ key, revision, position }) => ({
    key_id: key.keyId,
    tenant_id: key.tenantId,
    project_id: key.projectId,
    owner_type: key.owner.type,
    owner_id: key.owner.id,
    name: key.name ?? '',
    search: searchable(key.name ?? ''),
    labels: key.labels,
    scopes: key.scopes,
    created_at: key.createdAt,
    not_before: key.notBefore ?? '-infinity',
    expires_at: key.expiresAt ?? 'infinity',
    disabled: key.disabled,
    revoked: key.kind === 'revoked',
    revision,
    position,
    state: key,
  }));
  await tx.query(
    `insert into ${table}
     select r.* from json_populate_recordset(null::${table}, $1) r
     on conflict (key_id) do update set
       tenant_id = excluded.tenant_id, project_id = excluded.project_id,
       owner_type = excluded.owner_type, owner_id = excluded.owner_id, name = excluded.name,
       search = excluded.search,
       labels = excluded.labels, scopes = excluded.scopes, created_at = excluded.created_at,
       not_before = excluded.not_before, expires_at = excluded.expires_at, disabled = excluded.disabled,
       revoked = excluded.revoked, revision = excluded.revision, position = excluded.position,
       state = excluded.state`,
    [JSON.stringify(rows)],
  );
}

export const keyListProjection: Projection = {
  name: KEY_LIST,
  schema: 'keys',
  version: 1,
  categories: ['key'],
  parts: [],
  tables: [{ name: 'key_list', ddl }],
  async apply(tx, tables, events) {
    const table = tables['key_list'] as string;
    const entries = await standing(tx, table, [...new Set(events.map(keyIdOf))]);
    for (const event of events) {
      const before: KeyState = entries.get(keyIdOf(event))?.state ?? { kind: 'absent' };
      const state = evolve(before, event as unknown as KeyEvent, event);
      entries.set(keyIdOf(event), { state, revision: event.revision, position: event.position });
    }
    const touched = [...entries.values()];
    await save(
      tx,
      table,
      touched.flatMap(({ state, ...at }) =>
        state.kind === 'alive' || state.kind === 'revoked' ? [{ key: state, ...at }] : [],
      ),
    );
    const deleted = touched.flatMap(({ state }) => (state.kind === 'deleted' ? [state.keyId] : []));
    if (deleted.length > 0) await tx.query(`delete from ${table} where key_id = any($1)`, [deleted]);
  },
};
