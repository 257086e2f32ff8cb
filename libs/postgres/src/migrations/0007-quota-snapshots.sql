-- The folded state of a project's ledger at some revision, so that a long history is not folded at every load. No truth:
-- whoever deletes a row, or all of them, makes the next load of those projects slower and changes nothing else.
create table projections.quota_snapshots (
  stream text collate "C" primary key,
  -- Of the program that folded it; one of another release is passed over.
  version integer not null,
  revision bigint not null check (revision > 0),
  -- Of the stream's event at that revision: a snapshot of another history is passed over.
  chain_hash bytea not null,
  -- Gzipped lines of JSON.
  content bytea not null,
  -- HMAC-SHA-256 under the installation key of all of the above: it decides what is granted.
  mac bytea not null,
  taken_at timestamptz not null default clock_timestamp()
);
alter table projections.quota_snapshots alter column content set storage external;
