-- The instant of a dealing's cut-off, from its closing on; dealings that were closed before have none.
alter table dealings add column cut_off_at timestamptz;

-- What a fund does with all of its units: a split, or income that it pays. Two people stand for it. What an account gets is
-- trunc(base × multiplier ÷ divisor): its units after a split, or what a distribution on the units of `on_date` is of it. `reference` is
-- the manager's for money that it pays, `stated` what it says it pays or issues; `residue` what of it is no member's, once booked.
create table fund_actions (
  multiplier bigint not null check (multiplier > 0), divisor bigint not null check (divisor > 0), stated bigint not null default 0, residue bigint not null default 0,
  proposed_event bigint not null default 0, decided_event bigint not null default 0, settled_event bigint not null default 0, finished_event bigint not null default 0,
  tenant_id int not null, action_no int not null, fund_id int not null, on_date date not null, maker int not null, checker int not null default 0,
  members int not null default 0, kind text not null check (kind in ('split', 'income-in-units', 'income-in-cash')), product text not null,
  state text not null default 'proposed' check (state in ('proposed', 'rejected', 'approved', 'done')),
  reference text not null default '', digest text not null default '', terms jsonb not null,
  primary key (tenant_id, action_no), foreign key (tenant_id, fund_id) references funds,
  check (checker <> maker), check ((state = 'proposed') = (checker = 0)), check ((kind = 'split') = (product = '')),
  check ((kind = 'income-in-cash') = (reference <> '')), check (kind <> 'split' or stated = 0)
);
create unique index fund_actions_open on fund_actions (tenant_id, fund_id) where state in ('proposed', 'approved');
create unique index fund_actions_by_reference on fund_actions (tenant_id, reference) where reference <> '' and state <> 'rejected';

-- The ranges of members an action is booked by, without a gap: the unit of resumption. event_id is 0 until the range is done, and where nothing moved.
create table fund_action_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0,
  tenant_id int not null, action_no int not null, range_no int not null, members int not null, digest text not null default '', is_done boolean not null default false,
  primary key (tenant_id, action_no, range_no), check (first_member <= last_member),
  foreign key (tenant_id, action_no) references fund_actions
) with (fillfactor = 80);

-- What an account had and got: of a split its units before and after; of income the units of the day, and what was paid on them into `code`.
create table fund_action_lines (
  member_id bigint not null, base bigint not null check (base > 0), got bigint not null check (got >= 0),
  tenant_id int not null, action_no int not null, code int not null,
  primary key (member_id, action_no, code), foreign key (tenant_id, action_no) references fund_actions
);

-- Units that wait to be sold are those of after a split too; nothing else of them ever changes.
drop trigger never_changed on sales;
create trigger units_alone_change before update on sales for each row
  when ((old.member_id, old.event_id, old.tenant_id, old.dealing_id, old.code, old.fund_id, old.asked_on)
        is distinct from (new.member_id, new.event_id, new.tenant_id, new.dealing_id, new.code, new.fund_id, new.asked_on))
  execute function refuse_change();

-- What units of a fund counted on a day have become by the splits since; each split rounds down.
create function units_since(t int, fund int, counted_on date, units bigint) returns bigint
language plpgsql stable as $$
declare one record;
begin
  for one in select multiplier, divisor from fund_actions a
              where a.tenant_id = t and a.fund_id = fund and a.kind = 'split' and a.state = 'done' and a.on_date > counted_on order by a.on_date, a.action_no loop
    units := floor_units(units, one.multiplier, one.divisor);
  end loop;
  return units;
end $$;

-- Which funds a member wants new money of a product to go to, in basis points; NULL where they are back at what the rules say.
create table fund_choices (
  member_id bigint not null, chosen_event bigint not null, tenant_id int not null, chosen_on date not null, product text not null, shares jsonb,
  primary key (member_id, product)
);

-- The completed years between two days, as ages count on from joining: a year after 29 February is over on 28 February.
create function completed_years(since date, until date) returns int language sql immutable as $$
  select (extract(year from until) - extract(year from since))::int
         - case when since + make_interval(years => (extract(year from until) - extract(year from since))::int) > until then 1 else 0 end
$$;

-- What is invested follows a path of ages once a scheme year: the ranges of members by which units are put up for switches.
create table rebalancings (
  begun_event bigint not null, tenant_id int not null, year_from date not null, product text not null, rule text not null,
  primary key (tenant_id, product, year_from)
);
create table rebalancing_ranges (
  first_member bigint not null, last_member bigint not null, event_id bigint not null default 0,
  tenant_id int not null, year_from date not null, range_no int not null, members int not null, is_done boolean not null default false, product text not null,
  primary key (tenant_id, product, year_from, range_no), check (first_member <= last_member),
  foreign key (tenant_id, product, year_from) references rebalancings
) with (fillfactor = 80);
create index rebalancing_ranges_left on rebalancing_ranges (tenant_id, product) where not is_done;

-- What a wrong price did to what switches bought elsewhere with the money of their sale: `money` that the sale would have brought at the right
-- price, less what it brought; units of the other fund that it would have bought there, less those it bought. `source_code` are the units that were sold.
create table correction_switches (
  member_id bigint not null, money bigint not null check (money <> 0), units bigint not null,
  tenant_id int not null, correction_no int not null, source_code int not null, units_code int not null,
  primary key (member_id, correction_no, units_code), foreign key (tenant_id, correction_no) references price_corrections
);
create table correction_switch_results (
  member_id bigint not null, issued bigint not null, taken bigint not null, owed bigint not null, borne bigint not null, made_whole bigint not null,
  tenant_id int not null, correction_no int not null, units_code int not null,
  primary key (member_id, correction_no, units_code), foreign key (member_id, correction_no, units_code) references correction_switches
);
