-- State money: what members' own savings earned of it, claimed from who pays it, received, and shared among them.

-- A claim is never edited: what changes afterwards is a line of the next one. `digest` is of its file, which two people stand for.
create table match_claims (
  total bigint not null default 0, asked bigint not null default 0, given_back bigint not null default 0, received bigint not null default 0, shared bigint not null default 0,
  prepared_event bigint not null, decided_event bigint not null default 0,
  tenant_id int not null, claim_no int not null, maker int not null, checker int not null default 0, lines int not null default 0,
  prepared_on date not null, year_from date not null, year_until date not null,
  product text not null, funder text not null, rule text not null, digest text not null default '',
  state text not null default 'prepared' check (state in ('prepared', 'sent', 'rejected', 'settled')),
  primary key (tenant_id, claim_no), check (total = asked - given_back), check (shared <= received + given_back)
);
create unique index match_claims_prepared on match_claims (tenant_id, product) where state = 'prepared';

-- What a member's scheme year earned more than was claimed for it before; less, if negative. `saved` is what it earned it by.
create table match_claim_lines (
  member_id bigint not null, minor bigint not null check (minor <> 0), entitled bigint not null check (entitled >= 0), saved bigint not null,
  tenant_id int not null, claim_no int not null, year_from date not null, class text not null,
  primary key (member_id, claim_no, year_from), foreign key (tenant_id, claim_no) references match_claims
);
create index match_claim_lines_by_claim on match_claim_lines (tenant_id, claim_no, member_id);

-- What was shared with a member by an event: paid for a line, or taken back; `uncovered` is owed back, and there was no money for it.
create table match_shares (
  member_id bigint not null, event_id bigint not null, minor bigint not null, uncovered bigint not null default 0 check (uncovered >= 0),
  tenant_id int not null, claim_no int not null, year_from date not null,
  primary key (member_id, event_id, claim_no, year_from), check (minor <> 0 or uncovered <> 0),
  foreign key (tenant_id, claim_no) references match_claims
);

-- What the funder paid for a claim: the event that booked it, and the one that shared it, 0 until then.
create table match_receipts (
  amount bigint not null check (amount > 0), event_id bigint not null, shared_event bigint not null default 0,
  tenant_id int not null, claim_no int not null, code int not null,
  primary key (tenant_id, event_id), foreign key (tenant_id, claim_no) references match_claims
);
