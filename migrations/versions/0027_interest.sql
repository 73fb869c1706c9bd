-- Declared interest: what a scheme year's money earned, credited by ranges of members, and told apart from what they paid.

-- One run a time over a product: it credits what a year earned by the rates then known, less what was credited before.
-- `terms` are the rates and spans it counts by; a run that was stopped goes on by them.
create table interest_runs (
  event_id bigint not null default 0, credited bigint not null default 0, recovered bigint not null default 0, uncovered bigint not null default 0,
  tenant_id int not null, run_no int not null, year_from date not null, year_until date not null, credited_on date not null,
  is_final boolean not null, is_done boolean not null default false, product text not null, terms jsonb not null,
  primary key (tenant_id, run_no)
);
create unique index interest_runs_open on interest_runs (tenant_id, product) where not is_done;

-- The ranges of members a run is credited by: the unit of resumption. event_id is 0 where nobody in it was owed anything.
create table interest_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0,
  credited bigint not null default 0, recovered bigint not null default 0, uncovered bigint not null default 0,
  tenant_id int not null, run_no int not null, range_no int not null, members int not null default 0, is_done boolean not null default false,
  primary key (tenant_id, run_no, range_no), check (first_member <= last_member),
  foreign key (tenant_id, run_no) references interest_runs
) with (fillfactor = 80);
create index interest_ranges_by_event on interest_ranges (tenant_id, event_id) where event_id <> 0;

-- What an account was credited, or gave back if negative; `uncovered` is what it owes and had no money for.
create table interest_credits (
  member_id bigint not null, minor bigint not null, uncovered bigint not null default 0 check (uncovered >= 0),
  tenant_id int not null, code int not null, run_no int not null, year_from date not null,
  primary key (member_id, code, run_no), check (minor <> 0 or uncovered <> 0),
  foreign key (tenant_id, run_no) references interest_runs
);

-- The quotient of two whole numbers, `den` > 0, as a whole number rounded by name; as `engine.kernel.rounding` does.
create function rounded_ratio(num numeric, den numeric, how text) returns bigint language sql immutable parallel safe as $$
  select (sign(num) * (q + case how
      when 'down' then 0
      when 'up' then (r > 0)::int
      when 'half-up' then (r > 0 and 2 * r >= den)::int
      when 'half-even' then (2 * r > den or (2 * r = den and q % 2 = 1))::int
      when 'nearest-down' then (2 * r > den)::int end))::bigint
    from (select div(abs(num), den) as q, abs(num) - div(abs(num), den) * den as r) x
$$;
