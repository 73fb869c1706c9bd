"""The laws of dealing, each derived from the transfers and the prices by SQL of its own."""

from engine.funds.queries.acting_laws import ACTION_LAWS
from engine.funds.queries.cancelling import LAWS as CANCELLING_LAWS
from engine.funds.queries.correcting_laws import CORRECTION_LAWS
from engine.ledger.rules import Law

# What an allocation buys at its order's price, in the arithmetic of numeric: trunc() of a positive quotient rounds down.
_DUE = "trunc(a.amount * power(10::numeric, f.unit_scale + o.scale - m.scale) / o.digits, 0)"

# What a sale brings at its order's price.
_BROUGHT = "trunc(s.units * o.digits * power(10::numeric, m.scale - f.unit_scale - o.scale), 0)"

_MONEY_OF_CODE = "join assets m on m.tenant_id = a.tenant_id and m.asset_id = a.code / 4096"

LAWS: tuple[Law, ...] = (
    Law(
        "units-are-confirmed-units",
        "in every fund, members' units, also those being sold, and residue are the units issued, and those are what managers confirmed, old books opened with, corrected prices, splits and income added, less what was sold or went to another scheme",
        """
        with moved as (
          select c.fund, c.kind, sum(case when t.credit = c.code then t.amount else -t.amount end) as units
            from chart c join transfers t on t.credit = c.code or t.debit = c.code
            join assets a on a.tenant_id = c.tenant_id and a.asset_id = c.code / 4096 and a.kind = 'units'
           where c.kind in ('units', 'selling', 'units-issued', 'residue') group by c.fund, c.kind),
        held as (
          select fund, coalesce(sum(units) filter (where kind in ('units', 'selling', 'residue')), 0) as held,
                 -coalesce(sum(units) filter (where kind = 'units-issued'), 0) as issued from moved group by fund),
        sold as (
          select f.code as fund, sum(r.units) as units from sale_ranges r
            join funds f on f.tenant_id = r.tenant_id and f.fund_id = r.fund_id where r.event_id <> 0 group by f.code),
        confirmed as (
          select f.code as fund, sum(case when o.state = 'priced' then o.units_confirmed
                                          else (select coalesce(sum(r.units), 0) from allotments r
                                                 where r.dealing_id = o.dealing_id and r.fund_id = o.fund_id and r.event_id <> 0) end) as units
            from orders o join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id group by f.code),
        waiting as (
          select a.symbol as fund, sum(case when t.credit = c.code then t.amount else -t.amount end) as units
            from chart c join assets a on a.tenant_id = c.tenant_id and a.asset_id = c.code / 4096
            join transfers t on c.code in (t.debit, t.credit) where c.kind in ('opening', 'handed-over') group by 1),
        corrected as (
          select c.fund, sum(r.issued - r.taken) as units
            from (select units_code, issued, taken from correction_results union all select units_code, issued, taken from correction_switch_results) r
            join chart c on c.code = r.units_code group by c.fund),
        acted as (
          select f.code as fund, sum(a.residue + coalesce(l.change, 0)) as units from fund_actions a
            join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
            left join lateral (
              select sum(l.got - case a.kind when 'split' then l.base else 0 end) as change from fund_action_lines l
                join fund_action_ranges r on r.action_no = l.action_no and l.member_id between r.first_member and r.last_member and r.is_done
               where l.action_no = a.action_no) l on true
           where a.kind <> 'income-in-cash' and a.state in ('approved', 'done') group by 1),
        opened as (
          select c.fund, sum(k.amount) as units from openings o join opening_controls k on k.tenant_id = o.tenant_id and k.opening_no = o.opening_no
            join chart c on c.tenant_id = k.tenant_id and c.code = k.code and c.kind = 'units-issued'
           where o.state in ('approved', 'finished') group by 1),
        gone as (
          select c.fund, sum(l.amount) as units from hand_over_lines l join hand_overs r on r.merger_no = l.merger_no and r.round_no = l.round_no and r.state <> 'open'
            join chart c on c.code = l.code and c.kind = 'units' group by 1)
        select format('fund %s', fund), (coalesce(c.units, 0) + coalesce(n.units, 0) + coalesce(x.units, 0) + coalesce(y.units, 0) - coalesce(s.units, 0) - coalesce(g.units, 0))::text,
               format('held %s, issued %s', coalesce(h.held, 0), coalesce(h.issued, 0))
          from held h full join confirmed c using (fund) full join sold s using (fund) full join opened n using (fund)
          left join waiting w using (fund) left join corrected x using (fund) left join acted y using (fund) left join gone g using (fund)
         where coalesce(h.held, 0) + coalesce(w.units, 0) <> coalesce(h.issued, 0)
            or coalesce(h.issued, 0) <> coalesce(c.units, 0) + coalesce(n.units, 0) + coalesce(x.units, 0) + coalesce(y.units, 0) - coalesce(s.units, 0) - coalesce(g.units, 0)
        """,
    ),
    Law(
        "confirmed-orders-are-what-managers-said",
        "an order that counts as confirmed has the units and the money that its manager's confirmations add up to",
        """
        with said as (
          select s.dealing_id, s.fund_id, s.side, sum(c.units) as units, sum(c.amount) as amount from order_sendings s
            left join confirmations c on c.reference = s.reference and c.state = 'confirmed'
           where s.confirmed_event <> 0 group by 1, 2, 3),
        booked as (
          select o.dealing_id, o.fund_id, 'subscribe' as side, o.units_confirmed as units, o.amount from orders o
          union all select r.dealing_id, r.fund_id, 'redeem', r.units, r.amount_confirmed from sale_orders r)
        select format('dealing %s, fund %s, %s', s.dealing_id, f.code, s.side),
               format('units %s, amount %s', b.units, b.amount), format('units %s, amount %s', s.units, s.amount)
          from said s left join booked b using (dealing_id, fund_id, side) join funds f on f.fund_id = s.fund_id
         where (b.units * power(10::numeric, -f.unit_scale), b.amount) is distinct from (s.units, s.amount)
        """,
    ),
    Law(
        "orders-are-their-allocations",
        "every order's amount is the sum of the allocations it was made of, and only closed dealings have orders",
        """
        with summed as (
          select a.dealing_id, a.fund_id, sum(a.amount) as amount from allocations a
            join dealings d on d.tenant_id = a.tenant_id and d.dealing_id = a.dealing_id and d.state <> 'open' group by 1, 2)
        select format('dealing %s, fund %s', dealing_id, fund_id), coalesce(s.amount, 0)::text, coalesce(o.amount, 0)::text
          from summed s full join orders o using (dealing_id, fund_id) where s.amount is distinct from o.amount
        """,
    ),
    Law(
        "in-transit-is-unpriced",
        "the cash in transit to a product's fund is what its orders hold that was not allotted yet",
        """
        with moved as (
          select c.product, c.fund, sum(case when t.debit = c.code then t.amount else -t.amount end) as amount
            from chart c join transfers t on t.debit = c.code or t.credit = c.code
           where c.kind = 'orders-in-transit' group by c.product, c.fund),
        waiting as (
          select d.product, f.code as fund, sum(o.amount - (select coalesce(sum(r.amount), 0) from allotments r
                   where r.dealing_id = o.dealing_id and r.fund_id = o.fund_id and r.event_id <> 0)) as amount
            from orders o join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
            join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id group by d.product, f.code)
        select format('orders in transit of %s to %s', product, fund), coalesce(w.amount, 0)::text, coalesce(m.amount, 0)::text
          from moved m full join waiting w using (product, fund) where coalesce(w.amount, 0) <> coalesce(m.amount, 0)
        """,
    ),
    Law(
        "orders-move-their-cash",
        "an order's event takes its cash from the collection accounts its allocations came in by",
        """
        with due as (
          select o.event_id, a.collected, sum(a.amount) as amount from orders o
            join allocations a on a.dealing_id = o.dealing_id and a.fund_id = o.fund_id group by 1, 2),
        booked as (
          select o.event_id, t.credit as collected, sum(t.amount) as amount from orders o
            join transfers t on t.member_id = -o.tenant_id and t.event_id = o.event_id group by 1, 2)
        select format('order of event %s from account %s', event_id, collected), coalesce(d.amount, 0)::text, coalesce(b.amount, 0)::text
          from due d full join booked b using (event_id, collected) where d.amount is distinct from b.amount
        """,
    ),
    Law(
        "units-follow-the-formula",
        "each member's allotted units and cash in every allotment are what the order's price makes of their allocations",
        """
        with own as materialized (
          select c.code, c.kind, c.product, c.pot, c.origin, c.fund, m.scale from chart c
            join assets m on m.tenant_id = c.tenant_id and m.asset_id = c.code / 4096
           where c.kind in ('cash', 'units', 'orders-in-transit', 'units-issued')),
        done as materialized (
          select r.dealing_id, r.fund_id, r.first_member, r.last_member, r.event_id, f.code as fund, f.unit_scale + o.scale as scale, o.digits
            from allotments r
            join orders o on o.tenant_id = r.tenant_id and o.dealing_id = r.dealing_id and o.fund_id = r.fund_id
            join funds f on f.tenant_id = r.tenant_id and f.fund_id = r.fund_id
           where r.event_id <> 0),
        due as materialized (
          select a.member_id, r.event_id, c.product, c.pot, c.origin, r.fund, sum(a.amount) as amount,
                 sum(trunc(a.amount * power(10::numeric, r.scale - c.scale) / r.digits, 0)) as units
            from done r
            join allocations a on a.dealing_id = r.dealing_id and a.fund_id = r.fund_id
                              and a.member_id >= r.first_member and a.member_id <= r.last_member
            join own c on c.code = a.code group by 1, 2, 3, 4, 5, 6),
        made as materialized (select event_id, member_id from events where kind = 42),
        booked as materialized (
          select t.member_id, t.event_id, c.product, c.pot, c.origin, x.fund,
                 sum(t.amount) filter (where c.kind = 'cash') as amount, sum(t.amount) filter (where c.kind = 'units') as units
            from transfers t
            join made e on e.event_id = t.event_id and e.member_id <> t.member_id
            join own c on c.code = case when mod(t.debit, 4096) >= 2048 then t.debit else t.credit end
            join own x on x.code = case when mod(t.debit, 4096) >= 2048 then t.credit else t.debit end
           group by 1, 2, 3, 4, 5, 6)
        select format('member %s in event %s, %s %s %s %s', to_hex(member_id), event_id, product, pot, origin, fund),
               format('%s for %s', coalesce(d.units, 0), coalesce(d.amount, 0)), format('%s for %s', coalesce(b.units, 0), coalesce(b.amount, 0))
          from due d full join booked b using (member_id, event_id, product, pot, origin, fund)
         where coalesce(d.units, 0) <> coalesce(b.units, 0) or coalesce(d.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
    Law(
        "residue-is-what-rounding-left",
        "a priced order's residue is what its manager confirmed beyond the sum of its members' units",
        f"""
        with due as (
          select o.tenant_id, o.dealing_id, o.fund_id, o.priced_event, o.units_confirmed - coalesce(sum({_DUE}), 0) as units
            from orders o
            join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
            join allocations a on a.dealing_id = o.dealing_id and a.fund_id = o.fund_id
            {_MONEY_OF_CODE}
           where o.state = 'priced' group by 1, 2, 3, 4, o.units_confirmed)
        select format('dealing %s, fund %s', d.dealing_id, d.fund_id), d.units::text, coalesce(sum(t.amount), 0)::text
          from due d left join transfers t on t.member_id = -d.tenant_id and t.event_id = d.priced_event
         group by d.dealing_id, d.fund_id, d.units having d.units <> coalesce(sum(t.amount), 0)
        """,
    ),
    Law(
        "allocations-are-whole-receipts",
        "what was allocated of a receipt is the cash it credited, and it lies in one dealing",
        """
        select format('event %s of member %s', a.event_id, to_hex(a.member_id)),
               format('%s in one dealing', (select coalesce(sum(t.amount), 0) from transfers t
                        join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'cash'
                       where t.member_id = a.member_id and t.event_id = a.event_id)),
               format('%s in %s dealings', sum(a.amount), count(distinct a.dealing_id))
          from allocations a group by a.member_id, a.event_id
        having count(distinct a.dealing_id) <> 1
            or sum(a.amount) <> (select coalesce(sum(t.amount), 0) from transfers t
                        join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'cash'
                       where t.member_id = a.member_id and t.event_id = a.event_id)
        """,
    ),
    Law(
        "orders-take-a-published-price",
        "every price an order took is an accepted price of its fund, of a day by which its dealing is priced, and, priced forward, come after its cut-off",
        """
        select format('dealing %s, fund %s', o.dealing_id, o.fund_id), format('an accepted price, %s %s', d.priced_by, d.cut_off_on),
               format('%s of %s', o.digits * power(10::numeric, -o.scale), o.price_on)
          from (select tenant_id, dealing_id, fund_id, price_on, digits, scale from orders
                union all select tenant_id, dealing_id, fund_id, price_on, digits, scale from sale_orders) o
          join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
         where o.price_on is not null
           and (not case d.priced_by when 'historic' then o.price_on < d.cut_off_on when 'forward' then o.price_on >= d.cut_off_on
                         else o.price_on > d.cut_off_on end
                or not exists (
                 select from prices p join price_files e on e.tenant_id = p.tenant_id and e.file_id = p.file_id
                  where p.fund_id = o.fund_id and p.price_on = o.price_on and p.state = 'accepted'
                    and (d.priced_by <> 'forward' or d.cut_off_at is null or e.received_at >= d.cut_off_at)
                    and p.digits * power(10::numeric, -p.scale) = o.digits * power(10::numeric, -o.scale)))
        """,
    ),
    Law(
        "sale-orders-are-their-sales",
        "every order that sells sells what was put up for its dealing, and only closed dealings have orders",
        """
        with summed as (
          select s.dealing_id, s.fund_id, sum(s.units) as units from sales s
            join dealings d on d.tenant_id = s.tenant_id and d.dealing_id = s.dealing_id and d.state <> 'open' group by 1, 2)
        select format('sales of dealing %s, fund %s', dealing_id, fund_id), coalesce(s.units, 0)::text, coalesce(o.units, 0)::text
          from summed s full join sale_orders o using (dealing_id, fund_id) where s.units is distinct from o.units
        """,
    ),
    Law(
        "selling-is-unsold",
        "what each member's account of units being sold holds is what they put up and no order has sold",
        """
        with held as (
          select b.member_id, b.code, b.credits - b.debits as units from balances b
            join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = 'selling'),
        waiting as (
          select s.member_id, s.code, sum(s.units) as units from sales s
           where not exists (select from sale_ranges r where r.dealing_id = s.dealing_id and r.fund_id = s.fund_id
                                and s.member_id between r.first_member and r.last_member and r.event_id <> 0) group by 1, 2)
        select format('account %s of member %s', code, to_hex(member_id)), coalesce(w.units, 0)::text, coalesce(h.units, 0)::text
          from held h full join waiting w using (member_id, code) where coalesce(w.units, 0) <> coalesce(h.units, 0)
        """,
    ),
    Law(
        "proceeds-follow-the-formula",
        "each member's units sold and what is payable for them are, in every sale, what the order's price makes of what they put up",
        """
        with own as materialized (
          select c.code, c.kind, c.product, c.pot, c.origin, c.fund from chart c
           where c.kind in ('selling', 'payable', 'proceeds-due', 'units-issued')),
        money as materialized (select scale from assets where asset_id = 1),
        done as materialized (
          select r.dealing_id, r.fund_id, r.first_member, r.last_member, r.event_id, f.code as fund, f.unit_scale + o.scale as scale, o.digits
            from sale_ranges r
            join sale_orders o on o.tenant_id = r.tenant_id and o.dealing_id = r.dealing_id and o.fund_id = r.fund_id
            join funds f on f.tenant_id = r.tenant_id and f.fund_id = r.fund_id
           where r.event_id <> 0),
        due as materialized (
          select s.member_id, r.event_id, c.product, c.pot, c.origin, r.fund, sum(s.units) as units,
                 sum(trunc(s.units * r.digits * power(10::numeric, m.scale - r.scale), 0)) as amount
            from done r cross join money m
            join sales s on s.dealing_id = r.dealing_id and s.fund_id = r.fund_id
                        and s.member_id >= r.first_member and s.member_id <= r.last_member
            join own c on c.code = s.code group by 1, 2, 3, 4, 5, 6),
        made as materialized (select event_id, member_id from events where kind = 46),
        booked as materialized (
          select t.member_id, t.event_id, c.product, c.pot, c.origin, x.fund,
                 sum(t.amount) filter (where c.kind = 'selling') as units, sum(t.amount) filter (where c.kind = 'payable') as amount
            from transfers t
            join made e on e.event_id = t.event_id and e.member_id <> t.member_id
            join own c on c.code = case when mod(t.debit, 4096) >= 2048 then t.debit else t.credit end
            join own x on x.code = case when mod(t.debit, 4096) >= 2048 then t.credit else t.debit end
           group by 1, 2, 3, 4, 5, 6)
        select format('member %s in event %s, %s %s %s %s', to_hex(member_id), event_id, product, pot, origin, fund),
               format('%s for %s', coalesce(d.units, 0), coalesce(d.amount, 0)), format('%s for %s', coalesce(b.units, 0), coalesce(b.amount, 0))
          from due d full join booked b using (member_id, event_id, product, pot, origin, fund)
         where coalesce(d.units, 0) <> coalesce(b.units, 0) or coalesce(d.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
    Law(
        "proceeds-are-due",
        "what managers owe for a product's units of a fund is what its orders brought and has not come",
        """
        with moved as (
          select c.product, c.fund, sum(case when t.debit = c.code then t.amount else -t.amount end) as amount
            from chart c join transfers t on t.debit = c.code or t.credit = c.code
           where c.kind = 'proceeds-due' group by c.product, c.fund),
        waiting as (
          select d.product, f.code as fund, sum(case
                   when o.settled_event <> 0 then 0
                   when o.state = 'priced' then o.amount_confirmed
                   else (select coalesce(sum(r.amount), 0) from sale_ranges r
                          where r.dealing_id = o.dealing_id and r.fund_id = o.fund_id and r.event_id <> 0) end) as amount
            from sale_orders o join dealings d on d.tenant_id = o.tenant_id and d.dealing_id = o.dealing_id
            join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id group by d.product, f.code)
        select format('proceeds of %s due from %s', product, fund), coalesce(w.amount, 0)::text, coalesce(m.amount, 0)::text
          from moved m full join waiting w using (product, fund) where coalesce(w.amount, 0) <> coalesce(m.amount, 0)
        """,
    ),
    Law(
        "proceeds-residue-is-what-rounding-left",
        "the residue of an order that sold is what its manager confirmed beyond what is payable to its members",
        f"""
        with due as (
          select o.tenant_id, o.dealing_id, o.fund_id, o.priced_event, o.amount_confirmed - coalesce(sum({_BROUGHT}), 0) as amount
            from sale_orders o
            join funds f on f.tenant_id = o.tenant_id and f.fund_id = o.fund_id
            join assets m on m.tenant_id = o.tenant_id and m.asset_id = 1
            join sales s on s.dealing_id = o.dealing_id and s.fund_id = o.fund_id
           where o.state = 'priced' group by 1, 2, 3, 4, o.amount_confirmed)
        select format('sales of dealing %s, fund %s', d.dealing_id, d.fund_id), d.amount::text, coalesce(sum(t.amount), 0)::text
          from due d left join transfers t on t.member_id = -d.tenant_id and t.event_id = d.priced_event
         group by d.dealing_id, d.fund_id, d.amount having d.amount <> coalesce(sum(t.amount), 0)
        """,
    ),
    Law(
        "interest-is-what-was-credited",
        "what every account was credited or gave back as interest is what its run noted",
        """
        with booked as (
          select t.member_id, r.run_no, x.code, sum(case when x.code = t.credit then t.amount else -t.amount end) as minor
            from interest_ranges r
            join transfers t on t.event_id = r.event_id and t.member_id > 0
            join chart c on c.tenant_id = t.tenant_id and c.kind = 'interest-reserve' and c.code in (t.debit, t.credit)
           cross join lateral (values (case when t.debit = c.code then t.credit else t.debit end)) x(code)
           where r.event_id <> 0 group by 1, 2, 3
          union all
          select t.member_id, 0, t.credit, sum(t.amount)
            from transfers t join events e on e.member_id = t.member_id and e.event_id = t.event_id and e.kind = 346 group by 1, 3),
        noted as (
          select member_id, run_no, code, minor from interest_credits where minor <> 0
          union all select member_id, 0, code, sum(minor)::bigint from interest_exits group by 1, 3 having sum(minor) <> 0)
        select format('member %s, account %s, run %s', to_hex(member_id), code, run_no), coalesce(n.minor, 0)::text, coalesce(b.minor, 0)::text
          from noted n full join booked b using (member_id, run_no, code) where coalesce(n.minor, 0) <> coalesce(b.minor, 0)
        """,
    ),
    Law(
        "pool-income-waits-to-be-shared-out",
        "what is in a product's pool-income account is what was approved of its pool's income, less what final runs shared out",
        """
        with booked as (
          select c.product, sum(case when t.credit = c.code then t.amount else -t.amount end) as minor
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'pool-income' group by 1),
        told as (select product, sum(amount) as minor from pool_incomes where state = 'approved' group by 1),
        shared as (select product, sum(distributed) as minor from interest_runs group by 1 having sum(distributed) <> 0)
        select format('pool of %s', product), (coalesce(o.minor, 0) - coalesce(s.minor, 0))::text, coalesce(b.minor, 0)::text
          from booked b full join told o using (product) full join shared s using (product)
         where coalesce(b.minor, 0) <> coalesce(o.minor, 0) - coalesce(s.minor, 0)
        """,
    ),
    Law(
        "interest-is-paid-for",
        "what a final run of a product with a pool credited, net, is the income that it shared out with what its sponsor gave, less what went into the reserve",
        """
        with booked as (
          select r.run_no, sum(case when t.credit = c.code then t.amount else -t.amount end) as minor,
                 coalesce(sum(case when t.credit = c.code then t.amount else -t.amount end)
                            filter (where exists (select from chart g where g.kind = 'guarantee-receivable' and g.code in (t.debit, t.credit))), 0) as given
            from (select run_no, event_id from interest_ranges where event_id <> 0 union all select run_no, event_id from interest_runs) r
            join transfers t on t.event_id = r.event_id
            join chart c on c.kind = 'interest-reserve' and c.code in (t.debit, t.credit) group by 1)
        select format('run %s', r.run_no), format('reserved %s, sponsor %s', r.distributed + r.topped_up - (r.credited - r.recovered - r.uncovered), r.topped_up),
               format('reserved %s, noted %s, sponsor %s', coalesce(b.minor, 0), r.reserved, coalesce(b.given, 0))
          from interest_runs r left join booked b using (run_no)
         where r.is_done and r.is_final and r.terms ->> 'pool' is not null
           and (r.distributed + r.topped_up - (r.credited - r.recovered - r.uncovered), r.topped_up::numeric, r.reserved)
               is distinct from (coalesce(b.minor, 0), coalesce(b.given, 0), coalesce(b.minor, 0)::bigint)
        """,
    ),
    Law(
        "interest-runs-are-their-credits",
        "a run that is done came to the sum of what it noted, and so did each of its ranges",
        """
        with noted as (
          select run_no, sum(greatest(minor, 0)) as credited, sum(greatest(-minor, 0)) as recovered, sum(uncovered) as uncovered
            from interest_credits group by 1),
        ranged as (select run_no, sum(credited) as credited, sum(recovered) as recovered, sum(uncovered) as uncovered from interest_ranges group by 1)
        select format('run %s', r.run_no), format('%s, %s, %s', coalesce(n.credited, 0), coalesce(n.recovered, 0), coalesce(n.uncovered, 0)),
               format('%s, %s, %s; ranges %s, %s, %s', r.credited, r.recovered, r.uncovered, g.credited, g.recovered, g.uncovered)
          from interest_runs r left join noted n using (run_no) left join ranged g using (run_no)
         where r.is_done and ((coalesce(n.credited, 0), coalesce(n.recovered, 0), coalesce(n.uncovered, 0))
                 is distinct from (r.credited::numeric, r.recovered::numeric, r.uncovered::numeric)
            or (coalesce(g.credited, 0), coalesce(g.recovered, 0), coalesce(g.uncovered, 0))
                 is distinct from (r.credited::numeric, r.recovered::numeric, r.uncovered::numeric))
        """,
    ),
    Law(
        "what-members-owe-back-is-receivable",
        "what members were credited too much and have no money for is the receivable of their product",
        """
        with owed as (
          select c.product, sum(i.uncovered) as minor from interest_credits i
            join chart c on c.tenant_id = i.tenant_id and c.code = i.code group by 1 having sum(i.uncovered) > 0),
        booked as (
          select c.product, sum(case when t.debit = c.code then t.amount else -t.amount end) as minor
            from chart c join transfers t on c.code in (t.debit, t.credit)
            join interest_ranges r on r.event_id = t.event_id
           where c.kind = 'overpayment-receivable' group by 1)
        select format('owed back to %s', product), coalesce(o.minor, 0)::text, coalesce(b.minor, 0)::text
          from owed o full join booked b using (product) where coalesce(o.minor, 0) <> coalesce(b.minor, 0)
        """,
    ),
    *CORRECTION_LAWS,
    *ACTION_LAWS,
    *CANCELLING_LAWS,
    Law(
        "switches-buy-with-what-they-sold",
        "what lies in members' accounts of switches is what their sales brought that has not bought yet, and all that bought is in dealings",
        """
        with sold as (
          select k.member_id, sum(trunc(s.units * o.digits * power(10::numeric, m.scale - f.unit_scale - o.scale), 0)) as minor
            from switch_legs k join sales s on s.member_id = k.member_id and s.event_id = k.event_id and s.code = k.code
            join sale_ranges r on r.dealing_id = s.dealing_id and r.fund_id = s.fund_id and r.event_id <> 0
             and s.member_id between r.first_member and r.last_member
            join sale_orders o on o.tenant_id = r.tenant_id and o.dealing_id = r.dealing_id and o.fund_id = r.fund_id
            join funds f on f.tenant_id = r.tenant_id and f.fund_id = r.fund_id
            join assets m on m.tenant_id = r.tenant_id and m.asset_id = 1 group by 1),
        funded as (select member_id, sum(minor) as minor from switch_legs group by 1),
        bought as (
          select a.member_id, sum(a.amount) as minor from allocations a
           where exists (select from switch_legs l where l.member_id = a.member_id and l.funded_event = a.event_id) group by 1),
        held as (
          select b.member_id, sum(b.credits - b.debits) as minor from balances b
            join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = 'payable' and c.party = 'switch' group by 1)
        select format('member %s', to_hex(member_id)), format('%s held, %s bought', coalesce(s.minor, 0) - coalesce(n.minor, 0), coalesce(n.minor, 0)),
               format('%s held, %s bought', coalesce(h.minor, 0), coalesce(b.minor, 0))
          from sold s full join funded n using (member_id) full join held h using (member_id) full join bought b using (member_id)
         where coalesce(h.minor, 0) <> coalesce(s.minor, 0) - coalesce(n.minor, 0) or coalesce(b.minor, 0) <> coalesce(n.minor, 0)
        """,
    ),
)
