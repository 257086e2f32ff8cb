import { idOf, type PersonPart, type TenancyEvent } from '#libs/contracts';
import type { OpenedEvent, Projection, ProjectionTransaction } from '#libs/eventsourcing';

/**
 * The lists of tenancy: one projection, because the lists are small and one checkpoint then tells how far all of them
 * are. Key policies have no list: who needs them folds a stream or asks the access index.
 */

/** A search compares texts in this form, in the tables and in the query alike, whatever the database's locale. */
export const searchable = (...texts: (string | null)[]): string =>
  texts
    .filter((text) => text !== null)
    .join('\n')
    .normalize('NFKC')
    .toLowerCase();

const text = 'text collate "C"';

const tenants = (table: string, bare: string): string => `
  create table ${table} (
    tenant_id ${text} primary key,
    name ${text} not null,
    status text not null,
    search text not null,
    created_at ${text} not null,
    version integer not null,
    position ${text} not null
  );
  create index ${bare}_by_name on ${table} (name, tenant_id);
  create index ${bare}_by_age on ${table} (created_at, tenant_id)`;

const projects = (table: string, bare: string): string => `
  create table ${table} (
    project_id ${text} primary key,
    tenant_id ${text} not null,
    name ${text} not null,
    status text not null,
    search text not null,
    created_at ${text} not null,
    version integer not null,
    position ${text} not null
  );
  create index ${bare}_by_tenant on ${table} (tenant_id, project_id);
  create index ${bare}_by_name on ${table} (name, project_id);
  create index ${bare}_by_age on ${table} (created_at, project_id)`;

const members = (table: string, bare: string): string => `
  create table ${table} (
    project_id ${text} not null,
    user_id ${text} not null,
    tenant_id ${text} not null,
    role text not null,
    status text not null,
    services text[] collate "C" not null,
    display_name ${text},
    email ${text},
    search text not null,
    added_at ${text} not null,
    version integer not null,
    position ${text} not null,
    primary key (project_id, user_id)
  );
  create index ${bare}_by_user on ${table} (user_id);
  create index ${bare}_by_age on ${table} (project_id, added_at, user_id)`;

const principals = (table: string, bare: string): string => `
  create table ${table} (
    principal_id ${text} primary key,
    type text not null,
    role text not null,
    tenant_id ${text},
    status text not null,
    created_at ${text} not null,
    version integer not null,
    position ${text} not null
  );
  create index ${bare}_by_tenant on ${table} (tenant_id, principal_id)`;

/** The person as the event bears it; nulls if the part is not there, was erased or is missing. */
function personOf(event: OpenedEvent): PersonPart {
  const part = event.opened['person'];
  return part !== undefined && 'value' in part ? (part.value as PersonPart) : { displayName: null, email: null };
}

type Tables = Readonly<Record<string, string>>;
type Row = Readonly<Record<string, unknown>>;
type Key = Readonly<Record<string, string>>;

const LISTS = {
  tenants: ['tenant_id'],
  projects: ['project_id'],
  members: ['project_id', 'user_id'],
  principals: ['principal_id'],
} as const;
type List = keyof typeof LISTS;

// No id holds a space.
const keyText = (key: Key): string => Object.values(key).join(' ');

/** The row of a list that an event is about; null where it is about none, or about more than one. */
function placeOf(event: OpenedEvent): { readonly list: List; readonly key: Key } | null {
  const { type, data } = event as unknown as TenancyEvent;
  const id = idOf(event.stream);
  switch (type) {
    case 'TenantCreated':
    case 'TenantSuspended':
    case 'TenantResumed':
      return { list: 'tenants', key: { tenant_id: id } };
    case 'ProjectCreated':
    case 'ProjectClosed':
      return { list: 'projects', key: { project_id: id } };
    case 'MemberAdded':
    case 'MemberProfileChanged':
    case 'MemberRoleChanged':
    case 'MemberSuspended':
    case 'MemberResumed':
    case 'MemberRemoved':
    case 'ServiceAccessGranted':
    case 'ServiceAccessRevoked':
      return { list: 'members', key: { project_id: id, user_id: data.userId } };
    case 'PrincipalRegistered':
    case 'PrincipalRoleChanged':
    case 'PrincipalRemoved':
      return { list: 'principals', key: { principal_id: id } };
    case 'SubjectErased':
    case 'KeyPolicySet':
    case 'KeyPolicyRemoved':
      return null;
  }
}

