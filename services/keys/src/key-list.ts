import type { Pool } from 'pg';
import { type Access, type CursorPlace, type Page, pageOf, placeOfCursor } from '#libs/platform';
import type { Key } from './domain/key-state.js';
import type { KeySort } from './keys.dto.js';
import { type KeyView, keyView } from './keys.views.js';
import { searchable } from './projections/key-list.projection.js';

/** What a list or a bulk action looks for; all that is given must hold. */
export interface KeyFilter {
  readonly projectId?: string | undefined;
  readonly ownerId?: string | undefined;
  readonly status?: readonly string[] | undefined;
  /** `name=value`, or `name` for any value. */
  readonly label?: readonly string[] | undefined;
  readonly scope?: string | undefined;
  readonly expiresBefore?: string | undefined;
  readonly expiresAfter?: string | undefined;
  readonly lastUsedBefore?: string | undefined;
  readonly neverUsed?: boolean | undefined;
  readonly q?: string | undefined;
}

export interface KeyListRequest {
  readonly access: Access;
  readonly filter: KeyFilter;
  readonly sort: KeySort;
  readonly limit: number;
  readonly cursor?: string | undefined;
  readonly count?: boolean | undefined;
  /** The present, by which a status is told. */
  readonly at: string;
}

/** Counting stops there: an exact number of very many helps nobody. */
export const COUNT_MAX = 10_000;

export interface KeyPage extends Page<KeyView> {
  readonly page: Page<KeyView>['page'] & {
    /** Up to COUNT_MAX, if it was asked for. */
    readonly total?: number;
    readonly totalIsCapped?: boolean;
  };
}

type Bind = (value: unknown) => string;

const usage = (condition: string): string =>
  `exists (select 1 from keys.key_usage u where u.key_id = k.key_id${condition})`;

/** `$now` stands for the time. */
const statuses: Readonly<Record<string, string>> = {
  revoked: 'k.revoked',
  expired: 'not k.revoked and k.expires_at <= $now',
  disabled: 'not k.revoked and k.expires_at > $now and k.disabled',
  scheduled: 'not k.revoked and k.expires_at > $now and not k.disabled and k.not_before > $now',
  active: 'not k.revoked and k.expires_at > $now and not k.disabled and k.not_before <= $now',
};

function statusIs(status: string, at: string, bind: Bind): string {
  return `(${(statuses[status] ?? 'false').replaceAll('$now', () => bind(at))})`;
}

function labelIs(label: string, bind: Bind): string {
  const split = label.indexOf('=');
  if (split < 0) return `k.labels ? ${bind(label)}`;
  return `k.labels @> ${bind(JSON.stringify({ [label.slice(0, split)]: label.slice(split + 1) }))}::jsonb`;
}

/** What any of the caller's rules lets through; without a rule nothing. */
function visibleRows({ visible }: Access, bind: Bind): string {
  const rules = visible.map((scope) => {
    switch (scope.kind) {
      case 'all':
        return 'true';
      case 'tenant':
        return `k.tenant_id = ${bind(scope.tenantId)}`;
      case 'project':
        return `k.project_id = ${bind(scope.projectId)}`;
      case 'own': {
        const owner = `k.owner_type = ${bind(scope.ownerType)} and k.owner_id = ${bind(scope.ownerId)}`;
        return `k.project_id = ${bind(scope.projectId)} and ${owner}`;
      }
    }
  });
  return rules.length === 0 ? 'false' : `(${rules.join(' or ')})`;
}

/** No pattern and so no wildcard: whatever the caller typed is looked for as it is. */
function textIs(q: string, bind: Bind): string {
  // A whole prefix asks for IDs alone, which an index answers however many keys there are.
  if (q.startsWith('key_')) return `starts_with(k.key_id, ${bind(q)})`;
  return `(strpos(k.search, ${bind(searchable(q))}) > 0 or starts_with(k.key_id, ${bind(`key_${q}`)}))`;
}

function conditionsOf(access: Access, filter: KeyFilter, at: string, bind: Bind): string[] {
  const { projectId, ownerId, status, label, scope, expiresBefore, expiresAfter, lastUsedBefore, neverUsed, q } =
    filter;
  const conditions = [visibleRows(access, bind)];
  if (projectId !== undefined) conditions.push(`k.project_id = ${bind(projectId)}`);
  if (ownerId !== undefined) conditions.push(`k.owner_id = ${bind(ownerId)}`);
  if (status !== undefined)
    conditions.push(`(${['false', ...status.map((one) => statusIs(one, at, bind))].join(' or ')})`);
  for (const one of label ?? []) conditions.push(labelIs(one, bind));
  if (scope !== undefined) conditions.push(`k.scopes @> array[${bind(scope)}]`);
  if (expiresBefore !== undefined) conditions.push(`k.expires_at < ${bind(expiresBefore)}`);
  // A key that never expires has no expiry after any time.
  if (expiresAfter !== undefined) conditions.push(`k.expires_at > ${bind(expiresAfter)} and k.expires_at < 'infinity'`);
  if (lastUsedBefore !== undefined) conditions.push(usage(` and u.last_used_at < ${bind(lastUsedBefore)}`));
  if (neverUsed !== undefined) conditions.push(neverUsed ? `not ${usage('')}` : usage(''));
  if (q !== undefined) conditions.push(textIs(q, bind));
  return conditions;
}

