-- The id prefix of each issuer of sign-ins, recorded at its first and never changed: one id is one person. Empty for
-- the one issuer whose ids have none.
create table ledger.oidc_issuers (
  issuer text collate "C" primary key,
  id_prefix text collate "C" not null unique check (id_prefix ~ '^([a-z0-9]{1,12}_)?$'),
  recorded_at timestamptz not null default clock_timestamp()
);

create trigger append_only before update or delete or truncate on ledger.oidc_issuers
  for each statement execute function ledger.refuse_change();
