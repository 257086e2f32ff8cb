grant usage on schema projections to :program_role;
grant select, insert, update, delete on projections.leases, projections.checkpoints, projections.parked_events
  to :program_role;
grant select, insert on projections.skipped_events to :program_role;
-- The program's role makes, and so owns, the schemas of its read models: a rebuild makes tables.
do $$ begin
  execute format('grant create on database %I to %s', current_database(), $role$:program_role$role$);
end $$;
