-- Statements with balances, of any format; money that went out beside money that came in; corrected versions; holdings.

-- A file may hold several statements: `place` counts them from 1, and the file lies sealed with the first. `number` and
-- `reference` are the bank's own; `corrects` is the statement that this one is a later version of. Balances are the
-- account's before and after, none where the file has none.
alter table statements
  add column place smallint not null default 1, add column number int, add column reference text not null default '',
  add column opening bigint, add column closing bigint, add column corrects bigint;
-- squawk-ignore ban-drop-constraint
alter table statements drop constraint statements_tenant_id_sha256_key;
-- squawk-ignore disallowed-unique-constraint, constraint-missing-not-valid
alter table statements add constraint one_statement_a_place unique (tenant_id, sha256, place);
-- squawk-ignore require-concurrent-index-creation
create index statements_of on statements (tenant_id, account, last_on);

-- Money that went out is negative. `row` is where the line stands in the file, `other_digest` what else the receipt may
-- be known by; `code` is the bank's own word for the kind of movement.
alter table statement_lines add column other_digest uuid, add column row int, add column code text not null default '';
-- squawk-ignore ban-drop-constraint
alter table statement_lines drop constraint statement_lines_amount_check;
alter table statement_lines add constraint line_moves_money check (amount <> 0) not valid;

-- Lines that wait for no receipt any more though they are none's: a later version of the statement has them no longer, or
-- they pay an order (`event_id`). A matched line that was withdrawn stands here as well, for people to look at.
create table settled_lines (
  statement_id bigint not null, event_id bigint, by_statement bigint,
  tenant_id int not null, line_no int not null,
  how text not null check (how in ('withdrawn', 'order')),
  primary key (tenant_id, statement_id, line_no),
  foreign key (tenant_id, statement_id, line_no) references statement_lines
);
create index settled_by on settled_lines (tenant_id, event_id) where event_id is not null;

-- What a fund manager or custodian says it holds for the scheme at the end of a day, as its file came. The last file of a
-- day counts; a fund of ours that it does not name is held by somebody else.
create table holdings_files (
  file_id bigint generated always as identity, imported_at timestamptz not null, tenant_id int not null, actor int not null,
  day date not null, name text not null, sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), raw bytea not null,
  primary key (tenant_id, file_id), unique (tenant_id, sha256)
);
create table holdings_told (
  file_id bigint not null, units bigint not null, tenant_id int not null, fund_id int not null,
  primary key (tenant_id, file_id, fund_id), foreign key (tenant_id, file_id) references holdings_files,
  foreign key (tenant_id, fund_id) references funds
);
