-- Loans from savings, and savings pledged to lenders: applied for, decided and approved as claims of kind 'loan'.

-- squawk-ignore ban-drop-constraint
alter table benefit_claims drop constraint benefit_claims_kind_check;
alter table benefit_claims add constraint benefit_claims_kind_check check (kind in ('access', 'retirement', 'exit', 'death', 'loan', 'cover')) not valid;
-- squawk-ignore ban-drop-constraint
alter table benefit_claims drop constraint benefit_claims_state_check;
alter table benefit_claims add constraint benefit_claims_state_check
  check (state in ('open', 'decided', 'selling', 'payable', 'refused', 'withdrawn', 'continued', 'pledged', 'asked')) not valid;

-- A loan is numbered as its claim. Smallest units: `owed` of `principal` is not paid back; of a loan from savings it stands in
-- the member's `lent` accounts, of a pledge the lender said so. What a lender says waits with its `digest` for a second
-- person: `said_owed` is negative while nothing waits. `ended_event` is what ended it.
create table loans (
  member_id bigint not null, loan_id bigint not null, principal bigint not null check (principal > 0),
  owed bigint not null check (owed between 0 and principal), began_event bigint not null, ended_event bigint not null default 0,
  said_owed bigint not null default -1, tenant_id int not null, said_by int not null default 0,
  began_on date not null, joined_on date not null, said_unpaid_since date, instalments smallint not null check (instalments > 0),
  default_months smallint not null check (default_months >= 0),
  product text not null, rule text not null, form text not null check (form in ('loan', 'pledge')), percent text not null, lender text not null,
  state text not null default 'running' check (state in ('running', 'in-default', 'frozen', 'repaid', 'released', 'set-off')),
  digest text not null default '', primary key (member_id, loan_id),
  check ((form = 'pledge') = (lender <> '')), check ((state in ('repaid', 'released', 'set-off')) = (ended_event <> 0)),
  check (state not in ('repaid', 'released') or owed = 0), check ((said_owed >= 0) = (said_by <> 0))
);
create unique index loans_by_id on loans (tenant_id, loan_id);
create index loans_running on loans (tenant_id, member_id) where ended_event = 0;

-- What was agreed to fall due when; smallest units.
create table loan_instalments (
  member_id bigint not null, loan_id bigint not null, principal bigint not null check (principal >= 0), interest bigint not null check (interest >= 0),
  tenant_id int not null, due_on date not null, number smallint not null check (number > 0),
  primary key (member_id, loan_id, number)
);

-- What each payment paid of a loan; `saved` is what was above all that was owed, and is the member's savings.
create table loan_repayments (
  member_id bigint not null, event_id bigint not null, loan_id bigint not null, receipt bigint not null,
  principal bigint not null check (principal >= 0), interest bigint not null check (interest >= 0), saved bigint not null check (saved >= 0),
  tenant_id int not null, paid_on date not null, primary key (member_id, event_id)
);
create index loan_repayments_of on loan_repayments (member_id, loan_id);

-- Money that nobody claims: whose it is, how they were looked for, what was handed over, and what they took back.

-- A member whose money in a product is presumed unclaimed, since a day of last activity or on which a benefit fell due. `noticed_on` is the
-- day they were first told. It ends with the next thing that they do. A reclaim waits with its digest for a second person.
create table unclaimed_cases (
  member_id bigint not null, opened_event bigint not null, reclaimed_event bigint not null default 0, tenant_id int not null,
  run_no int not null default 0, reclaim_by int not null default 0, counted_from date not null, noticed_on date, handed_over_on date,
  product text not null, rule text not null, digest text not null default '',
  state text not null default 'presumed' check (state in ('presumed', 'ended', 'handed-over', 'reclaimed')),
  primary key (member_id, product, opened_event),
  check ((state in ('handed-over', 'reclaimed')) = (handed_over_on is not null)), check ((state = 'reclaimed') = (reclaimed_event <> 0)),
  check ((digest <> '') = (reclaim_by <> 0))
);
create unique index unclaimed_cases_open on unclaimed_cases (member_id, product) where state = 'presumed';
create index unclaimed_cases_in on unclaimed_cases (tenant_id, product, state);

-- How an owner was looked for, and with what success; an event that is the house's told of all at once.
create table unclaimed_searches (
  member_id bigint not null, event_id bigint not null, opened_event bigint not null, tenant_id int not null, searched_on date not null,
  product text not null, means text not null, outcome text not null check (outcome in ('told', 'found', 'no-answer', 'not-found')),
  primary key (member_id, product, event_id)
);

-- A handing over: counted and proposed by one person, approved by another on the digest of all its lines; `receipt` is what
-- whoever took it gave for it. Amounts in smallest units.
create table unclaimed_runs (
  total bigint not null check (total >= 0), proposed_event bigint not null default 0, decided_event bigint not null default 0, done_event bigint not null default 0,
  tenant_id int not null, run_no int not null, members int not null check (members >= 0), maker int not null, checker int not null default 0,
  handed_over_on date not null, received_on date, product text not null, handed_to text not null, rule text not null, digest text not null, receipt text not null default '',
  state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected', 'done')),
  primary key (tenant_id, run_no), check (checker <> maker), check ((state = 'proposed') = (checker = 0)),
  check ((receipt <> '') = (received_on is not null)), check (receipt = '' or state = 'done')
);
create unique index one_handing_over_at_a_time on unclaimed_runs (tenant_id, product) where state in ('proposed', 'approved');

-- What is handed over of an account; 'left' where its owner was heard of, or it held less, before it was.
create table unclaimed_lines (
  member_id bigint not null, minor bigint not null check (minor > 0), event_id bigint not null default 0,
  tenant_id int not null, run_no int not null, code int not null,
  state text not null default 'proposed' check (state in ('proposed', 'handed-over', 'left')),
  primary key (member_id, run_no, code), check ((state = 'handed-over') = (event_id <> 0)),
  foreign key (tenant_id, run_no) references unclaimed_runs
);
create index unclaimed_lines_of on unclaimed_lines (tenant_id, run_no, member_id);

-- Claims of insurance cover are claims of kind 'cover', which whoever pays the sums is asked in files, and answers one by one.

-- A file of claims to whoever pays: its lines are the claims that name it. Smallest units.
create table cover_files (
  total bigint not null check (total > 0), tenant_id int not null, file_no int not null, claims int not null check (claims > 0),
  maker int not null, made_on date not null, product text not null, payer text not null, primary key (tenant_id, file_no)
);

-- What is asked of a claim, and what was answered; `file_no` is 0 until it is in a file, which happens once.
create table cover_claims (
  member_id bigint not null, claim_id bigint not null, amount bigint not null check (amount > 0), tenant_id int not null,
  file_no int not null default 0, happened_on date not null, product text not null, payer text not null, peril text not null,
  state text not null default 'approved' check (state in ('approved', 'sent', 'accepted', 'refused')), reason text not null default '',
  primary key (member_id, claim_id), check ((state = 'approved') = (file_no = 0)), check (reason = '' or state = 'refused')
);
create unique index cover_claims_by_id on cover_claims (tenant_id, claim_id);
create index cover_claims_in on cover_claims (tenant_id, file_no);
