-- Funds, the files and prices of their managers, dealings, orders, and the allotment of units.

-- Funds of a tenant's packs, interned at first use; the unit scale of a fund that has units never changes.
create table funds (
  tenant_id int not null, fund_id int not null, unit_scale smallint not null check (unit_scale between 0 and 8), code text not null,
  primary key (tenant_id, fund_id), unique (tenant_id, code)
);

-- Every file as it came. A refused file changes nothing else, and may be tried again: with the day it is really of, say.
create table price_files (
  file_id bigint generated always as identity, tenant_id int not null, day date, state text not null check (state in ('imported', 'refused')),
  received_at timestamptz not null, event_id bigint not null default 0, accepted int not null default 0,
  name text not null, sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), refused jsonb not null default '[]', raw bytea not null,
  primary key (tenant_id, file_id), unique (tenant_id, sha256), check (state = 'refused' or day is not null)
);

-- digits × 10^-scale major units of money for one unit. At most one price of a fund and day is accepted or waits to be.
create table prices (
  file_id bigint not null, digits bigint not null check (digits > 0), event_id bigint not null, decided_event bigint not null default 0,
  tenant_id int not null, fund_id int not null, price_on date not null, maker int not null, checker int not null default 0,
  scale smallint not null check (scale between 0 and 8), state text not null check (state in ('accepted', 'held', 'rejected')),
  held_for text not null default '' check (held_for in ('', 'moved', 'late')),
  primary key (tenant_id, fund_id, price_on, file_id),
  foreign key (tenant_id, file_id) references price_files, foreign key (tenant_id, fund_id) references funds,
  check (checker <> maker or checker = 0), check (state <> 'held' or held_for <> '')
);
create unique index prices_one_a_day on prices (tenant_id, fund_id, price_on) where state in ('accepted', 'held');

-- A dealing gathers reconciled cash of one product while open, is closed at a cut-off, then priced. It is closing inside the
-- closing transaction alone, while cash reconciled after the cut-off moves to the next dealing.
create sequence dealing_numbers as int;
create table dealings (
  closed_event bigint not null default 0, tenant_id int not null, dealing_id int not null default nextval('dealing_numbers'),
  opened_on date not null, cut_off_on date, state text not null default 'open' check (state in ('open', 'closing', 'closed', 'priced')), product text not null,
  primary key (tenant_id, dealing_id), unique (tenant_id, product, cut_off_on), check ((state = 'open') = (cut_off_on is null)),
  check (cut_off_on >= opened_on)
);
create unique index dealings_one_open on dealings (tenant_id, product) where state = 'open';
create index dealings_unpriced on dealings (tenant_id, cut_off_on) where state <> 'priced';

-- One order a fund: bought with `amount`; the price it took; the units its manager confirmed and those its members were due.
create table orders (
  amount bigint not null check (amount > 0), event_id bigint not null, priced_event bigint not null default 0,
  digits bigint, units_confirmed bigint check (units_confirmed >= 0), units_due bigint check (units_due >= 0), residue_units bigint check (residue_units >= 0),
  tenant_id int not null, dealing_id int not null, fund_id int not null, price_on date, scale smallint,
  state text not null default 'placed' check (state in ('placed', 'priced')), reference text not null,
  primary key (tenant_id, dealing_id, fund_id), unique (tenant_id, reference),
  foreign key (tenant_id, dealing_id) references dealings, foreign key (tenant_id, fund_id) references funds,
  check (state = 'placed' or (price_on is not null and digits > 0 and scale between 0 and 8 and residue_units = units_confirmed - units_due))
);
create index orders_placed on orders (tenant_id, dealing_id) where state = 'placed';

-- What each receipt puts into a dealing: `amount` of the member's cash account `code`, that came in by the account `collected`.
create table allocations (
  member_id bigint not null, event_id bigint not null, amount bigint not null check (amount > 0),
  tenant_id int not null, dealing_id int not null, code int not null, collected int not null, fund_id int not null, allocated_on date not null,
  primary key (member_id, event_id, code, fund_id)                   -- once: a receipt's cash belongs to one dealing
);
create index allocations_by_order on allocations (dealing_id, fund_id, member_id);

-- The ranges of members an order is allotted by: the unit of resumption. event_id is 0 until the range is done.
create table allotments (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0, amount bigint not null, units bigint not null,
  tenant_id int not null, dealing_id int not null, fund_id int not null, range_no int not null, members int not null,
  primary key (tenant_id, dealing_id, fund_id, range_no), check (first_member <= last_member),
  foreign key (tenant_id, dealing_id, fund_id) references orders
) with (fillfactor = 80);

