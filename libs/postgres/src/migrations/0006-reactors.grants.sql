grant select, insert, update, delete on projections.reactors, projections.waiting_reactions to :program_role;
