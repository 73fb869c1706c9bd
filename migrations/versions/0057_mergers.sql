-- Mergers: this scheme goes into another. What two people stand for is the terms; a scheme goes once.
create table mergers (
  proposed_event bigint not null, decided_event bigint not null default 0,
  tenant_id int not null, merger_no int not null, maker int not null, checker int not null default 0, effective_on date not null,
  into_scheme text not null, source text not null, digest text not null,
  state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected')), terms jsonb not null,
  primary key (tenant_id, merger_no), check (checker <> maker), check ((state = 'proposed') = (checker = 0))
);
create unique index a_scheme_goes_once on mergers (tenant_id) where state <> 'rejected';

-- Rounds of a merger: the first hands everybody over, later ones what came late. Closed, its files are made, once; taken in, the
-- other scheme has said that it posted them.
create table hand_overs (
  closed_event bigint not null default 0, taken_in_event bigint not null default 0,
  tenant_id int not null, merger_no int not null, round_no int not null, members int not null default 0, closed_on date,
  digest text not null default '', state text not null default 'open' check (state in ('open', 'closed', 'filed', 'taken-in')),
  receipt jsonb, primary key (tenant_id, merger_no, round_no), foreign key (tenant_id, merger_no) references mergers,
  check ((state = 'open') = (closed_event = 0)), check ((closed_on is null) = (closed_event = 0)),
  check ((state in ('filed', 'taken-in')) = (digest <> '')), check ((state = 'taken-in') = (taken_in_event <> 0)), check ((receipt is null) = (taken_in_event = 0))
);

-- Members who were handed over, and what of them the other scheme counts on; product and group are the other scheme's.
create table handed_members (
  member_id bigint not null, tenant_id int not null, merger_no int not null, round_no int not null,
  joined_on date not null, first_contribution_on date, last_withdrawal_on date, product text not null, group_code text not null,
  primary key (member_id), foreign key (tenant_id, merger_no, round_no) references hand_overs
);

-- What of each account was handed over by an event, and what it is in the other scheme: smallest units of either's money or fund.
-- `cost` is what units were bought for, the average; `new_amount` may be 0 where a ratio leaves less than one smallest unit.
create table hand_over_lines (
  member_id bigint not null, event_id bigint not null, amount bigint not null check (amount > 0), cost bigint not null check (cost >= 0),
  new_amount bigint not null check (new_amount >= 0), tenant_id int not null, merger_no int not null, round_no int not null, code int not null,
  product text not null, pot text not null, origin text not null, fund text not null,
  primary key (member_id, round_no, code), foreign key (tenant_id, merger_no, round_no) references hand_overs
);
create index hand_over_lines_by_round on hand_over_lines (tenant_id, merger_no, round_no, member_id);
create index hand_over_lines_by_event on hand_over_lines (tenant_id, event_id);

-- What each of them had paid in, by day, less what earlier benefits gave back; product and pot are the other scheme's.
create table hand_over_history (
  member_id bigint not null, minor bigint not null check (minor > 0), tenant_id int not null, merger_no int not null, round_no int not null,
  payments int not null check (payments > 0), paid_on date not null, product text not null, pot text not null, origin text not null,
  primary key (member_id, paid_on, product, pot, origin, round_no), foreign key (tenant_id, merger_no, round_no) references hand_overs
);

-- The files of a round, each sealed for the other scheme: this one cannot open them again.
create table hand_over_files (
  tenant_id int not null, merger_no int not null, round_no int not null, file_no int not null, name text not null, sha256 text not null, document bytea not null,
  primary key (tenant_id, merger_no, round_no, name), foreign key (tenant_id, merger_no, round_no) references hand_overs
);

-- Payments that came for members who were handed over: out of suspense, owed to the other scheme, told to it in a file of payments.
create table forwarded_payments (
  member_id bigint not null, receipt bigint not null, event_id bigint not null, amount bigint not null check (amount > 0),
  tenant_id int not null, merger_no int not null, primary key (tenant_id, receipt), foreign key (tenant_id, merger_no) references mergers
);

-- squawk-ignore ban-drop-constraint
alter table members drop constraint members_status_check;
alter table members add constraint members_status_check check (status in ('active', 'erased', 'merged', 'handed-over')) not valid;

-- Members of a scheme that is taken over who are members here already: staged under a pseudonym of their own, credited as `known_as`.
alter table opening_members add column if not exists known_as bigint not null default 0;
-- squawk-ignore require-concurrent-index-creation
create index opening_members_known on opening_members (known_as) where known_as <> 0;
create function opened_as(who bigint) returns table (member_id bigint) language sql stable as
$$ select who union all select m.member_id from opening_members m where m.known_as = who and who <> 0 $$;
