-- Statements of collection accounts, and which of their lines is which receipt.

-- A statement as it came; `document` is the file, sealed: narrations and references may tell a person.
create table statements (
  statement_id bigint generated always as identity, total bigint not null, imported_at timestamptz not null, tenant_id int not null,
  lines int not null, actor int not null, first_on date, last_on date,
  account text not null, name text not null, sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), document bytea not null,
  primary key (tenant_id, statement_id), unique (tenant_id, sha256)
);

-- Money that came in, by the account's own word. The digest is the claim of the receipt of that provider transaction.
create table statement_lines (
  statement_id bigint not null, amount bigint not null check (amount > 0), reference_digest uuid not null,
  tenant_id int not null, line_no int not null, value_date date not null,
  primary key (tenant_id, statement_id, line_no),
  foreign key (tenant_id, statement_id) references statements
);

-- Lines that are no receipt's yet, tried again at every run.
create table unmatched_lines (
  statement_id bigint not null, tenant_id int not null, line_no int not null,
  primary key (tenant_id, statement_id, line_no)
);

-- One line, one receipt. The receipt's money is reconciled from here on.
create table matches (
  member_id bigint not null, event_id bigint not null, statement_id bigint not null, matched_event bigint not null,
  tenant_id int not null, line_no int not null,
  primary key (member_id, event_id), unique (tenant_id, statement_id, line_no)
);

-- Reconciled receipts whose cash could not go into a dealing yet: still in suspense, or of members with no fund chosen.
create table unallocated (
  member_id bigint not null, event_id bigint not null, tenant_id int not null, collected int not null,
  reason text not null check (reason in ('suspended', 'no-fund-choice')),
  primary key (member_id, event_id)
);
create index unallocated_of on unallocated (tenant_id, reason);

-- What a receipt was corrected by, found from the receipt.
-- squawk-ignore require-concurrent-index-creation
create index corrections_of on corrections (corrects_member, corrects_event);
