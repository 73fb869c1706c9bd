-- Which day's price a closed dealing takes: fixed at its cut-off, by the rules of that day. Until now: the first after it.
alter table dealings add column priced_by text not null default 'next', add column price_lag smallint not null default 0;
alter table dealings add constraint dealings_priced_by check (priced_by in ('forward', 'next', 'historic') and price_lag between 0 and 10) not valid;

-- A price that was wrong stays as it was published; the right one stands beside it and names its file. The newest counts.
-- A fund has a price a day: the table is small, and its indexes are made while it is locked.
alter table prices add column corrects bigint not null default 0;
-- squawk-ignore require-concurrent-index-deletion
drop index prices_one_a_day;
-- squawk-ignore require-concurrent-index-creation
create unique index prices_one_a_day on prices (tenant_id, fund_id, price_on) where state in ('accepted', 'held') and corrects = 0;
-- squawk-ignore require-concurrent-index-creation
create unique index prices_corrected_once on prices (tenant_id, fund_id, price_on, corrects) where corrects <> 0;

-- Prices that two people say were wrong, and who is at fault. An error below `material_bp` is noted and changes nothing. `terms` are
-- the rules' figures; `digest` is of the two prices, the terms and every line.
create table price_corrections (
  wrong_digits bigint not null check (wrong_digits > 0), right_digits bigint not null check (right_digits > 0), wrong_file bigint not null,
  proposed_event bigint not null default 0, decided_event bigint not null default 0, finished_event bigint not null default 0,
  tenant_id int not null, correction_no int not null, fund_id int not null, price_on date not null, maker int not null, checker int not null default 0,
  members int not null default 0, wrong_scale smallint not null check (wrong_scale between 0 and 8), right_scale smallint not null check (right_scale between 0 and 8),
  is_material boolean not null, state text not null default 'proposed' check (state in ('proposed', 'rejected', 'noted', 'approved', 'done')),
  party text not null, reason text not null, digest text not null default '', terms jsonb not null,
  primary key (tenant_id, correction_no), foreign key (tenant_id, fund_id) references funds,
  check (checker <> maker), check ((state = 'proposed') = (checker = 0)), check (is_material or state not in ('approved', 'done'))
);
create unique index price_corrections_open on price_corrections (tenant_id, fund_id, price_on) where state in ('proposed', 'approved');

-- The ranges of members a correction is booked by: the unit of resumption. event_id is 0 until the range is done, and where nothing moved.
create table correction_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0,
  tenant_id int not null, correction_no int not null, range_no int not null, members int not null, digest text not null, is_done boolean not null default false,
  primary key (tenant_id, correction_no, range_no), check (first_member <= last_member),
  foreign key (tenant_id, correction_no) references price_corrections
) with (fillfactor = 80);
create index correction_ranges_by_event on correction_ranges (tenant_id, event_id) where event_id <> 0;

-- What the wrong price did to an account: units it would have bought at the right one, less those it bought; money its units would
-- have brought, less what they brought.
create table correction_lines (
  member_id bigint not null, bought bigint not null, sold bigint not null,
  tenant_id int not null, correction_no int not null, units_code int not null, cash_code int not null,
  primary key (member_id, correction_no, units_code), check (bought <> 0 or sold <> 0),
  foreign key (tenant_id, correction_no) references price_corrections
);

-- What was done about it: units issued and taken, money paid; what the member owes, what the party at fault bears for them and for who lost.
create table correction_results (
  member_id bigint not null, issued bigint not null, taken bigint not null, paid bigint not null, owed bigint not null, borne bigint not null, made_whole bigint not null,
  tenant_id int not null, correction_no int not null, units_code int not null,
  primary key (member_id, correction_no, units_code), foreign key (member_id, correction_no, units_code) references correction_lines
);

-- Members who move what they have into other funds: `shares` are basis points by fund. Their units are sold as any others, from
-- `selling` accounts of the party `switch`; each leg buys once the money of its sale has come, by the event that put it into a dealing.
create table switches (
  member_id bigint not null, event_id bigint not null, tenant_id int not null, asked_on date not null, product text not null, shares jsonb not null,
  primary key (member_id, event_id)
);
create table switch_legs (
  member_id bigint not null, event_id bigint not null, minor bigint not null default 0 check (minor >= 0), funded_event bigint not null default 0,
  tenant_id int not null, code int not null, is_done boolean not null default false,
  primary key (member_id, event_id, code), foreign key (member_id, event_id) references switches
);
create index switch_legs_waiting on switch_legs (tenant_id, event_id) where not is_done;