const columns = { createdAt: 'k.created_at', expiresAt: 'k.expires_at', name: 'k.name' } as const;

/**
 * The page's rows. Keys that were used and keys that never were come from two places, each in the order of an index:
 * a key that was never used counts as used before all others.
 */
function pageSql(
  conditions: readonly string[],
  filter: KeyFilter,
  sort: KeySort,
  place: CursorPlace | undefined,
  limit: number,
  bind: Bind,
): string {
  const descending = sort.startsWith('-');
  const column = sort.replace('-', '') as keyof typeof columns | 'lastUsedAt';
  const direction = descending ? 'desc' : 'asc';
  const part = (from: string, value: string, also: readonly string[]): string => {
    const beyond =
      place === undefined
        ? []
        : [`(${value}, k.key_id) ${descending ? '<' : '>'} (${bind(place.values[0])}, ${bind(place.id)})`];
    return `(select k.key_id, k.state, k.revision, k.position, ${value} as sort_value from ${from}
      where ${[...conditions, ...also, ...beyond].join(' and ')}
      order by ${value} ${direction}, k.key_id ${direction} limit ${limit})`;
  };
  const rows = (): string => {
    if (column !== 'lastUsedAt') return part('keys.key_list k', columns[column], []);
    const used = () =>
      part('keys.key_usage used join keys.key_list k on k.key_id = used.key_id', 'used.last_used_at', []);
    const neverUsed = () => part('keys.key_list k', `'-infinity'::timestamptz`, [`not ${usage('')}`]);
    // What the filter leaves out altogether is not looked for at all.
    if (filter.neverUsed === true) return neverUsed();
    if (filter.neverUsed === false || filter.lastUsedBefore !== undefined) return used();
    return `${used()} union all ${neverUsed()}`;
  };
  return `select page.*, u.last_used_at, u.by_version from (${rows()}) page
    left join keys.key_usage u on u.key_id = page.key_id
    order by page.sort_value ${direction}, page.key_id ${direction} limit ${limit}`;
}

interface Row {
  readonly state: Key;
  readonly revision: number;
  readonly position: string;
  readonly last_used_at: Date | null;
  readonly by_version: Record<string, string> | null;
}

function sortValueOf(view: KeyView, sort: KeySort): string {
  switch (sort.replace('-', '')) {
    case 'expiresAt':
      return view.expiresAt ?? 'infinity';
    case 'lastUsedAt':
      return view.lastUsedAt ?? '-infinity';
    case 'name':
      return view.name ?? '';
    default:
      return view.createdAt;
  }
}

/** A page of the keys that the caller may see, and of no others. */
export async function readKeyPage(pool: Pick<Pool, 'query'>, request: KeyListRequest): Promise<KeyPage> {
  const { access, filter, sort, limit, at } = request;
  const { type, id } = access.principal;
  const identity = ['keys', sort, JSON.parse(JSON.stringify(filter)) as unknown, type, id];
  const place = placeOfCursor(identity, request.cursor);
  const values: unknown[] = [];
  const bind: Bind = (value) => `$${values.push(value)}`;
  const sql = pageSql(conditionsOf(access, filter, at, bind), filter, sort, place, limit + 1, bind);
  const { rows } = await pool.query<Row>(sql, values);
  const views = rows.map((row) => {
    const lastUsed = { at: row.last_used_at?.toISOString() ?? null, byVersion: row.by_version ?? {} };
    return keyView(row.state, row, lastUsed, at);
  });
  const page = pageOf(views, limit, identity, (last) => ({ values: [sortValueOf(last, sort)], id: last.id }));
  if (request.count !== true) return page;
  const total = await countKeys(pool, request, COUNT_MAX + 1);
  return {
    ...page,
    page: { ...page.page, total: Math.min(total, COUNT_MAX), totalIsCapped: total > COUNT_MAX },
  };
}

/** How many keys the filter matches, or `limit` if there are more. */
async function countKeys(
  pool: Pick<Pool, 'query'>,
  { access, filter, at }: Pick<KeyListRequest, 'access' | 'filter' | 'at'>,
  limit: number,
): Promise<number> {
  const values: unknown[] = [];
  const conditions = conditionsOf(access, filter, at, (value) => `$${values.push(value)}`);
  const { rows } = await pool.query<{ count: number }>(
    `select count(*)::int as count from
       (select 1 from keys.key_list k where ${conditions.join(' and ')} limit ${limit}) matched`,
    values,
  );
  return rows[0]?.count ?? 0;
}

/** The IDs of what the filter matches, one more than `limit` if there are more. */
export async function matchingKeyIds(
  pool: Pick<Pool, 'query'>,
  { access, filter, at }: Pick<KeyListRequest, 'access' | 'filter' | 'at'>,
  limit: number,
): Promise<string[]> {
  const values: unknown[] = [];
  const conditions = conditionsOf(access, filter, at, (value) => `$${values.push(value)}`);
  const { rows } = await pool.query<{ key_id: string }>(
    `select k.key_id from keys.key_list k where ${conditions.join(' and ')} order by k.key_id limit ${limit + 1}`,
    values,
  );
  return rows.map((row) => row.key_id);
}
