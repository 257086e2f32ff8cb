grant select, insert, update, delete on projections.relays to :program_role;
