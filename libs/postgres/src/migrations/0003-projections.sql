create schema projections;

-- Who runs a projection (or rebuilds it). The epoch only grows, so what a paused holder writes later is told apart.
create table projections.leases (
  name text collate "C" primary key,
  owner text not null,
  epoch bigint not null,
  expires_at timestamptz not null,
  -- The holder's connection: a lease whose connection has ended is free before it runs out.
  session_pid integer not null,
  session_started_at timestamptz not null
);

-- One row for each generation of a projection's tables: `<schema>.<table>_v<version>_g<generation>`. The row is the
-- fence as well: a page, a retry of parked events and a switch all end by changing it.
create table projections.checkpoints (
  projection text collate "C" not null,
  generation integer not null check (generation > 0),
  version integer not null,
  schema_name text not null,
  tables text[] not null,
  status text not null check (status in ('building', 'live', 'retired')),
  position text collate "C" not null,
  epoch bigint not null default 0,
  -- Grows whenever the parking lot is changed by anyone but the runner, which then looks again.
  parking_revision integer not null default 0,
  updated_at timestamptz not null default clock_timestamp(),
  retired_at timestamptz,
  primary key (projection, generation)
);

create unique index checkpoints_one_live on projections.checkpoints (projection) where status = 'live';

-- Events that could not be applied, and those behind them of the same key. They are read from the store again by
-- stream and revision: no content is copied.
create table projections.parked_events (
  projection text collate "C" not null,
  generation integer not null,
  key text collate "C" not null,
  position text collate "C" not null,
  stream text collate "C" not null,
  revision bigint not null,
  type text not null,
  -- Null for an event that only stands behind another.
  reason text,
  attempts integer not null,
  parked_at timestamptz not null default clock_timestamp(),
  primary key (projection, generation, key, position),
  foreign key (projection, generation) references projections.checkpoints on delete cascade
);

-- What an operator decided to leave out, for this and every later generation.
create table projections.skipped_events (
  projection text collate "C" not null,
  position text collate "C" not null,
  stream text collate "C" not null,
  revision bigint not null,
  reason text not null,
  skipped_at timestamptz not null default clock_timestamp(),
  primary key (projection, position)
);
