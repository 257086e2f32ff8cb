-- The trace that wrote an event (W3C Trace Context), beside the envelope and in none of its hashes; null where no trace
-- was made or kept.
alter table ledger.events add column traceparent text collate "C";

-- As it was, and with the trace of each event. Whoever runs the program before this one goes on calling it without.
drop function ledger.append_batch;

-- One batch of appends. Per append: the stream as an index into `streams`, the expected revision, the number of events.
-- Per event: its append, its place in it from 0, and its fields. The texts (an envelope, then its private parts) and the
-- hashes (leaf, then chain) lie one after the other in a bytea each, since arrays of text would be quoted and parsed.
-- `traceparents` has an element for each event, or is null where none bears any.
-- Per append it answers the position of its first event, or null with the revision that the stream is at and whether
-- the very same events stand there already. One loser never aborts the others.
create function ledger.append_batch(
  streams text[], append_stream int[], append_expected bigint[], append_count int[],
  event_append int[], event_nth int[], event_ids uuid[], event_types text[], event_tenants text[],
  event_projects text[], text_starts int[], envelope_sizes int[], private_sizes int[], texts bytea, hashes bytea,
  traceparents text[] default null
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
      head_stored_at, e.traceparent
    from unnest(event_append, event_nth, event_ids, event_types, event_tenants, event_projects, text_starts,
      envelope_sizes, private_sizes, traceparents) with ordinality
      as e (append, nth, id, type, tenant, project, text_start, envelope_size, private_size, traceparent, n)
    where firsts[e.append] is not null;

    update ledger.head h set position = next_position - 1, stored_at = head_stored_at;
    perform pg_notify('ledger', (next_position - 1)::text);
  end if;

  return query select u.f, u.a, u.d, head_stored_at from unnest(firsts, actuals, found_done) as u (f, a, d);
end $$;
