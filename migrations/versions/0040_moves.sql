-- Moves between products by the target's rule: runs that two people stand for, and what came along with each member.

-- A move of one member, who asked for it, or of everyone in a product. `terms` are the rule's, as it was when it was proposed.
create table move_runs (
  member_id bigint not null default 0, proposed_event bigint not null, decided_event bigint not null default 0,
  tenant_id int not null, run_no int not null, maker int not null, checker int not null default 0,
  members int not null, moved int not null default 0, asked_on date not null, source text not null, target text not null,
  has_consent boolean not null, digest text not null,
  state text not null default 'proposed' check (state in ('proposed', 'rejected', 'approved', 'done')), terms jsonb not null,
  primary key (tenant_id, run_no), check (checker <> maker), check ((state = 'proposed') = (checker = 0)), check (source <> target)
);
create unique index move_runs_open on move_runs (tenant_id, source, member_id) where state in ('proposed', 'approved');

-- Who moved by which event, and what of the product left counts in the new one.
create table product_moves (
  member_id bigint not null, event_id bigint not null, tenant_id int not null, moved_on date not null,
  source text not null, target text not null, keeps text[] not null, pots jsonb not null,
  primary key (member_id, event_id)
);

-- How far members who stopped paying have come on the ladder of their product; without a row they never took a step. `since` is by the
-- ladder's months, `looked_event` the last payment that was tried as a way back.
create table member_standings (
  member_id bigint not null, event_id bigint not null, looked_event bigint not null default 0,
  tenant_id int not null, since date not null, counted_from date not null, product text not null, status text not null,
  primary key (member_id, product)
);
create index member_standings_of_product on member_standings (tenant_id, product, status);

-- Up to which day what is done once a day was done.
create table daily_rounds (tenant_id int not null, done_on date not null, task text not null, primary key (tenant_id, task));

-- Moves the balances of members from codes to codes: one event each, at most 4,096 in one call; accounts locked in key order.
-- `from_codes` and `to_codes` stand side by side, each pair of one asset. `facts` say by which rule: keeps, pots, both_dates, and run.
-- The function of that name with fewer arguments is called by nothing any more.
-- Members who are in the product move with their membership; of who moved on before, what came late follows (`only_money`).
create function move_members(
  t int, recorded timestamptz, day date, an_actor int, a_pack int, a_decision int, members bigint[],
  from_codes int[], to_codes int[], from_product text, to_product text, facts jsonb, only_money boolean
) returns table (moved_member bigint, moved_event bigint) language plpgsql
  -- Nested loops over the ordered rows take the locks of balances in key order, as every posting does.
  set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
declare
  base bigint := next_batch_id(); who bigint[]; n int;
  keeps text[] := array(select jsonb_array_elements_text(facts -> 'keeps'));
  both_dates text := facts ->> 'both_dates';
begin
  who := array(select distinct m.id from unnest(members) m(id) order by 1);
  -- Same order as everywhere: member, then code.
  perform from (select w.id, c.code from unnest(who) w(id) cross join unnest(from_codes) c(code) order by 1, 2) k
     join balances b on b.member_id = k.id and b.code = k.code for no key update of b;
  with moving as materialized (
    select k.id as member_id, k.ordinal, k.place::int as line, k.from_code, k.to_code, b.credits - b.debits as amount
      from (select w.id, w.o - 1 as ordinal, c.from_code, c.to_code, row_number() over (partition by w.id order by c.from_code) as place
              from unnest(who) with ordinality w(id, o) cross join unnest(from_codes, to_codes) c(from_code, to_code)
             order by w.id, c.from_code) k
      join balances b on b.member_id = k.id and b.code = k.from_code where b.credits > b.debits),
  written_facts as (                                                  -- who holds nothing moves too, without a transfer
    insert into events (member_id, event_id, body_digest, tenant_id, business_date, actor, pack, decision, kind, body)
    select w.id, base + w.o - 1, 0, t, day, an_actor, a_pack, a_decision, case when only_money then 218 else 6 end,
           jsonb_build_object('from', from_product, 'to', to_product, 'joined_on', (
             case when only_money or n.member_id is not null and both_dates = 'this-products' then n.joined_on
                  when n.member_id is null then d.joined_on
                  when both_dates = 'later' then greatest(n.joined_on, d.joined_on) else least(n.joined_on, d.joined_on) end)::text)
           || coalesce(nullif(jsonb_build_object('run', facts -> 'run'), '{"run": null}'), '{}')
      from unnest(who) with ordinality w(id, o)
      join memberships s on s.member_id = w.id and s.product = from_product and s.moved_to = case when only_money then to_product else '' end
     cross join lateral (select case when 'joining-date' = any(keeps) then s.joined_on else day end as joined_on) d
      left join memberships n on n.member_id = w.id and n.product = to_product returning 1),
  written as (
    insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
    select member_id, base + ordinal, amount, t, from_code, to_code, line from moving),
  debited as (                                                        -- an upsert would test the CHECK on the delta
    update balances b set debits = b.debits + x.amount from moving x
     where b.member_id = x.member_id and b.code = x.from_code),
  credited as (
    insert into balances as b (member_id, code, tenant_id, debits, credits)
    select member_id, to_code, t, 0, sum(amount)::bigint from moving group by member_id, to_code order by member_id, to_code
    on conflict (member_id, code) do update set credits = b.credits + excluded.credits)
  select count(*) into n from written_facts;
  if n <> cardinality(who) then
    raise exception 'a member is not in the product %', from_product using errcode = 'data_corrupted';
  end if;
  if not only_money then
    insert into memberships as s (member_id, since_event, tenant_id, joined_on, from_on, product, group_code)
      select o.member_id, base + w.o - 1, t, case when 'joining-date' = any(keeps) then o.joined_on else day end, day, to_product, o.group_code
        from unnest(who) with ordinality w(id, o) join memberships o on o.member_id = w.id and o.product = from_product
      on conflict (member_id, product) do update
        set joined_on = case both_dates when 'earlier' then least(s.joined_on, excluded.joined_on)
                                        when 'later' then greatest(s.joined_on, excluded.joined_on) else s.joined_on end,
            moved_to = '', since_event = excluded.since_event;
    update memberships o set moved_to = to_product from unnest(who) w(id) where o.member_id = w.id and o.product = from_product;
    insert into product_moves (member_id, event_id, tenant_id, moved_on, source, target, keeps, pots)
      select w.id, base + w.o - 1, t, day, from_product, to_product, keeps, facts -> 'pots' from unnest(who) with ordinality w(id, o);
  end if;
  insert into batches (tenant_id, batch_id, n, recorded_at) values (t, base, n, recorded);
  insert into unsequenced (tenant_id, batch_id, n) values (t, base, n);
  return query select w.id, base + w.o - 1 from unnest(who) with ordinality w(id, o);
end $$;
