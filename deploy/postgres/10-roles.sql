-- Two roles and a database, as the embedded tier makes them: the owner migrates, the program runs and cannot change what
-- stands in the ledger. The passwords are read here, so that no command line and no environment bears them.
\set owner_password `cat /run/secrets/postgres-owner-password`
\set program_password `cat /run/secrets/postgres-program-password`
create role steward_owner login nosuperuser nocreatedb nocreaterole noreplication password :'owner_password';
create role steward_program login nosuperuser nocreatedb nocreaterole noreplication password :'program_password';
grant steward_program to steward_owner;
create database steward owner steward_owner template template0 encoding 'UTF8' locale 'C';
revoke all on database steward from public;
grant connect on database steward to steward_program;
