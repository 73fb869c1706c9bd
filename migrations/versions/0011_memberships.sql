-- Which products a member is in, since when; and moves from one product to another, whole, without a unit lost.

create table memberships (
  member_id bigint not null, since_event bigint not null, tenant_id int not null, joined_on date not null, from_on date not null,
  product text not null, group_code text not null default '', moved_to text not null default '',
  primary key (member_id, product)
);
create index memberships_of_product on memberships (tenant_id, product, member_id) where moved_to = '';

-- Which event decided a receipt again, and under which pack version, where law reached back.
create table recomputations (
  member_id bigint not null, event_id bigint not null, by_event bigint not null, tenant_id int not null, pack int not null,
  primary key (member_id, event_id, pack)
);

-- Moves the balances of members from codes to codes: one event each, at most 4,096 in one call; accounts locked in key order.
-- `from_codes` and `to_codes` stand side by side, each pair of one asset. Answers (member, event) of whoever was moved.
create function move_members(
  t int, recorded timestamptz, day date, an_actor int, a_pack int, a_decision int, members bigint[],
  from_codes int[], to_codes int[], from_product text, to_product text
) returns table (moved_member bigint, moved_event bigint) language plpgsql
  -- Nested loops over the ordered rows take the locks of balances in key order, as every posting does.
  set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
declare base bigint := next_batch_id(); who bigint[]; n int;
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
  facts as (                                                          -- who holds nothing moves too, without a transfer
    insert into events (member_id, event_id, body_digest, tenant_id, business_date, actor, pack, decision, kind, body)
    select w.id, base + w.o - 1, 0, t, day, an_actor, a_pack, a_decision, 6,
           jsonb_build_object('from', from_product, 'to', to_product, 'joined_on', s.joined_on::text)
      from unnest(who) with ordinality w(id, o)
      join memberships s on s.member_id = w.id and s.product = from_product and s.moved_to = '' returning 1),
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
  select count(*) into n from facts;
  if n <> cardinality(who) then
    raise exception 'a member is not in the product %', from_product using errcode = 'data_corrupted';
  end if;
  insert into memberships as s (member_id, since_event, tenant_id, joined_on, from_on, product, group_code)
    select o.member_id, base + w.o - 1, t, o.joined_on, day, to_product, o.group_code
      from unnest(who) with ordinality w(id, o) join memberships o on o.member_id = w.id and o.product = from_product
    on conflict (member_id, product) do update
      set joined_on = least(s.joined_on, excluded.joined_on), moved_to = '', since_event = excluded.since_event;
  update memberships o set moved_to = to_product from unnest(who) w(id) where o.member_id = w.id and o.product = from_product;
  insert into batches (tenant_id, batch_id, n, recorded_at) values (t, base, n, recorded);
  insert into unsequenced (tenant_id, batch_id, n) values (t, base, n);
  return query select w.id, base + w.o - 1 from unnest(who) with ordinality w(id, o);
end $$;
