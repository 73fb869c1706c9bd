"""The laws of corrected prices, each derived from the orders and the transfers by SQL of its own."""

from engine.ledger.rules import Law

# At each of the two prices of a correction, in the arithmetic of numeric: what an allocation buys, what a sale brings.
_BUYS = "trunc(a.amount * power(10::numeric, f.unit_scale + c.{price}_scale - m.scale) / c.{price}_digits, 0)"
_BRINGS = "trunc(s.units * c.{price}_digits * power(10::numeric, m.scale - f.unit_scale - c.{price}_scale), 0)"

CORRECTION_LAWS: tuple[Law, ...] = (
    Law(
        "corrections-follow-the-formula",
        "what a correction says that a wrong price did to an account is what the two prices make of its payments and sales",
        f"""
        with done as (
          select c.*, f.unit_scale, f.code as fund from price_corrections c
            join funds f on f.tenant_id = c.tenant_id and f.fund_id = c.fund_id where c.state in ('approved', 'done')),
        bought as (
          select c.correction_no, a.member_id, k.product, k.pot, k.origin,
                 sum({_BUYS.format(price="right")} - {_BUYS.format(price="wrong")}) as bought, 0::numeric as sold
            from done c join funds f on f.tenant_id = c.tenant_id and f.fund_id = c.fund_id
            join orders o on o.fund_id = c.fund_id and o.price_on = c.price_on
            join allocations a on a.dealing_id = o.dealing_id and a.fund_id = o.fund_id
            join chart k on k.tenant_id = c.tenant_id and k.code = a.code
            join assets m on m.tenant_id = c.tenant_id and m.asset_id = 1
           where o.priced_event < c.decided_event group by 1, 2, 3, 4, 5),
        sold as (
          select c.correction_no, s.member_id, k.product, k.pot, k.origin, 0::numeric as bought,
                 sum({_BRINGS.format(price="right")} - {_BRINGS.format(price="wrong")}) as sold
            from done c join funds f on f.tenant_id = c.tenant_id and f.fund_id = c.fund_id
            join sale_orders o on o.fund_id = c.fund_id and o.price_on = c.price_on
            join sales s on s.dealing_id = o.dealing_id and s.fund_id = o.fund_id
            join chart k on k.tenant_id = c.tenant_id and k.code = s.code
            join assets m on m.tenant_id = c.tenant_id and m.asset_id = 1
           where o.priced_event < c.decided_event group by 1, 2, 3, 4, 5),
        due as (
          select correction_no, member_id, product, pot, origin, sum(bought) as bought, sum(sold) as sold
            from (select * from bought union all select * from sold) x group by 1, 2, 3, 4, 5 having sum(bought) <> 0 or sum(sold) <> 0),
        noted as (
          select correction_no, member_id, product, pot, origin, sum(bought) as bought, sum(sold) as sold from (
            select l.correction_no, l.member_id, k.product, k.pot, k.origin, l.bought, l.sold from correction_lines l
              join done c on c.correction_no = l.correction_no join chart k on k.tenant_id = l.tenant_id and k.code = l.units_code
            union all
            select l.correction_no, l.member_id, k.product, k.pot, k.origin, 0, l.money from correction_switches l
              join done c on c.correction_no = l.correction_no join chart k on k.tenant_id = l.tenant_id and k.code = l.source_code) x
           group by 1, 2, 3, 4, 5 having sum(bought) <> 0 or sum(sold) <> 0)
        select format('correction %s, member %s, %s %s %s', correction_no, to_hex(member_id), product, pot, origin),
               format('%s units, %s', coalesce(d.bought, 0), coalesce(d.sold, 0)), format('%s units, %s', coalesce(n.bought, 0), coalesce(n.sold, 0))
          from due d full join noted n using (correction_no, member_id, product, pot, origin)
         where coalesce(d.bought, 0) <> coalesce(n.bought, 0) or coalesce(d.sold, 0) <> coalesce(n.sold, 0)
        """,
    ),
    Law(
        "corrected-switches-buy-at-their-prices",
        "what a correction says that a switch would have bought elsewhere is its money at the prices that it bought at there, but for rounding",
        """
        with bought as (
          select l.correction_no, l.member_id, l.units_code, count(*) as parts, max(v.each) as most, min(v.each) as least
            from correction_switches l join chart u on u.tenant_id = l.tenant_id and u.code = l.units_code
            join funds f on f.tenant_id = l.tenant_id and f.code = u.fund
            join assets m on m.tenant_id = l.tenant_id and m.asset_id = 1
            join allocations a on a.member_id = l.member_id and a.fund_id = f.fund_id
            join chart k on k.tenant_id = a.tenant_id and k.code = a.code and (k.product, k.pot, k.origin) = (u.product, u.pot, u.origin)
            join orders o on o.tenant_id = a.tenant_id and o.dealing_id = a.dealing_id and o.fund_id = a.fund_id
           cross join lateral (select power(10::numeric, f.unit_scale + o.scale - m.scale) / o.digits as each) v
           where exists (select from switch_legs s where s.member_id = a.member_id and s.funded_event = a.event_id) group by 1, 2, 3)
        select format('correction %s, member %s, account %s', l.correction_no, to_hex(l.member_id), l.units_code),
               format('%s to %s', round(l.money * b.least), round(l.money * b.most)), l.units::text
          from correction_switches l left join bought b using (correction_no, member_id, units_code)
         where b.parts is null or l.units < least(l.money * b.least, l.money * b.most) - b.parts or l.units > greatest(l.money * b.least, l.money * b.most) + b.parts
        """,
    ),
    Law(
        "corrections-are-booked",
        "what a correction's events moved on members' accounts is what its results say was issued, taken and paid",
        """
        with booked as (
          select r.correction_no, t.member_id, sum(case when k.kind = 'units' and t.credit = k.code then t.amount else 0 end) as issued,
                 sum(case when k.kind = 'units' and t.debit = k.code then t.amount else 0 end) as taken,
                 sum(case when k.kind = 'cash' then t.amount else 0 end) as paid
            from correction_ranges r join transfers t on t.event_id = r.event_id and t.member_id > 0
            join chart k on k.tenant_id = t.tenant_id and k.code in (t.debit, t.credit) and k.code & 2048 <> 0
           where r.event_id <> 0 group by 1, 2),
        noted as (
          select correction_no, member_id, sum(issued) as issued, sum(taken) as taken, sum(paid) as paid
            from (select correction_no, member_id, issued, taken, paid from correction_results
                  union all select correction_no, member_id, issued, taken, 0 from correction_switch_results) r
           group by 1, 2 having sum(issued) + sum(taken) + sum(paid) > 0)
        select format('correction %s, member %s', correction_no, to_hex(member_id)), format('%s, %s, %s', n.issued, n.taken, n.paid),
               format('%s, %s, %s', b.issued, b.taken, b.paid)
          from booked b full join noted n using (correction_no, member_id)
         where (b.issued, b.taken, b.paid) is distinct from (n.issued, n.taken, n.paid)
        """,
    ),
    Law(
        "corrections-are-borne",
        "what parties at fault and members owe for corrected prices, and what funds owe or are owed, is what the results say",
        """
        with booked as (
          select k.kind, case k.kind when 'compensation-due' then k.party when 'price-correction' then k.fund else k.product end as whose,
                 sum(case when t.debit = k.code then t.amount else -t.amount end) as minor
            from correction_ranges r join transfers t on t.event_id = r.event_id
            join chart k on k.tenant_id = t.tenant_id and k.code in (t.debit, t.credit)
             and k.kind in ('compensation-due', 'price-correction', 'correction-receivable')
           where r.event_id <> 0 group by 1, 2),
        noted as (
          select kind, whose, sum(minor) as minor from (
          select x.kind, x.whose, x.minor from correction_results r
            join price_corrections c on c.tenant_id = r.tenant_id and c.correction_no = r.correction_no
            join chart k on k.tenant_id = r.tenant_id and k.code = r.units_code
           cross join lateral (values ('compensation-due', c.party, r.borne + r.made_whole), ('correction-receivable', k.product, r.owed),
                                      ('price-correction', k.fund, r.paid - r.borne - r.made_whole - r.owed)) x(kind, whose, minor)
          union all
          select x.kind, x.whose, x.minor from correction_switch_results r
            join correction_switches l on l.member_id = r.member_id and l.correction_no = r.correction_no and l.units_code = r.units_code
            join price_corrections c on c.tenant_id = r.tenant_id and c.correction_no = r.correction_no
            join chart k on k.tenant_id = r.tenant_id and k.code = r.units_code
            join chart a on a.tenant_id = r.tenant_id and a.code = l.source_code
           cross join lateral (values ('compensation-due', c.party, r.borne + r.made_whole), ('correction-receivable', k.product, r.owed),
                                      ('price-correction', a.fund, l.money - r.made_whole),
                                      ('price-correction', k.fund, -l.money - r.owed - r.borne)) x(kind, whose, minor)) y group by 1, 2)
        select format('%s of %s', kind, whose), coalesce(n.minor, 0)::text, coalesce(b.minor, 0)::text
          from booked b full join noted n using (kind, whose) where coalesce(n.minor, 0) <> coalesce(b.minor, 0)
        """,
    ),
)