-- Cash goes into open dealings only, and leaves them only before they are closed: the dealing is held until the commit.
create function require_open_dealing() returns trigger language plpgsql as $$
declare wanted int; usable int;
begin
  select count(distinct dealing_id) into wanted from changed;
  perform from dealings d join (select distinct tenant_id, dealing_id from changed) c using (tenant_id, dealing_id)
    where d.state = 'open' or (tg_op = 'DELETE' and d.state = 'closing') order by d.dealing_id for share of d;
  get diagnostics usable = row_count;
  if usable < wanted then
    raise exception '% of allocations is refused: the dealing is closed', tg_op using errcode = 'insufficient_privilege';
  end if;
  return null;
end $$;

-- floor(amount × multiplier ÷ divisor), exactly, also where the product passes 2^63.
create function floor_units(amount bigint, multiplier bigint, divisor bigint) returns bigint
language sql immutable as $$
  select case when amount <= 9223372036854775807 / multiplier then amount * multiplier / divisor
              else div(amount::numeric * multiplier, divisor)::bigint end
$$;

-- Allots one range of an order: one house event, each allocation's cash against the order, its units against the fund's units
-- issued; zero units write no row. Answers the event, or 0 where another caller has done the range.
-- `cash` and `held` name, side by side, the members' cash codes of the order and the unit codes that receive.
create function allot_range(
  t int, a_dealing int, a_fund int, a_range int, day date, an_actor int, a_pack int, a_decision int, facts jsonb,
  multiplier bigint, divisor bigint, transit int, issued int, cash int[], held int[]
) returns bigint language plpgsql
  -- Nested loops over the ordered rows take the locks of balances in key order, as every posting does.
  set enable_hashjoin = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  base bigint; lo bigint; hi bigint; due_amount bigint; due_units bigint;
  n_amount bigint; n_units bigint; n_cash int; n_debited int;
begin
  select first_member, last_member, amount, units into lo, hi, due_amount, due_units from allotments
   where tenant_id = t and dealing_id = a_dealing and fund_id = a_fund and range_no = a_range and event_id = 0 for update;
  if not found then return 0; end if;
  -- A range lost in a crash is done again, and whatever was built on it is lost with it or forced it to disk.
  perform set_config('synchronous_commit', 'off', true);
  base := next_batch_id();
  with bought as materialized (
    select a.member_id, a.amount, a.code as cash_code, held[array_position(cash, a.code)] as unit_code,
           floor_units(a.amount, multiplier, divisor) as units,
           2 * row_number() over (order by a.member_id, a.event_id, a.code) as line
      from allocations a
     where a.tenant_id = t and a.dealing_id = a_dealing and a.fund_id = a_fund and a.member_id between lo and hi),
  moved as (
    insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
    select member_id, base, amount, t, cash_code, transit, line - 1 from bought
    union all
    select member_id, base, units, t, issued, unit_code, line from bought where units > 0),
  own as materialized (
    select member_id, cash_code, unit_code, sum(amount)::bigint as amount, sum(units)::bigint as units
      from bought group by member_id, cash_code, unit_code order by member_id, cash_code),
  debited as (                                                        -- an upsert would test the CHECK on the delta
    update balances b set debits = b.debits + own.amount from own
     where b.member_id = own.member_id and b.code = own.cash_code returning 1),
  credited as (
    insert into balances as b (member_id, code, tenant_id, debits, credits)
    select member_id, unit_code, t, 0, units from own where units > 0
    on conflict (member_id, code) do update set credits = b.credits + excluded.credits)
  select sum(amount), sum(units), count(*), (select count(*) from debited) into n_amount, n_units, n_cash, n_debited from own;
  if (n_amount, n_units, n_cash) is distinct from (due_amount, due_units, n_debited) then
    raise exception 'range % of dealing %, fund % is not what its order was made of', a_range, a_dealing, a_fund
      using errcode = 'data_corrupted',
            detail = format('amount %s of %s, units %s of %s, cash accounts %s of %s',
                            n_amount, due_amount, n_units, due_units, n_debited, n_cash);
  end if;
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
    select t, base, code, debits, credits from (values (transit, 0::bigint, n_amount), (issued, n_units, 0::bigint)) x(code, debits, credits)
     where debits + credits > 0;
  insert into events (member_id, event_id, body_digest, tenant_id, business_date, actor, pack, decision, kind, body)
    values (-t, base, 0, t, day, an_actor, a_pack, a_decision, 42, facts);
  insert into batches (tenant_id, batch_id, n, recorded_at)
    select t, base, 1, coalesce(clock_at, clock_timestamp()) from tenants where tenant_id = t;
  insert into unsequenced (tenant_id, batch_id, n) values (t, base, 1);
  update allotments set event_id = base
   where tenant_id = t and dealing_id = a_dealing and fund_id = a_fund and range_no = a_range;
  return base;
end $$;
