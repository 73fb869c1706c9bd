"""SQL of switches whose sale took a wrong price: what they bought elsewhere is put right in the fund that they bought."""

# The parts of sales at the price whose money has bought. Not here, and so put right in cash or units of the fund that was sold:
# what is still on its way, what came back into the fund itself, and what bought at a price that was corrected too, or units split since.
LEGS = """
create temporary table repriced_legs on commit drop as
select l.member_id, l.event_id, l.code, l.funded_event, w.shares, own.product, own.pot, own.origin, own.units_code, own.cash_code,
       floor_units(s.units, %(srm)s, %(srd)s) - floor_units(s.units, %(swm)s, %(swd)s) as delta
  from sale_orders o join sales s on s.dealing_id = o.dealing_id and s.fund_id = o.fund_id
  join switch_legs l on l.member_id = s.member_id and l.event_id = s.event_id and l.code = s.code and l.funded_event <> 0
  join switches w on w.member_id = l.member_id and w.event_id = l.event_id
  join chart c on c.tenant_id = %(t)s and c.code = s.code
  join unnest(%(products)s::text[], %(pots)s::text[], %(origins)s::text[], %(units)s::int[], %(cash)s::int[])
       own(product, pot, origin, units_code, cash_code) on (own.product, own.pot, own.origin) = (c.product, c.pot, c.origin)
 where o.fund_id = %(f)s and o.price_on = %(day)s and not w.shares ? c.fund
   and not exists (
     select from jsonb_object_keys(w.shares) k(fund) join funds f on f.tenant_id = %(t)s and f.code = k.fund
       left join allocations a on a.member_id = l.member_id and a.event_id = l.funded_event and a.code = own.cash_code and a.fund_id = f.fund_id
       left join orders b on b.tenant_id = a.tenant_id and b.dealing_id = a.dealing_id and b.fund_id = a.fund_id and b.state = 'priced'
      where b.dealing_id is null or exists (select from price_corrections p where p.fund_id = f.fund_id and p.price_on = b.price_on
                                               and p.state in ('proposed', 'approved', 'done'))
         or exists (select from fund_actions q where q.fund_id = f.fund_id and q.kind = 'split' and q.state = 'done' and q.on_date > b.price_on))
"""
# As `queries.switching` splits it: each share is rounded down, the first fund by code also takes what is left.
BUYS = """
with moved as (
  select r.member_id, r.event_id, r.funded_event, r.shares, r.product, r.pot, r.origin, r.units_code as source_code, r.cash_code, sum(r.delta)::bigint as delta,
         (select sum(l.minor)::bigint from switch_legs l join chart c on c.tenant_id = %(t)s and c.code = l.code
           where l.member_id = r.member_id and l.event_id = r.event_id and l.funded_event = r.funded_event
             and (c.product, c.pot, c.origin) = (r.product, r.pot, r.origin)) as minor
    from repriced_legs r group by 1, 2, 3, 4, 5, 6, 7, 8, 9),
parts as (
  select m.*, x.fund, div(m.minor::numeric * x.bp::int, 10000)::bigint as was, div((m.minor + m.delta)::numeric * x.bp::int, 10000)::bigint as will,
         x.fund = min(x.fund collate "C") over (partition by m.member_id, m.event_id, m.funded_event, m.cash_code) as is_first
    from moved m cross join lateral jsonb_each_text(m.shares) x(fund, bp)),
whole as (
  select p.*, case when is_first then delta - sum(will - was) over (partition by member_id, event_id, funded_event, cash_code) else 0 end::bigint as rest from parts p),
changes as (
  select member_id, funded_event, source_code, cash_code, product, pot, origin, fund, sum(will - was + rest)::bigint as money from whole group by 1, 2, 3, 4, 5, 6, 7, 8),
bought as (
  select g.*, floor_units(a.amount + g.money, v.m, v.d) - floor_units(a.amount, v.m, v.d) as units
    from changes g join funds f on f.tenant_id = %(t)s and f.code = g.fund
    join allocations a on a.member_id = g.member_id and a.event_id = g.funded_event and a.code = g.cash_code and a.fund_id = f.fund_id
    join orders b on b.tenant_id = a.tenant_id and b.dealing_id = a.dealing_id and b.fund_id = a.fund_id
    join assets n on n.tenant_id = %(t)s and n.asset_id = 1
   cross join lateral (select (10::numeric ^ greatest(f.unit_scale + b.scale - n.scale, 0))::bigint as m,
                              (b.digits * 10::numeric ^ greatest(n.scale - f.unit_scale - b.scale, 0))::bigint as d) v)
insert into correction_switches (member_id, money, units, tenant_id, correction_no, source_code, units_code)
select b.member_id, sum(b.money)::bigint, sum(b.units)::bigint, %(t)s, %(n)s, b.source_code, c.code
  from bought b join funds f on f.tenant_id = %(t)s and f.code = b.fund
  join chart c on c.tenant_id = %(t)s and c.kind = 'units' and c.fund = b.fund
   and (c.product, c.pot, c.origin, c.party) = (b.product, b.pot, b.origin, '')
 group by 1, 5, 6, 7 having sum(b.money) <> 0
"""
HOLD = """
select count(*) from (
  select from balances b join correction_switches l on l.correction_no = %(n)s and l.member_id = b.member_id and b.code = l.units_code
   where l.member_id between %(first)s and %(last)s order by b.member_id, b.code for no key update of b) held
"""
# Units of the other fund are taken as far as they are held; the money that the rest is for stands to be owed, or is borne.
RESULTS = """
insert into correction_switch_results (member_id, issued, taken, owed, borne, made_whole, tenant_id, correction_no, units_code)
select member_id, greatest(units, 0), taken, case when is_asked then gone else 0 end, case when is_asked then 0 else gone end,
       case when %(party)s then greatest(money, 0) else 0 end, %(t)s, %(n)s, units_code
  from (select *, gone >= coalesce(%(limit)s::bigint, 9223372036854775807) as is_asked
          from (select *, case when units < 0 and money < 0 then ceil(-money::numeric * (-units - taken) / -units)::bigint else 0 end as gone
                  from (select l.member_id, l.units_code, l.money, l.units, least(greatest(-l.units, 0), coalesce((
                               select b.credits - b.debits from balances b where b.member_id = l.member_id and b.code = l.units_code), 0)) as taken
                          from correction_switches l where l.correction_no = %(n)s and l.member_id between %(first)s and %(last)s) touched) two) three
"""
# The rows of transfers that put switches right, of the funds that were bought: `switched` in the statement that books a range.
BOOKED = """
switched as materialized (
  select r.member_id, r.issued, r.taken, r.owed, r.borne, r.made_whole, l.money, r.units_code, c.product, o.issued as issued_code, o.correction as correction_code
    from correction_switch_results r
    join correction_switches l on l.member_id = r.member_id and l.correction_no = r.correction_no and l.units_code = r.units_code
    join chart c on c.tenant_id = r.tenant_id and c.code = r.units_code
    join unnest(%(others)s::text[], %(others_issued)s::int[], %(others_correction)s::int[]) o(fund, issued, correction) on o.fund = c.fund
   where r.correction_no = %(n)s and r.member_id between %(first)s and %(last)s),
switch_rows as materialized (
  select member_id, issued_code as debit, units_code as credit, issued as amount from switched where issued > 0
  union all select member_id, units_code, issued_code, taken from switched where taken > 0
  union all select %(house)s, %(correction)s, correction_code, sum(money)::bigint from switched where money > 0 group by 3
  union all select %(house)s, correction_code, %(correction)s, sum(-money - owed - borne)::bigint from switched where money < 0 group by 2 having sum(-money - owed - borne) > 0
  union all select %(house)s, o.code, %(correction)s, sum(s.owed)::bigint from switched s join owing o using (product) where s.owed > 0 group by 2
  union all select %(house)s, %(compensation)s, %(correction)s, sum(borne + made_whole)::bigint from switched having sum(borne + made_whole) > 0),
"""
