grant select, insert on ledger.data_keys, ledger.key_checks to :program_role;
grant update (wrapped, kek_version, destroyed_at) on ledger.data_keys to :program_role;
