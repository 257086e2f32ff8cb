grant select, insert, update, delete on projections.quota_snapshots to :program_role;
