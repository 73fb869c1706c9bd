-- Units that members sell: put up for a dealing, ordered by fund at its cut-off, sold by ranges of members at the order's
-- price. Contributions that are taken back.

-- What a member puts up: `units` in their account `code` of units being sold. It waits in the open dealing, and is deleted
-- if it is withdrawn before the cut-off; its events stay.
create table sales (
  member_id bigint not null, event_id bigint not null, units bigint not null check (units > 0),
  tenant_id int not null, dealing_id int not null, code int not null, fund_id int not null, asked_on date not null,
  primary key (member_id, event_id, code),
  foreign key (tenant_id, dealing_id) references dealings, foreign key (tenant_id, fund_id) references funds
);
create index sales_by_order on sales (dealing_id, fund_id, member_id);

-- One order a fund of a closed dealing: sells `units`; the price it took; the money its manager confirmed and what its
-- members were due; the event by which the money arrived, 0 until it has.
create table sale_orders (
  units bigint not null check (units > 0), event_id bigint not null, priced_event bigint not null default 0, settled_event bigint not null default 0,
  digits bigint, amount_confirmed bigint check (amount_confirmed >= 0), amount_due bigint check (amount_due >= 0), residue_amount bigint check (residue_amount >= 0),
  tenant_id int not null, dealing_id int not null, fund_id int not null, price_on date, scale smallint,
  state text not null default 'placed' check (state in ('placed', 'priced')), reference text not null,
  primary key (tenant_id, dealing_id, fund_id), unique (tenant_id, reference),
  foreign key (tenant_id, dealing_id) references dealings, foreign key (tenant_id, fund_id) references funds,
  check (state = 'placed' or (price_on is not null and digits > 0 and scale between 0 and 8 and residue_amount = amount_confirmed - amount_due)),
  check (settled_event = 0 or state = 'priced')
);
create index sale_orders_placed on sale_orders (tenant_id, dealing_id) where state = 'placed';
create index sale_orders_unsettled on sale_orders (tenant_id, dealing_id) where state = 'priced' and settled_event = 0;

-- The ranges of members an order is sold by: the unit of resumption. event_id is 0 until the range is done.
create table sale_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0, amount bigint not null, units bigint not null,
  tenant_id int not null, dealing_id int not null, fund_id int not null, range_no int not null, members int not null,
  primary key (tenant_id, dealing_id, fund_id, range_no), check (first_member <= last_member),
  foreign key (tenant_id, dealing_id, fund_id) references sale_orders
) with (fillfactor = 80);

-- What goes into a dealing goes into an open one, and leaves it only before it is closed.
create or replace function require_open_dealing() returns trigger language plpgsql as $$
declare wanted int; usable int;
begin
  select count(distinct dealing_id) into wanted from changed;
  perform from dealings d join (select distinct tenant_id, dealing_id from changed) c using (tenant_id, dealing_id)
    where d.state = 'open' or (tg_op = 'DELETE' and d.state = 'closing') order by d.dealing_id for share of d;
  get diagnostics usable = row_count;
  if usable < wanted then
    raise exception '% of % is refused: the dealing is closed', tg_op, tg_table_name using errcode = 'insufficient_privilege';
  end if;
  return null;
end $$;

-- Sells one range of an order: one house event, each sale's units against the fund's units issued, what they are worth,
-- floor(units × multiplier ÷ divisor), from the manager to the member; an amount of zero writes no row. Answers the event, or
-- 0 where another caller has done the range. `selling` and `payable` name, side by side, the members' codes.
create function sell_range(
  t int, a_dealing int, a_fund int, a_range int, day date, an_actor int, a_pack int, a_decision int, facts jsonb,
  multiplier bigint, divisor bigint, due int, issued int, selling int[], payable int[]
) returns bigint language plpgsql
  -- Nested loops over the ordered rows take the locks of balances in key order, as every posting does.
  set enable_hashjoin = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  base bigint; lo bigint; hi bigint; due_amount bigint; due_units bigint;
  n_amount bigint; n_units bigint; n_sold int; n_debited int;
