-- How far each reactor has come. The epoch is its lease's: a deposed holder can move nothing.
create table projections.reactors (
  reactor text collate "C" primary key,
  position text collate "C" not null,
  epoch bigint not null default 0,
  updated_at timestamptz not null default clock_timestamp()
);

-- Events whose reaction failed, and those behind them of the same key. They are read from the store again by stream and
-- revision: no content is copied.
create table projections.waiting_reactions (
  reactor text collate "C" not null references projections.reactors on delete cascade,
  position text collate "C" not null,
  key text collate "C" not null,
  stream text collate "C" not null,
  revision bigint not null,
  type text not null,
  -- Null for an event that only waits behind another.
  reason text,
  attempts integer not null,
  retry_at timestamptz not null,
  waiting_since timestamptz not null default clock_timestamp(),
  primary key (reactor, position)
);
