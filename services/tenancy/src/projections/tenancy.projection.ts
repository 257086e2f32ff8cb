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

/** Sets columns of the row that a stream has in a list; every change bears the version and the position with it. */
async function update(
  tx: ProjectionTransaction,
  table: string | undefined,
  key: Readonly<Record<string, string>>,
  event: OpenedEvent,
  columns: Readonly<Record<string, string | null>>,
): Promise<void> {
  const values: unknown[] = [];
  const equations = (fields: Readonly<Record<string, unknown>>): string[] =>
    Object.entries(fields).map(([column, value]) => `${column} = $${values.push(value)}`);
  const set = equations({ ...columns, version: event.revision, position: event.position }).join(', ');
  const { rows } = await tx.query(
    `update ${table} set ${set} where ${equations(key).join(' and ')} returning 1`,
    values,
  );
  // A change of what is not there must park and alarm, not vanish.
  if (rows.length === 0) throw new Error(`${event.type} at ${event.position} found no row.`);
}

async function insert(
  tx: ProjectionTransaction,
  table: string | undefined,
  event: OpenedEvent,
  columns: Readonly<Record<string, string | null>>,
): Promise<void> {
  const row = { ...columns, version: event.revision, position: event.position };
  const places = Object.keys(row).map((_, n) => `$${n + 1}`);
  await tx.query(
    `insert into ${table} (${Object.keys(row).join(', ')}) values (${places.join(', ')})`,
    Object.values(row),
  );
}

async function applyOne(tx: ProjectionTransaction, tables: Tables, event: OpenedEvent): Promise<void> {
  // The codec has checked type and version, so the pair of type and data is one of the catalogue.
  const { type, data } = event as unknown as TenancyEvent;
  const id = idOf(event.stream);
  const { tenants, projects, members, principals } = tables;
  const member = (userId: string) => ({ project_id: id, user_id: userId });
  switch (type) {
    case 'TenantCreated': {
      const { name } = data;
      const row = { tenant_id: id, name, status: 'active', search: searchable(id, name) };
      return insert(tx, tenants, event, { ...row, created_at: event.recordedAt });
    }
    case 'TenantSuspended':
      return update(tx, tenants, { tenant_id: id }, event, { status: 'suspended' });
    case 'TenantResumed':
      return update(tx, tenants, { tenant_id: id }, event, { status: 'active' });
    case 'ProjectCreated': {
      const { name } = data;
      const row = { project_id: id, tenant_id: event.tenantId, name, status: 'active', search: searchable(id, name) };
      return insert(tx, projects, event, { ...row, created_at: event.recordedAt });
    }
    case 'ProjectClosed':
      return update(tx, projects, { project_id: id }, event, { status: 'closed' });
    case 'MemberAdded': {
      const { userId, role } = data;
      const row = {
        ...member(userId),
        tenant_id: event.tenantId,
        role,
        status: 'active',
        services: '{}',
        ...personColumns(userId, event),
      };
      return insert(tx, members, event, { ...row, added_at: event.recordedAt });
    }
    case 'MemberProfileChanged':
      return update(tx, members, member(data.userId), event, personColumns(data.userId, event));
    case 'MemberRoleChanged':
      return update(tx, members, member(data.userId), event, { role: data.to });
    case 'MemberSuspended':
      return update(tx, members, member(data.userId), event, { status: 'suspended' });
    case 'MemberResumed':
      return update(tx, members, member(data.userId), event, { status: 'active' });
    case 'ServiceAccessGranted':
    case 'ServiceAccessRevoked':
      return changeServices(tx, members, event, type, data);
    case 'MemberRemoved':
      await tx.query(`delete from ${members} where project_id = $1 and user_id = $2`, [id, data.userId]);
      return;
    case 'SubjectErased':
      // The members' versions stay: what was erased is no change of theirs, and their streams know nothing of it.
      await tx.query(`update ${members} set display_name = null, email = null, search = $2 where user_id = $1`, [
        data.subjectId,
        searchable(data.subjectId),
      ]);
      return;
    case 'PrincipalRegistered': {
      const row = { principal_id: id, type: data.type, role: data.role, tenant_id: event.tenantId, status: 'active' };
      return insert(tx, principals, event, { ...row, created_at: event.recordedAt });
    }
    case 'PrincipalRoleChanged':
      return update(tx, principals, { principal_id: id }, event, { role: data.to });
    case 'PrincipalRemoved':
      return update(tx, principals, { principal_id: id }, event, { status: 'removed' });
    case 'KeyPolicySet':
    case 'KeyPolicyRemoved':
      return;
  }
}

async function changeServices(
  tx: ProjectionTransaction,
  members: string | undefined,
  event: OpenedEvent,
  type: 'ServiceAccessGranted' | 'ServiceAccessRevoked',
  { userId, service }: { readonly userId: string; readonly service: string },
): Promise<void> {
  const services =
    type === 'ServiceAccessGranted'
      ? 'array(select s from unnest(array_append(services, $3)) as u (s) order by s)'
      : 'array_remove(services, $3)';
  const { rows } = await tx.query(
    `update ${members} set services = ${services}, version = $4, position = $5
     where project_id = $1 and user_id = $2 returning 1`,
    [idOf(event.stream), userId, service, event.revision, event.position],
  );
  if (rows.length === 0) throw new Error(`${event.type} at ${event.position} found no row.`);
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
  apply: async (tx, tables, events) => {
    for (const event of events) await applyOne(tx, tables, event);
  },
};
