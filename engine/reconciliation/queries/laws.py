"""What statements, matches and the books must agree on."""

from engine.ledger.rules import Law

LAWS: tuple[Law, ...] = (
    Law(
        "lines-match-once",
        "every line of a statement waits for its receipt, is matched, or was settled: one of them; what was matched may be withdrawn",
        """
        select format('statement %s, line %s', l.statement_id, l.line_no), 'matched, settled or waiting',
               case when m.line_no is null and w.line_no is null then 'none' else 'more than one' end
          from statement_lines l
          left join matches m on m.tenant_id = l.tenant_id and m.statement_id = l.statement_id and m.line_no = l.line_no
          left join unmatched_lines u on u.tenant_id = l.tenant_id and u.statement_id = l.statement_id and u.line_no = l.line_no
          left join settled_lines w on w.tenant_id = l.tenant_id and w.statement_id = l.statement_id and w.line_no = l.line_no
         where (m.line_no is null and w.line_no is null) = (u.line_no is null) or (m.line_no is not null and w.how <> 'withdrawn')
        """,
    ),
    Law(
        "matches-agree",
        "every match joins one line to one receipt of the same amount in the same account",
        """
        select format('receipt %s', m.event_id), format('%s in %s', l.amount, s.account),
               coalesce((select string_agg(format('%s in %s', x.amount, x.party), ' and ') from (
                  select sum(t.amount) as amount, c.party from transfers t
                    join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections'
                   where t.member_id = m.member_id and t.event_id = m.event_id group by c.party) x), 'nothing')
          from matches m
          join statement_lines l on l.tenant_id = m.tenant_id and l.statement_id = m.statement_id and l.line_no = m.line_no
          join statements s on s.tenant_id = m.tenant_id and s.statement_id = m.statement_id
         where not exists (
           select from transfers t join chart c on c.tenant_id = t.tenant_id and c.code = t.debit
            where t.member_id = m.member_id and t.event_id = m.event_id and c.kind = 'collections'
           having sum(t.amount) = l.amount and count(distinct c.party) = 1 and min(c.party) = s.account)
            or not exists (select from events e where e.member_id = m.member_id and e.event_id = m.event_id and e.kind in (10, 11, 153))
        """,
    ),
    Law(
        "orders-are-paid-once",
        "every line that pays an order is money out of its amount in that account, and pays a part of an order that no other line does",
        """
        select format('statement %s, line %s', w.statement_id, w.line_no), format('%s of order %s, once', coalesce(p.amount, 0), w.event_id),
               format('%s of %s lines', -l.amount, count(*) over (partition by w.event_id, s.account))
          from settled_lines w
          join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
          join statements s on s.tenant_id = w.tenant_id and s.statement_id = w.statement_id
          left join (select o.event_id, c.party, sum(t.amount) as amount from orders o
                       join transfers t on t.member_id = -o.tenant_id and t.event_id = o.event_id
                       join chart c on c.tenant_id = o.tenant_id and c.code = t.credit and c.kind = 'collections' group by 1, 2) p
            on p.event_id = w.event_id and p.party = s.account
         where w.how = 'order' and (-l.amount is distinct from p.amount
            or exists (select from settled_lines x join statements y on y.tenant_id = x.tenant_id and y.statement_id = x.statement_id
                        where x.how = 'order' and x.event_id = w.event_id and y.account = s.account
                          and (x.statement_id, x.line_no) <> (w.statement_id, w.line_no)))
        """,
    ),
    Law(
        "reversals-are-shown-once",
        "every line that takes a payment back is money out of its amount, in the account it came by, and the only one of that payment",
        """
        select format('statement %s, line %s', w.statement_id, w.line_no), format('%s of event %s, once', coalesce(t.amount, 0), w.event_id),
               format('%s of %s lines', -l.amount, count(*) over (partition by w.event_id))
          from settled_lines w
          join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
          join statements s on s.tenant_id = w.tenant_id and s.statement_id = w.statement_id
          left join reversals v on v.tenant_id = w.tenant_id and v.reversed_event = w.event_id
          left join lateral (select sum(t.amount) as amount from transfers t
                 join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'collections' and c.party = s.account
                where t.member_id = v.member_id and t.event_id = v.reversed_event) t on true
         where w.how = 'reversal' and (-l.amount is distinct from t.amount
            or exists (select from settled_lines x where x.how = 'reversal' and x.event_id = w.event_id
                          and (x.statement_id, x.line_no) <> (w.statement_id, w.line_no)))
        """,
    ),
    Law(
        "proceeds-come-once",
        "every line by which money of sold units came is of an order's amount, booked into its account, and no other line is of that order",
        """
        select format('statement %s, line %s', w.statement_id, w.line_no), format('%s of one order', coalesce(o.amount_confirmed, 0)),
               format('%s booked, %s by the line, of %s lines', coalesce(t.amount, 0), l.amount, count(*) over (partition by w.event_id))
          from settled_lines w
          join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
          join statements s on s.tenant_id = w.tenant_id and s.statement_id = w.statement_id
          left join sale_orders o on o.tenant_id = w.tenant_id and o.settled_event = w.event_id
          left join lateral (select sum(t.amount) as amount from transfers t
                 join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections' and c.party = s.account
                where t.member_id = -w.tenant_id and t.event_id = w.event_id) t on true
         where w.how = 'proceeds' and (l.amount is distinct from o.amount_confirmed or l.amount is distinct from t.amount
            or exists (select from settled_lines x where x.how = 'proceeds' and x.event_id = w.event_id
                          and (x.statement_id, x.line_no) <> (w.statement_id, w.line_no)))
        union all
        select format('sales of dealing %s, fund %s', o.dealing_id, o.fund_id), 'a line by which its money came', 'none'
          from sale_orders o where o.settled_event <> 0
           and not exists (select from settled_lines w where w.how = 'proceeds' and w.event_id = o.settled_event)
        """,
    ),
    Law(
        "statements-are-whole",
        "a statement has the lines and the total that it had when it came",
        """
        select format('statement %s', s.statement_id), format('%s lines, %s', s.lines, s.total),
               format('%s lines, %s', count(l.line_no), coalesce(sum(l.amount), 0))
          from statements s left join statement_lines l on l.tenant_id = s.tenant_id and l.statement_id = s.statement_id
         group by s.statement_id, s.lines, s.total having count(l.line_no) <> s.lines or coalesce(sum(l.amount), 0) <> s.total
        """,
    ),
    Law(
        "only-reconciled-cash-is-dealt",
        "every allocation is of a matched receipt, of the resolution of a matched one, or of state money that one brought",
        """
        select format('allocation of event %s, member %s', a.event_id, to_hex(a.member_id)), 'a match', 'none'
          from allocations a
         where not exists (select from matches m where m.member_id = a.member_id and m.event_id = a.event_id)
           and not exists (select from suspense_resolutions r join matches m on m.member_id = -r.tenant_id and m.event_id = r.event_id
                            where r.member_id = a.member_id and r.resolved_event = a.event_id)
           and not exists (select from match_receipts r join matches m on m.member_id = -r.tenant_id and m.event_id = r.event_id
                            where r.shared_event = a.event_id)
        """,
    ),
    Law(
        "collections-hold-what-is-not-ordered",
        "a collection account holds what was received and not reversed, and what sold units brought, less what closed dealings and payouts took",
        """
        with received as (
          select c.code, sum(case when t.debit = c.code then t.amount else -t.amount end) as amount
            from chart c join transfers t on t.debit = c.code or t.credit = c.code
            join events e on e.member_id = t.member_id and e.event_id = t.event_id and e.kind in (10, 11, 13, 19, 99, 100, 153)
           where c.kind = 'collections' group by c.code),
        dealt as (
          select a.collected as code, sum(a.amount) as amount from allocations a
            join dealings d on d.tenant_id = a.tenant_id and d.dealing_id = a.dealing_id and d.state <> 'open' group by 1),
        booked as (
          select code, sum(debits - credits) as amount from (
            select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) s group by code)
        select format('collection account %s', c.party), (coalesce(r.amount, 0) - coalesce(d.amount, 0))::text, coalesce(b.amount, 0)::text
          from chart c left join received r using (code) left join dealt d using (code) left join booked b using (code)
         where c.kind = 'collections' and coalesce(r.amount, 0) - coalesce(d.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
)