/** The row after the event; undefined is none. `event` has a place, and `before` is what stood there. */
function rowAfter(before: Row | undefined, event: OpenedEvent, key: Key): Row | undefined {
  // The codec has checked type and version, so the pair of type and data is one of the catalogue.
  const { type, data } = event as unknown as TenancyEvent;
  const at = { version: event.revision, position: event.position };
  const insert = (columns: Row): Row => {
    if (before !== undefined) throw new Error(`${type} at ${event.position} found a row.`);
    return { ...key, ...columns, ...at };
  };
  const update = (columns: Row): Row => {
    // A change of what is not there must park and alarm, not vanish.
    if (before === undefined) throw new Error(`${type} at ${event.position} found no row.`);
    return { ...before, ...columns, ...at };
  };
  const services = (): readonly string[] => (update({})['services'] as readonly string[] | undefined) ?? [];
  switch (type) {
    case 'TenantCreated': {
      const search = searchable(idOf(event.stream), data.name);
      return insert({ name: data.name, status: 'active', search, created_at: event.recordedAt });
    }
    case 'ProjectCreated': {
      const search = searchable(idOf(event.stream), data.name);
      const row = { tenant_id: event.tenantId, name: data.name, status: 'active', search };
      return insert({ ...row, created_at: event.recordedAt });
    }
    case 'MemberAdded': {
      const row = { tenant_id: event.tenantId, role: data.role, status: 'active', services: [] };
      return insert({ ...row, ...personColumns(data.userId, event), added_at: event.recordedAt });
    }
    case 'PrincipalRegistered': {
      const row = { type: data.type, role: data.role, tenant_id: event.tenantId, status: 'active' };
      return insert({ ...row, created_at: event.recordedAt });
    }
    case 'TenantSuspended':
    case 'MemberSuspended':
      return update({ status: 'suspended' });
    case 'TenantResumed':
    case 'MemberResumed':
      return update({ status: 'active' });
    case 'ProjectClosed':
      return update({ status: 'closed' });
    case 'PrincipalRemoved':
      return update({ status: 'removed' });
    case 'MemberRoleChanged':
    case 'PrincipalRoleChanged':
      return update({ role: data.to });
    case 'MemberProfileChanged':
      return update(personColumns(data.userId, event));
    case 'ServiceAccessGranted':
      return update({ services: [...services(), data.service].sort() });
    case 'ServiceAccessRevoked':
      return update({ services: services().filter((service) => service !== data.service) });
    case 'MemberRemoved':
      return undefined;
    case 'SubjectErased':
    case 'KeyPolicySet':
    case 'KeyPolicyRemoved':
      return before;
  }
}

/** One list while a page of events is folded into it: read once before, written once after. */
class ListPage {
  private readonly rows = new Map<string, Row | undefined>();
  private readonly touched = new Map<string, Key>();
  private readonly erased: string[] = [];

  constructor(
    private readonly tx: ProjectionTransaction,
    private readonly table: string,
    private readonly columns: readonly string[],
  ) {}

  async read(keys: readonly Key[]): Promise<void> {
    if (keys.length === 0) return;
    const { rows } = await this.tx.query(`select t.* from ${this.table} t, ${this.named()}`, this.values(keys));
    for (const row of rows) this.rows.set(this.columns.map((column) => row[column]).join(' '), row);
  }

