grant usage on schema ledger to :program_role;
grant select on ledger.migrations to :program_role;
grant select, insert on ledger.events to :program_role;
grant select, update (position, stored_at) on ledger.head to :program_role;
