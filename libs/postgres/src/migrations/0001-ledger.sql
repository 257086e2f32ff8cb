-- The ledger: one head row and the events. Positions follow the order of commits because whoever appends locks the
-- head row first and keeps it until its commit; no sequence and no transaction id is involved, so nothing is skipped.

create table ledger.head (
  only_row boolean primary key default true check (only_row),
  position bigint not null,
  stored_at timestamptz not null
) with (fillfactor = 10);

insert into ledger.head (position, stored_at) values (0, '-infinity');

create table ledger.events (
  position bigint primary key,
  stream text collate "C" not null,
  revision bigint not null check (revision > 0),
  event_id uuid not null constraint events_event_id_key unique,
  type text collate "C" not null,
  tenant_id text collate "C",
  project_id text collate "C",
  envelope text collate "C" not null,
  leaf_hash bytea not null check (octet_length(leaf_hash) = 32),
  chain_hash bytea not null check (octet_length(chain_hash) = 32),
  private_parts text collate "C",
  stored_at timestamptz not null,
  unique (stream, revision)
);

create index events_tenant_id_position on ledger.events (tenant_id, position);

create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'The ledger is append-only: % on %.% is refused.', tg_op, tg_table_schema, tg_table_name
    using errcode = 'restrict_violation';
end $$;

create trigger append_only before update or delete or truncate on ledger.events
  for each statement execute function ledger.refuse_change();

-- One batch of appends. Per append: the stream as an index into `streams`, the expected revision, the number of events.
-- Per event: its append, its place in it from 0, and its fields. The texts (an envelope, then its private parts) and the
-- hashes (leaf, then chain) lie one after the other in a bytea each, since arrays of text would be quoted and parsed.
-- Per append it answers the position of its first event, or null with the revision that the stream is at and whether
-- the very same events stand there already. One loser never aborts the others.
create function ledger.append_batch(
  streams text[], append_stream int[], append_expected bigint[], append_count int[],
  event_append int[], event_nth int[], event_ids uuid[], event_types text[], event_tenants text[],
  event_projects text[], text_starts int[], envelope_sizes int[], private_sizes int[], texts bytea, hashes bytea
) returns table (first_position bigint, actual_revision bigint, already boolean, stored_at timestamptz)
language plpgsql as $$
declare
  head_position bigint;
  head_stored_at timestamptz;
  next_position bigint;
  appends int := cardinality(append_stream);
  revisions bigint[];
  firsts bigint[] := array_fill(null::bigint, array[appends]);
  actuals bigint[] := array_fill(null::bigint, array[appends]);
  found_done boolean[] := array_fill(false, array[appends]);
  s int;
  first_event int := 1;
begin
  -- A statement of its own: those after it see all that was committed before the lock was had.
  select h.position, h.stored_at into strict head_position, head_stored_at from ledger.head h for update;
  head_stored_at := greatest(date_trunc('milliseconds', clock_timestamp()), head_stored_at);
  next_position := head_position + 1;

  select array_agg(coalesce(last.revision, 0) order by wanted.n) into revisions
  from unnest(streams) with ordinality as wanted (stream, n)
  left join lateral (
    select e.revision from ledger.events e where e.stream = wanted.stream order by e.revision desc limit 1
  ) last on true;

  for i in 1..appends loop
    s := append_stream[i];
    if revisions[s] = append_expected[i] then
      firsts[i] := next_position;
      next_position := next_position + append_count[i];
      revisions[s] := revisions[s] + append_count[i];
    elsif revisions[s] >= append_expected[i] + append_count[i] then
      found_done[i] := append_count[i] = (
        select count(*) from ledger.events e
        where e.stream = streams[s]
          and e.revision > append_expected[i] and e.revision <= append_expected[i] + append_count[i]
          and e.event_id = event_ids[first_event + (e.revision - append_expected[i])::int - 1]
      );
    end if;
    actuals[i] := revisions[s];
    first_event := first_event + append_count[i];
  end loop;

  if next_position > head_position + 1 then
    insert into ledger.events
    select firsts[e.append] + e.nth, streams[append_stream[e.append]], append_expected[e.append] + 1 + e.nth,
      e.id, e.type, e.tenant, e.project,
      convert_from(substring(texts from e.text_start for e.envelope_size), 'UTF8'),
      substring(hashes from e.n::int * 64 - 63 for 32), substring(hashes from e.n::int * 64 - 31 for 32),
      case when e.private_size > 0
        then convert_from(substring(texts from e.text_start + e.envelope_size for e.private_size), 'UTF8') end,
      head_stored_at
    from unnest(event_append, event_nth, event_ids, event_types, event_tenants, event_projects, text_starts,
      envelope_sizes, private_sizes) with ordinality
      as e (append, nth, id, type, tenant, project, text_start, envelope_size, private_size, n)
    where firsts[e.append] is not null;

    update ledger.head h set position = next_position - 1, stored_at = head_stored_at;
    perform pg_notify('ledger', (next_position - 1)::text);
  end if;

  return query select u.f, u.a, u.d, head_stored_at from unnest(firsts, actuals, found_done) as u (f, a, d);
end $$;

-- Positions are dense and the store's time never runs back, so a moment is found by halving.
create function ledger.position_at(moment timestamptz) returns bigint language plpgsql stable as $$
declare
  low bigint := 0;
  high bigint;
  middle bigint;
begin
  select h.position into strict high from ledger.head h;
  while low < high loop
    middle := (low + high + 1) / 2;
    if (select e.stored_at <= moment from ledger.events e where e.position = middle) then
      low := middle;
    else
      high := middle - 1;
    end if;
  end loop;
  return low;
end $$;
