-- Benefits that are paid over time: decided with the claim, counted month by month for all at once, paid as one payroll.

-- What a claim pays later. `decision` holds the rules' terms and is shared by all who have the same. Smallest units: `amount`
-- is the first instalment where it is fixed for good, of each payment `tax` / `taxed` is tax. `cash` and `payable` are the
-- codes of the member's accounts, pot by pot and in each of them origin by origin; it takes from them as the order says.
-- `accounts` is what the choice of a rail knows of the payee's, who is sealed. From `stops_on` on nothing is due;
-- `overpaid` is what went out for time after, account by account, and was not recovered: it stands in the books as a receivable.
create table pension_schedules (
  member_id bigint not null, claim_id bigint not null, amount bigint not null check (amount >= 0),
  tax bigint not null default 0, taxed bigint not null default 0, scheduled_event bigint not null, stopped_event bigint not null default 0,
  tenant_id int not null, decision int not null, lead_months int not null, every_months int not null check (every_months > 0),
  instalments int not null check (instalments >= 0), origins int not null check (origins > 0), started_on date not null,
  guaranteed_until date, stops_on date, life_until date, is_indexed boolean not null, is_running boolean not null default true,
  product text not null, form text not null check (form in ('fixed', 'unpaid-over-left', 'drawdown', 'pension')),
  rounding text not null, pay_day text not null, pots_by text not null, origins_by text not null,
  cash int[] not null, payable int[] not null, overpaid bigint[] not null, keys jsonb not null default '{}', accounts jsonb not null default '[]', payee bytea,
  primary key (member_id, claim_id), check (tax between 0 and taxed), check (cardinality(cash) = cardinality(payable))
);
create unique index one_pension_of_a_pot on pension_schedules (tenant_id, member_id, product) where is_running;
create index pension_schedules_of on pension_schedules (tenant_id, product, member_id);
create unique index pension_schedules_by_claim on pension_schedules (tenant_id, claim_id);

-- That a pensioner was alive: seen when, told by whom.
create table life_proofs (
  member_id bigint not null, claim_id bigint not null, event_id bigint not null, tenant_id int not null, seen_on date not null,
  source text not null, primary key (member_id, claim_id, event_id)
);

-- A payroll of a product and month: counted, proposed by one person, approved by another on the digest of all of it.
create table payroll_runs (
  proposed_event bigint not null default 0, decided_event bigint not null default 0, tenant_id int not null, run_no int not null,
  counted_on date not null, month date not null check (extract(day from month) = 1), owes boolean not null,
  product text not null, state text not null default 'counting' check (state in ('counting', 'proposed', 'approved', 'rejected', 'done')),
  maker text not null, checker text check (checker <> maker), digest text not null default '',
  pools int[] not null, rules text[] not null, primary key (tenant_id, run_no),
  check ((state in ('approved', 'rejected', 'done')) = (checker is not null and decided_event <> 0)),
  check ((state = 'counting') = (proposed_event = 0))
);
create unique index one_payroll_at_a_time on payroll_runs (tenant_id, product) where state in ('counting', 'proposed', 'approved');

-- The ranges of members a payroll is counted and posted by: the unit of resumption. Smallest units.
create table payroll_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0,
  due bigint not null default 0, taken bigint not null default 0, pooled bigint not null default 0, lacking bigint not null default 0,
  taxed bigint not null default 0, paying bigint not null default 0, owed bigint not null default 0,
  tenant_id int not null, run_no int not null, range_no int not null, pensions int not null default 0, payments int not null default 0,
  suspended int not null default 0, is_counted boolean not null default false, is_posted boolean not null default false,
  digest text not null default '', primary key (tenant_id, run_no, range_no), check (first_member <= last_member),
  foreign key (tenant_id, run_no) references payroll_runs
);

-- A payment of a schedule, by its number. `due` for its period and `arrears` that earlier ones lacked are `taken` from the member's
-- accounts, `pooled` from the run's pools, or `lacking`; `net` is what becomes payable of it after tax, account by account.
-- `reckoned` is the pot that a drawdown's year is shared out of. Dropped ones are counted anew; reversed ones were due
-- for time after a death, and are counted anew if that turns out untrue.
create table pension_instalments (
  member_id bigint not null, claim_id bigint not null, due bigint not null check (due >= 0), arrears bigint not null check (arrears >= 0),
  lacking bigint not null check (lacking >= 0), tax bigint not null, reckoned bigint not null, event_id bigint not null default 0,
  tenant_id int not null, number int not null check (number > 0), run_no int not null, due_on date not null,
  state text not null default 'proposed' check (state in ('proposed', 'posted', 'dropped', 'reversed')),
  taken bigint[] not null, pooled bigint[] not null, net bigint[] not null,
  primary key (member_id, claim_id, number, run_no), check ((state in ('posted', 'reversed')) = (event_id <> 0)),
  foreign key (tenant_id, run_no) references payroll_runs
);
create unique index an_instalment_is_due_once on pension_instalments (member_id, claim_id, number) where state in ('proposed', 'posted');
create index pension_instalments_of on pension_instalments (tenant_id, run_no, member_id);

