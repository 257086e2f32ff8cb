-- The history of one project in the order of the log, and nothing of the rest of its tenant: project admins page
-- through it. What has no project needs no place in it.
create index events_project_id_position on ledger.events (project_id, position) where project_id is not null;
