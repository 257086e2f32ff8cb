grant select, insert on ledger.oidc_issuers to :program_role;