  apply(event: OpenedEvent, key: Key): void {
    const text = keyText(key);
    this.rows.set(text, rowAfter(this.rows.get(text), event, key));
    this.touched.set(text, key);
  }

  /** The members' versions stay: what was erased is no change of theirs, and their streams know nothing of it. */
  erase(userId: string): void {
    this.erased.push(userId);
    const wiped = { display_name: null, email: null, search: searchable(userId) };
    for (const [key, row] of this.rows) if (row?.['user_id'] === userId) this.rows.set(key, { ...row, ...wiped });
  }

  async write(): Promise<void> {
    const { tx, table, columns } = this;
    if (this.erased.length > 0)
      await tx.query(
        `update ${table} t set display_name = null, email = null, search = e.search
         from unnest($1::text[], $2::text[]) as e (user_id, search) where t.user_id = e.user_id`,
        [this.erased, this.erased.map((userId) => searchable(userId))],
      );
    const gone = [...this.touched].flatMap(([text, key]) => (this.rows.get(text) === undefined ? [key] : []));
    if (gone.length > 0) await tx.query(`delete from ${table} t using ${this.named()}`, this.values(gone));
    const kept = [...this.touched.keys()].map((text) => this.rows.get(text)).filter((row) => row !== undefined);
    const [first] = kept;
    if (first === undefined) return;
    const changed = Object.keys(first).filter((column) => !columns.includes(column));
    await tx.query(
      `insert into ${table} select r.* from json_populate_recordset(null::${table}, $1) r
       on conflict (${columns.join(', ')}) do update set ${changed.map((column) => `${column} = excluded.${column}`).join(', ')}`,
      [JSON.stringify(kept)],
    );
  }

  /** The keys that `values` brings as a further table of a statement about `t`, and the condition that joins them. */
  private named(): string {
    const names = this.columns.map((_, n) => `k${n}`);
    const lists = this.columns.map((_, n) => `$${n + 1}::text[]`);
    const equal = this.columns.map((column, n) => `t.${column} = k.k${n}`);
    return `(select distinct * from unnest(${lists.join(', ')}) as u (${names.join(', ')})) as k where ${equal.join(' and ')}`;
  }

  private values(keys: readonly Key[]): string[][] {
    return this.columns.map((column) => keys.map((key) => key[column] as string));
  }
}

/** A page of events costs a fixed number of statements, whatever it holds. */
async function applyPage(tx: ProjectionTransaction, tables: Tables, events: readonly OpenedEvent[]): Promise<void> {
  const placed = events.map((event) => ({ event, place: placeOf(event) }));
  const lists = Object.fromEntries(
    Object.entries(LISTS).map(([list, columns]) => [list, new ListPage(tx, tables[list] as string, columns)]),
  ) as Record<List, ListPage>;
  for (const [list, page] of Object.entries(lists))
    await page.read(placed.flatMap(({ place }) => (place?.list === list ? [place.key] : [])));
  for (const { event, place } of placed)
    if (place !== null) lists[place.list].apply(event, place.key);
    else if (event.type === 'SubjectErased') lists.members.erase((event.data as { subjectId: string }).subjectId);
  for (const page of Object.values(lists)) await page.write();
}

function personColumns(userId: string, event: OpenedEvent): Record<'display_name' | 'email' | 'search', string | null> {
  const { displayName, email } = personOf(event);
  return { display_name: displayName, email, search: searchable(userId, displayName, email) };
}

export const tenancyProjection: Projection = {
  name: 'tenancy',
  schema: 'tenancy',
  version: 2,
  categories: ['tenant', 'project', 'principal', 'subject'],
  parts: ['person'],
  tables: [
    { name: 'tenants', ddl: tenants },
    { name: 'projects', ddl: projects },
    { name: 'members', ddl: members },
    { name: 'principals', ddl: principals },
  ],
  apply: applyPage,
};
