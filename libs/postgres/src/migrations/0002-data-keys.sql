-- The keys that seal private parts, wrapped by the key-encryption key, apart from the log and with a backup of their
-- own. To destroy one is to null its bytes: that erases the parts in every copy of the log, and nothing undoes it.
create table ledger.data_keys (
  name text collate "C" primary key,
  owner text collate "C" not null,
  wrapped bytea,
  kek_version text collate "C" not null,
  created_at timestamptz not null default clock_timestamp(),
  destroyed_at timestamptz,
  check ((wrapped is null) = (destroyed_at is not null))
);

create unique index data_keys_one_standing on ledger.data_keys (owner) where destroyed_at is null;
create index data_keys_kek_version on ledger.data_keys (kek_version) where destroyed_at is null;

create function ledger.guard_data_key() returns trigger language plpgsql as $$
begin
  if old.destroyed_at is not null then
    raise exception 'The data key % was destroyed and cannot be changed.', old.name using errcode = 'restrict_violation';
  end if;
  if (new.name, new.owner, new.created_at) is distinct from (old.name, old.owner, old.created_at) then
    raise exception 'The data key % keeps its name and its owner.', old.name using errcode = 'restrict_violation';
  end if;
  return new;
end $$;

create trigger guard before update on ledger.data_keys for each row execute function ledger.guard_data_key();
create trigger no_removal before delete or truncate on ledger.data_keys
  for each statement execute function ledger.refuse_change();

-- One value of each version of each key file: a lost or replaced file is noticed before anything is served.
create table ledger.key_checks (
  kind text collate "C" not null check (kind in ('kek', 'installation', 'pepper')),
  version text collate "C" not null,
  check_value bytea not null check (octet_length(check_value) = 32),
  created_at timestamptz not null default clock_timestamp(),
  primary key (kind, version)
);
