-- How far the events have been published elsewhere. The epoch is the lease's: a deposed holder can move nothing.
create table projections.relays (
  relay text collate "C" primary key,
  position text collate "C" not null,
  epoch bigint not null default 0,
  updated_at timestamptz not null default clock_timestamp()
);
