import type { Pool } from 'pg';
import { type Access, type Page, pageOf, placeOfCursor } from '#libs/platform';

/** One of tenancy's lists: where it stands and how it is sorted. */
export interface List<View> {
  /** The view that points at the live table. */
  readonly table: string;
  /** The select list that makes a row the answer itself. */
  readonly columns: string;
  readonly idColumn: string;
  readonly idOf: (view: View) => string;
  /** By the name that a caller sorts by: an expression that is never null, and its value in a row. */
  readonly sorts: Readonly<Record<string, { readonly sql: string; readonly valueOf: (view: View) => string }>>;
  readonly tenantColumn: string;
  readonly projectColumn?: string;
  readonly userColumn?: string;
}

export interface ListRequest {
  readonly access: Access;
  /** Columns that must equal a value; an undefined one asks for nothing. */
  readonly filters: Readonly<Record<string, string | undefined>>;
  /** A part of the searchable text, in the form of `searchable`. */
  readonly search?: string | undefined;
  /** A name of `sorts`, with a minus in front from the last to the first. */
  readonly sort: string;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** A page of what the caller may see, and of nothing else. */
export async function readPage<View extends object>(
  pool: Pool,
  list: List<View>,
  request: ListRequest,
): Promise<Page<View>> {
  const { access, filters, search, sort, limit } = request;
  const descending = sort.startsWith('-');
  const order = list.sorts[descending ? sort.slice(1) : sort];
  if (order === undefined) throw new TypeError(`${list.table} is not sorted by ${sort}.`);
  const { type, id } = access.principal;
  const identity = [list.table, sort, search ?? null, { ...filters }, type, id];
  const place = placeOfCursor(identity, request.cursor);

  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const conditions = [visibleRows(access, list, bind)];
  for (const [column, value] of Object.entries(filters))
    if (value !== undefined) conditions.push(`${column} = ${bind(value)}`);
  // No pattern and so no wildcard: whatever the caller typed is looked for as it is.
  if (search !== undefined) conditions.push(`strpos(search, ${bind(search)}) > 0`);
  if (place !== undefined) {
    const beyond = `(${bind(place.values[0])}, ${bind(place.id)})`;
    conditions.push(`(${order.sql}, ${list.idColumn}) ${descending ? '<' : '>'} ${beyond}`);
  }
  const direction = descending ? 'desc' : 'asc';
  const { rows } = await pool.query<View>(
    `select ${list.columns} from ${list.table} where ${conditions.join(' and ')}
     order by ${order.sql} ${direction}, ${list.idColumn} ${direction} limit ${bind(limit + 1)}`,
    values,
  );
  return pageOf(rows, limit, identity, (last) => ({ values: [order.valueOf(last)], id: list.idOf(last) }));
}

/** What any of the caller's rules lets through; a rule about what this list has no column for shows nothing. */
function visibleRows<View>(
  { visible }: Access,
  { tenantColumn, projectColumn, userColumn }: List<View>,
  bind: (value: unknown) => string,
): string {
  const rules = visible.flatMap((scope) => {
    switch (scope.kind) {
      case 'all':
        return ['true'];
      case 'tenant':
        return [`${tenantColumn} = ${bind(scope.tenantId)}`];
      case 'project':
        return projectColumn === undefined ? [] : [`${projectColumn} = ${bind(scope.projectId)}`];
      case 'own':
        return projectColumn === undefined || userColumn === undefined || scope.ownerType !== 'user'
          ? []
          : [`(${projectColumn} = ${bind(scope.projectId)} and ${userColumn} = ${bind(scope.ownerId)})`];
    }
  });
  return rules.length === 0 ? 'false' : `(${rules.join(' or ')})`;
}
