-- Premiums: what covers cost, proposed by one person, approved by another, and paid by ranges of members; who is insured by them.

-- squawk-ignore ban-drop-constraint
alter table run_decisions drop constraint run_decisions_kind_check;
alter table run_decisions add constraint run_decisions_kind_check check (kind in ('match', 'fee', 'interest', 'premium')) not valid;

-- One run a time over a product. `terms` are the covers as whole numbers; a run that was stopped goes on by them.
create table premium_runs (
  proposed_event bigint not null default 0, decided_event bigint not null default 0,
  due bigint not null default 0, paid bigint not null default 0,
  tenant_id int not null, run_no int not null, maker int not null, checker int not null default 0,
  premiums int not null default 0, premiums_paid int not null default 0, charged_on date not null,
  product text not null, digest text not null default '',
  state text not null default 'counting' check (state in ('counting', 'empty', 'proposed', 'rejected', 'approved', 'done')),
  terms jsonb not null,
  primary key (tenant_id, run_no), check (checker <> maker), check ((state in ('counting', 'empty', 'proposed')) = (checker = 0))
);
create unique index premium_runs_open on premium_runs (tenant_id, product) where state in ('counting', 'proposed', 'approved');

-- The ranges of members a run is counted and paid by: the unit of resumption. event_id stays 0 where nothing moved.
create table premium_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0,
  due bigint not null default 0, paid bigint not null default 0,
  tenant_id int not null, run_no int not null, range_no int not null, premiums int not null default 0, premiums_paid int not null default 0,
  digest text not null default '', state text not null default 'planned' check (state in ('planned', 'counted', 'paid')),
  primary key (tenant_id, run_no, range_no), check (first_member <= last_member),
  foreign key (tenant_id, run_no) references premium_runs
) with (fillfactor = 80);
create index premium_ranges_by_event on premium_ranges (tenant_id, event_id) where event_id <> 0;

-- What a run asks of a member: the premium of a cover for a period, smallest units.
create table premium_lines (
  member_id bigint not null, due bigint not null check (due > 0), tenant_id int not null, run_no int not null,
  period_from date not null, cover text not null,
  primary key (member_id, run_no, cover, period_from), foreign key (tenant_id, run_no) references premium_runs
);

-- What became of a premium: due until it is paid or its grace is over; paid, in a file to the insurer once; returned if the insurer
-- does not take it. `paid_by` is "" where the member pays.
create table premiums (
  member_id bigint not null, minor bigint not null check (minor > 0), paid_event bigint not null default 0, returned_event bigint not null default 0,
  lapsed_event bigint not null default 0,
  tenant_id int not null, run_no int not null, paid_run int not null default 0, file_no int not null default 0, line_no int not null default 0,
  period_from date not null, period_until date not null, grace_until date not null, paid_on date,
  product text not null, cover text not null, insurer text not null, paid_by text not null default '',
  state text not null check (state in ('due', 'paid', 'lapsed', 'returned')),
  answer text not null default '' check (answer in ('', 'accepted', 'refused')), reason text not null default '',
  primary key (member_id, product, cover, period_from), check ((state in ('paid', 'returned')) = (paid_on is not null)),
  check ((file_no = 0) = (line_no = 0)), check (answer = '' or file_no <> 0), check ((state = 'returned') = (answer = 'refused')),
  check (period_from < period_until), check (period_from <= grace_until)
) with (fillfactor = 80);
create index premiums_unsent on premiums (tenant_id, product, insurer) where state = 'paid' and file_no = 0;
create unique index premiums_in_file on premiums (tenant_id, file_no, line_no) where file_no <> 0;
create index premiums_due on premiums (tenant_id, product, grace_until) where state = 'due';

-- Which accounts of a member a premium was paid out of.
create table premium_parts (
  member_id bigint not null, minor bigint not null check (minor > 0), tenant_id int not null, code int not null, period_from date not null,
  product text not null, cover text not null, paid_run int not null,
  primary key (member_id, product, cover, period_from, paid_run, code)
);

-- From when up to and without when premiums insure a member.
create table insured (
  member_id bigint not null, tenant_id int not null, since date not null, until date, begun_run int not null,
  product text not null, cover text not null, ended_by text not null default '' check (ended_by in ('', 'lapse', 'insurer')),
  primary key (member_id, product, cover, begun_run), check ((until is null) = (ended_by = '')), check (until is null or since <= until)
);
create unique index insured_open on insured (member_id, product, cover) where until is null;

create table premium_files (
  total bigint not null, tenant_id int not null, file_no int not null, premiums int not null, maker int not null, made_on date not null,
  product text not null, insurer text not null,
  primary key (tenant_id, file_no)
);

-- Guaranteed payments after a pensioner's death: each heir has a schedule of their share, which bears the number of the event that
-- began it; `death_claim` is the claim by which they inherit.
alter table pension_schedules add column death_claim bigint not null default 0;

-- What retirement claims give to buy annuities; `policy` is the number of what was issued, sealed under the member's key.
create table annuity_purchases (
  member_id bigint not null, claim_id bigint not null, amount bigint not null check (amount > 0), ended_event bigint not null default 0,
  tenant_id int not null, product text not null, insurer text not null,
  state text not null default 'due' check (state in ('due', 'confirmed', 'refused')), policy bytea,
  primary key (member_id, claim_id), check ((state = 'confirmed') = (policy is not null)), check ((state = 'due') = (ended_event = 0))
);
create unique index annuity_purchases_by_claim on annuity_purchases (tenant_id, claim_id);

-- A claim that was given up after it was booked stands in no other's way.
-- squawk-ignore require-concurrent-index-deletion
drop index benefit_claims_once;
-- squawk-ignore require-concurrent-index-creation
create unique index benefit_claims_once on benefit_claims (member_id, product, rule)
  where kind in ('retirement', 'exit') and state in ('decided', 'selling', 'payable') and closed_event = 0;
