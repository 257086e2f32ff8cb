import type { Pool } from 'pg';
import type { LimitSource, MemberRole, QuotaLimit } from '#libs/contracts';
import { type Catalogue, type CatalogueResource, resourcesOf } from '../domain/catalogue.js';
import type { MemberRowsView, ProjectQuotasView, RowView, ServiceQuotasView } from '../quotas.views.js';

/** The quota page of a project: its own row and every member's, of every resource of the catalogue, in one query. */

const stored = (limit: QuotaLimit): number | 'Infinity' => (limit === 'unlimited' ? 'Infinity' : limit);

/** An amount or `unlimited` from a numeric, which comes as a text. */
export const limitOf = (amount: string): QuotaLimit => (amount === 'Infinity' ? 'unlimited' : Number(amount));

/** The catalogue as the query takes it: what nobody has set anything for has rows too. */
export const catalogueJson = (resources: readonly CatalogueResource[]): string =>
  JSON.stringify(
    resources.map(({ service, resource, unit, defaultProjectLimit, defaultMemberLimit }) => ({
      ...{ service, resource, unit },
      project_default: stored(defaultProjectLimit),
      member_default: stored(defaultMemberLimit),
    })),
  );

// $1 project, $2 catalogue, $3 the present, by which reservations that are due count as expired although no command has
// come since to write that down.
const PAGE = `
  with catalogue as (
    select * from json_to_recordset($2) as c
      (service text, resource text, unit text, project_default numeric, member_default numeric)
  ), due as (
    select coalesce(r.user_id, '') as user_id, i.service, i.resource, sum(i.amount) as amount
    from quotas.reservations r, json_to_recordset(r.items) as i (service text, resource text, amount numeric)
    where r.project_id = $1 and r.status = 'open' and r.expires_at <= $3
    group by grouping sets ((r.user_id, i.service, i.resource), (i.service, i.resource))
  ), counted as (
    select c.user_id, c.service, c.resource, c.used, c.reserved - coalesce(d.amount, 0) as reserved
    from quotas.counters c left join due d using (user_id, service, resource)
    where c.project_id = $1
  ), limits as (
    select * from quotas.limits where project_id = $1
  ), people as (
    select '' as user_id, null as role, null as display_name, 0 as part
    union all
    select user_id, role, display_name, 1 from quotas.members where project_id = $1
    union all
    -- Those who left and still use something are on the page too, else its rows would not add up.
    select distinct user_id, null, null, 2 from counted
    where user_id <> '' and used + reserved > 0
      and user_id not in (select user_id from quotas.members where project_id = $1)
  ), cells as (
    -- Grouped and not joined, so that a page of thousands of members costs what its rows cost, whatever the planner guesses.
    select user_id, service, resource, min(part) as part, max(role) as role, max(display_name) as display_name,
      max(amount) as amount, max(soft) as soft, coalesce(max(revision), 0) as revision,
      coalesce(sum(used), 0) as used, coalesce(sum(reserved), 0) as reserved
    from (
      select p.user_id, c.service, c.resource, p.part, p.role, p.display_name,
        null::numeric as amount, null::bigint as soft, null::bigint as revision, null::numeric as used, null::numeric as reserved
      from people p cross join catalogue c
      union all
      select user_id, service, resource, null, null, null, null, null, null, used, reserved from counted
      union all
      select user_id, service, resource, null, null, null, amount, soft, revision, null, null from limits
      where scope <> 'memberDefault'
    ) facts
    group by user_id, service, resource
  ), resources as materialized (
    select c.*, d.amount as inherited, d.soft as inherited_soft,
      coalesce(p.amount, c.project_default) - coalesce(t.used + t.reserved, 0) as project_left
    from catalogue c
    left join limits d on d.scope = 'memberDefault' and d.service = c.service and d.resource = c.resource
    left join limits p on p.scope = 'project' and p.service = c.service and p.resource = c.resource
    left join counted t on t.user_id = '' and t.service = c.service and t.resource = c.resource
  ), rows as (
    select n.*, r.unit, r.project_left,
      case when n.part = 0 then coalesce(n.amount, r.project_default)
        else coalesce(n.amount, r.inherited, r.member_default) end as "limit",
      case when n.amount is not null then 'set' when n.part > 0 and r.inherited is not null then 'memberDefault'
        else 'catalogue' end as source,
      case when n.part = 0 or n.amount is not null then n.soft else r.inherited_soft end as shown_soft
    from cells n join resources r using (service, resource)
    -- Who is not on the page may have limits still, and what the catalogue is narrowed to has none of the other rows.
    where n.part is not null
  )
  select user_id, role, display_name, service, resource, unit, "limit", shown_soft as soft, used, reserved,
    greatest(0, least("limit" - used - reserved, project_left)) as available, source, used + reserved > "limit" as over,
    revision, (select position from quotas.ledgers where project_id = $1) as position
  from rows
  order by service collate "C", part, user_id collate "C", resource collate "C"`;

interface Row {
  readonly user_id: string;
  readonly role: MemberRole | null;
  readonly display_name: string | null;
  readonly service: string;
  readonly resource: string;
  readonly unit: string;
  readonly limit: string;
  readonly soft: string | null;
  readonly used: string;
  readonly reserved: string;
  readonly available: string;
  readonly source: LimitSource;
  readonly over: boolean;
  readonly revision: string;
  readonly position: string | null;
}

const rowOf = (row: Row): RowView => ({
  resource: row.resource,
  unit: row.unit,
  limit: limitOf(row.limit),
  soft: row.soft === null ? null : Number(row.soft),
  used: Number(row.used),
  reserved: Number(row.reserved),
  available: limitOf(row.available),
  source: row.source,
  over: row.over,
  revision: Number(row.revision),
});

export interface QuotaPageRequest {
  readonly projectId: string;
  /** Only this one; undefined is all. */
  readonly service: string | undefined;
  readonly catalogue: Catalogue;
  readonly at: string;
}

/** `position` is that of the last event of the project's ledger that the page shows. */
export async function readQuotaPage(pool: Pick<Pool, 'query'>, request: QuotaPageRequest): Promise<ProjectQuotasView> {
  const { projectId, service, catalogue, at } = request;
  const resources = resourcesOf(catalogue).filter((one) => service === undefined || one.service === service);
  const { rows } = await pool.query<Row>(PAGE, [projectId, catalogueJson(resources), at]);
  const services: ServiceQuotasView[] = [];
  // They come in the order of the page, so each belongs to the last service and person, or begins the next.
  for (const row of rows) {
    let ofService = services.at(-1);
    if (ofService?.service !== row.service) {
      ofService = { service: row.service, project: [], members: [] };
      services.push(ofService);
    }
    if (row.user_id === '') ofService.project.push(rowOf(row));
    else memberOf(ofService, row).resources.push(rowOf(row));
  }
  return { projectId, position: rows[0]?.position ?? null, services };
}

function memberOf({ members }: ServiceQuotasView, { user_id: userId, display_name, role }: Row): MemberRowsView {
  const last = members.at(-1);
  if (last?.userId === userId) return last;
  const member = { userId, displayName: display_name, role, resources: [] };
  members.push(member);
  return member;
}