begin
  select first_member, last_member, amount, units into lo, hi, due_amount, due_units from sale_ranges
   where tenant_id = t and dealing_id = a_dealing and fund_id = a_fund and range_no = a_range and event_id = 0 for update;
  if not found then return 0; end if;
  -- A range lost in a crash is done again, and whatever was built on it is lost with it or forced it to disk.
  perform set_config('synchronous_commit', 'off', true);
  base := next_batch_id();
  with sold as materialized (
    select s.member_id, s.units, s.code as selling_code, payable[array_position(selling, s.code)] as payable_code,
           floor_units(s.units, multiplier, divisor) as amount,
           2 * row_number() over (order by s.member_id, s.event_id, s.code) as line
      from sales s
     where s.tenant_id = t and s.dealing_id = a_dealing and s.fund_id = a_fund and s.member_id between lo and hi),
  moved as (
    insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
    select member_id, base, units, t, selling_code, issued, line - 1 from sold
    union all
    select member_id, base, amount, t, due, payable_code, line from sold where amount > 0),
  own as materialized (
    select member_id, selling_code, payable_code, sum(amount)::bigint as amount, sum(units)::bigint as units
      from sold group by member_id, selling_code, payable_code order by member_id, selling_code),
  debited as (                                                        -- an upsert would test the CHECK on the delta
    update balances b set debits = b.debits + own.units from own
     where b.member_id = own.member_id and b.code = own.selling_code returning 1),
  credited as (
    insert into balances as b (member_id, code, tenant_id, debits, credits)
    select member_id, payable_code, t, 0, amount from own where amount > 0
    on conflict (member_id, code) do update set credits = b.credits + excluded.credits)
  select sum(amount), sum(units), count(*), (select count(*) from debited) into n_amount, n_units, n_sold, n_debited from own;
  if (n_amount, n_units, n_sold) is distinct from (due_amount, due_units, n_debited) then
    raise exception 'range % of sales of dealing %, fund % is not what its order was made of', a_range, a_dealing, a_fund
      using errcode = 'data_corrupted',
            detail = format('amount %s of %s, units %s of %s, accounts %s of %s',
                            n_amount, due_amount, n_units, due_units, n_debited, n_sold);
  end if;
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
    select t, base, code, debits, credits from (values (issued, 0::bigint, n_units), (due, n_amount, 0::bigint)) x(code, debits, credits)
     where debits + credits > 0;
  insert into events (member_id, event_id, body_digest, tenant_id, business_date, actor, pack, decision, kind, body)
    values (-t, base, 0, t, day, an_actor, a_pack, a_decision, 46, facts);
  insert into batches (tenant_id, batch_id, n, recorded_at)
    select t, base, 1, coalesce(clock_at, clock_timestamp()) from tenants where tenant_id = t;
  insert into unsequenced (tenant_id, batch_id, n) values (t, base, 1);
  update sale_ranges set event_id = base
   where tenant_id = t and dealing_id = a_dealing and fund_id = a_fund and range_no = a_range;
  return base;
end $$;

-- Money of a sale comes in by a line of a statement, and a payment that was charged back goes out by one; `event_id` is the
-- event that booked it.
-- squawk-ignore ban-drop-constraint
alter table settled_lines drop constraint settled_lines_how_check;
alter table settled_lines add constraint settled_how check (how in ('withdrawn', 'order', 'proceeds', 'reversal')) not valid;

-- Contributions that are taken back: proposed by one person, confirmed by another, and carried out as far as their stage
-- allows. `waiting`: the money is in an order that has no price yet; `selling`: the units it bought wait for their price.
-- `owed` by pot is what the member no longer had, `difference` what the price took from (> 0) or gave to the role that bears it.
create table reversals (
  reversal_id bigint generated always as identity, member_id bigint not null, event_id bigint not null, amount bigint not null check (amount > 0),
  sale_event bigint not null default 0, reversed_event bigint not null default 0, difference bigint not null default 0,
  tenant_id int not null, proposed_by int not null, decided_by int, reason text not null, difference_to text not null default '',
  state text not null default 'proposed' check (state in ('proposed', 'rejected', 'waiting', 'selling', 'reversed')),
  owed jsonb not null default '{}',
  primary key (tenant_id, reversal_id), check (decided_by is null or decided_by <> proposed_by),
  check ((state = 'proposed') = (decided_by is null)), check ((state = 'reversed') = (reversed_event <> 0))
);
create unique index reversals_once on reversals (tenant_id, event_id) where state <> 'rejected';
create index reversals_open on reversals (tenant_id, reversal_id) where state in ('waiting', 'selling');
