-- What the pool of a product that declares interest earned in a scheme year, less what it lost: one person says it, another
-- approves what `digest` is of. A loss, or what was said too high, is below zero.
create table pool_incomes (
  amount bigint not null check (amount <> 0), proposed_event bigint not null default 0, decided_event bigint not null default 0,
  tenant_id int not null, income_no int not null, maker int not null, checker int not null default 0, year_from date not null,
  product text not null, held_by text not null, reference text not null, digest text not null,
  state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected')),
  primary key (tenant_id, income_no), check (checker <> maker), check ((state = 'proposed') = (checker = 0))
);
create unique index pool_income_told_once on pool_incomes (tenant_id, product, reference) where state <> 'rejected';

-- What a final run had to share out, what its sponsor gave (or got back, below zero), and what went into the reserve (or came out of it).
alter table interest_runs add column if not exists distributed bigint not null default 0;
alter table interest_runs add column if not exists topped_up bigint not null default 0;
alter table interest_runs add column if not exists reserved bigint not null default 0;

-- What accounts were credited for a scheme year as their member left before it was declared; nothing may be all that a rule gives.
create table interest_exits (
  member_id bigint not null, event_id bigint not null, minor bigint not null check (minor >= 0),
  tenant_id int not null, code int not null, year_from date not null, left_on date not null,
  primary key (member_id, event_id, code)
);

-- What was forfeited to whoever pays a claim of state money, and pays part of it.
alter table match_claims add column if not exists forfeited bigint not null default 0 check (forfeited >= 0);
-- squawk-ignore ban-drop-constraint
alter table match_claims drop constraint match_claims_check;
alter table match_claims add constraint match_claims_check check (total = asked - given_back - forfeited) not valid;
-- squawk-ignore ban-drop-constraint
alter table match_claims drop constraint match_claims_check1;
alter table match_claims add constraint match_claims_check1 check (shared <= received + given_back + forfeited) not valid;

-- What was kept of heirs' shares for what went out of a pension after the death.
alter table pension_schedules add column if not exists kept bigint not null default 0 check (kept >= 0);
