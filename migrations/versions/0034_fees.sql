-- Fees: what falls due on a day, proposed by one person, approved by another, and taken by ranges of members.

-- One run a time over a product. `terms` are the fees as whole numbers; a run that was stopped goes on by them. A run with a
-- `member_id` charges that one, who leaves on `left_on`; one that `corrects` another gives back what that one charged.
create table fee_runs (
  member_id bigint not null default 0, proposed_event bigint not null default 0, decided_event bigint not null default 0,
  net bigint not null default 0, vat bigint not null default 0, arrears bigint not null default 0,
  taken bigint not null default 0, owed bigint not null default 0, waived bigint not null default 0,
  tenant_id int not null, run_no int not null, corrects int not null default 0, maker int not null, checker int not null default 0,
  members int not null default 0, charged_on date not null, year_from date not null, left_on date,
  product text not null, reason text not null default '', digest text not null default '',
  state text not null default 'counting' check (state in ('counting', 'empty', 'proposed', 'rejected', 'approved', 'done')),
  terms jsonb not null, by_fee jsonb not null default '[]',
  primary key (tenant_id, run_no), check (checker <> maker), check ((state in ('counting', 'empty', 'proposed')) = (checker = 0)),
  check ((left_on is null) or (member_id <> 0)), check ((corrects <> 0) = (reason <> ''))
);
create unique index fee_runs_open on fee_runs (tenant_id, product) where state in ('counting', 'proposed', 'approved');
create index fee_runs_leaving on fee_runs (tenant_id, product, member_id) where left_on is not null;

-- The ranges of members a run is counted and taken by: the unit of resumption. `digest` is of its lines; event_id is 0 until
-- it is taken, and stays 0 where nothing moved; sale_event is the one that put units up for it.
create table fee_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0, sale_event bigint not null default 0,
  net bigint not null default 0, vat bigint not null default 0, arrears bigint not null default 0,
  taken bigint not null default 0, owed bigint not null default 0, waived bigint not null default 0,
  tenant_id int not null, run_no int not null, range_no int not null, members int not null default 0,
  digest text not null default '', state text not null default 'planned' check (state in ('planned', 'counted', 'selling', 'taken')),
  primary key (tenant_id, run_no, range_no), check (first_member <= last_member),
  foreign key (tenant_id, run_no) references fee_runs
) with (fillfactor = 80);
create index fee_ranges_by_event on fee_ranges (tenant_id, event_id) where event_id <> 0;

-- What a run says is due of a member: a fee of a period, the tax on it, and what was owed of it before. Negative in a run that
-- gives back.
create table fee_lines (
  member_id bigint not null, net bigint not null, vat bigint not null, arrears bigint not null,
  tenant_id int not null, run_no int not null, period_from date not null, fee text not null,
  primary key (member_id, run_no, fee), check (net + vat + arrears <> 0),
  foreign key (tenant_id, run_no) references fee_runs
);

-- What became of a line: `net` and `vat` were charged, `taken` of that and of `arrears` came out of the account, and `owed` is
-- left; what was due and not charged is waived.
create table fee_charges (
  member_id bigint not null, net bigint not null, vat bigint not null, arrears bigint not null, taken bigint not null, owed bigint not null,
  tenant_id int not null, run_no int not null, year_from date not null, period_from date not null, fee text not null,
  primary key (member_id, run_no, fee), check (taken + owed = net + vat + arrears),
  foreign key (tenant_id, run_no) references fee_runs
);