-- What a payroll pays of a schedule, and why it pays no more: `owed` is all that is payable of it, `parts` what is paid, account by account.
create table payroll_payments (
  member_id bigint not null, claim_id bigint not null, owed bigint not null check (owed > 0), amount bigint not null check (amount between 0 and owed),
  account_digest uuid, payout_id uuid, tenant_id int not null, run_no int not null,
  state text not null check (state in ('waiting', 'made', 'carried', 'dropped')), rail text not null, rule text not null, reason text not null,
  parts bigint[] not null,
  primary key (member_id, claim_id, run_no), check ((state = 'made') = (payout_id is not null)), check ((amount = 0) = (state = 'carried')),
  foreign key (tenant_id, run_no) references payroll_runs
);
create unique index payroll_payments_by_payout on payroll_payments (tenant_id, payout_id) where payout_id is not null;
create index payroll_payments_waiting on payroll_payments (tenant_id, run_no, member_id) where state = 'waiting';

create function pension_due_on(started date, lead int, every int, number int, pay_day text) returns date language sql immutable parallel safe as $$
  select case pay_day when 'first-of-month' then date_trunc('month', started + make_interval(months => lead + (number - 1) * every))::date
                      when 'last-of-month' then (date_trunc('month', started + make_interval(months => lead + (number - 1) * every))
                                                 + interval '1 month - 1 day')::date
                      else (started + make_interval(months => lead + (number - 1) * every))::date end
$$;

-- Arithmetic of short lists of amounts. Loops: a query for each list would take ten times as long.
create function amount_total(a bigint[]) returns bigint language plpgsql immutable parallel safe as $$
declare found bigint := 0; x bigint;
begin
  foreach x in array coalesce(a, '{}') loop found := found + x; end loop;
  return found;
end $$;

create function amounts_less(a bigint[], b bigint[]) returns bigint[] language plpgsql immutable parallel safe as $$
begin
  for i in 1 .. coalesce(cardinality(a), 0) loop a[i] := a[i] - b[i]; end loop;
  return a;
end $$;

create function amounts_plus(a bigint[], b bigint[]) returns bigint[] language plpgsql immutable parallel safe as $$
begin
  if a is null then return b; end if;
  for i in 1 .. cardinality(a) loop a[i] := a[i] + b[i]; end loop;
  return a;
end $$;
create aggregate amounts_total(bigint[]) (sfunc = amounts_plus, stype = bigint[]);

-- How much each of `held` gives towards `wanted`, or as much as there is: the first first, or in proportion, rounded down, the
-- smallest units left over from the largest remainders, the earlier on a tie; as `engine.benefits.rules.consuming` does.
create function amounts_shared(wanted bigint, held bigint[], how text) returns bigint[] language plpgsql immutable parallel safe as $$
declare
  held_in_all bigint := amount_total(held);
  left_over bigint := least(wanted, held_in_all);
begin
  if how = 'pro-rata' and left_over > 0 then
    return (select array_agg(part + (rank <= spare)::int order by o) from (
              select o, part, row_number() over (order by remainder desc, o) as rank, left_over - sum(part) over () as spare from (
                select o, div(left_over::numeric * h, held_in_all)::bigint as part, mod(left_over::numeric * h, held_in_all) as remainder
                  from unnest(held) with ordinality u(h, o)) f) r);
  end if;
  for i in 1 .. coalesce(cardinality(held), 0) loop
    held[i] := least(left_over, held[i]);
    left_over := left_over - held[i];
  end loop;
  return held;
end $$;

create function amounts_consumed(wanted bigint, held bigint[], origins int, pots_by text, origins_by text) returns bigint[]
language plpgsql immutable parallel safe as $$
declare
  pots int := cardinality(held) / origins;
  by_pot bigint[] := '{}';
  given bigint[] := '{}';
begin
  for p in 1 .. pots loop
    by_pot := by_pot || amount_total(held[(p - 1) * origins + 1 : p * origins]);
  end loop;
  by_pot := amounts_shared(wanted, by_pot, pots_by);
  for p in 1 .. pots loop
    given := given || amounts_shared(by_pot[p], held[(p - 1) * origins + 1 : p * origins], origins_by);
  end loop;
  return given;
end $$;
