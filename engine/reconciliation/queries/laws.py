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
        "the lines that show receipts are of the receipts' amount in the same account, but for what was booked for a cause",
        """
        with booked as (
          select m.statement_id, m.line_no, m.member_id, m.event_id, sum(t.amount) as amount, min(c.party) as party, count(distinct c.party) as parties
            from matches m join events e on e.member_id = m.member_id and e.event_id = m.event_id and e.kind in (10, 11, 153)
            join transfers t on t.member_id = m.member_id and t.event_id = m.event_id
            join chart c on c.tenant_id = m.tenant_id and c.code = t.debit and c.kind = 'collections' group by 1, 2, 3, 4),
        parts as (
          select m.statement_id, m.line_no, sum(l.amount) as amount, bool_and(s.account = y.account) as same
            from settled_lines w join matches m on m.event_id = w.event_id
            join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
            join statements s on s.tenant_id = w.tenant_id and s.statement_id = w.statement_id
            join statements y on y.tenant_id = m.tenant_id and y.statement_id = m.statement_id
           where w.how = 'part' group by 1, 2),
        shown as (select statement_id, line_no, count(*) as receipts from matches group by 1, 2),
        causes as (
          select statement_id, line_no, sum(difference) as amount from break_proposals
           where state = 'confirmed' and action = 'match' group by 1, 2)
        select format('statement %s, line %s', h.statement_id, h.line_no),
               format('%s in %s', l.amount + coalesce(p.amount, 0) - coalesce(d.amount, 0), s.account),
               format('%s in %s', coalesce(b.amount, 0), coalesce(b.party, 'nothing'))
          from shown h
          join statement_lines l on l.statement_id = h.statement_id and l.line_no = h.line_no
          join statements s on s.tenant_id = l.tenant_id and s.statement_id = h.statement_id
          left join parts p on p.statement_id = h.statement_id and p.line_no = h.line_no
          left join causes d on d.statement_id = h.statement_id and d.line_no = h.line_no
          left join (select statement_id, line_no, sum(amount) as amount, min(party) as party, max(party) as last, max(parties) as parties,
                            count(*) as receipts from booked group by 1, 2) b on b.statement_id = h.statement_id and b.line_no = h.line_no
         where b.amount is distinct from l.amount + coalesce(p.amount, 0) - coalesce(d.amount, 0) or b.receipts <> h.receipts
            or b.party <> s.account or b.last <> s.account or b.parties <> 1 or not coalesce(p.same, true)
        union all
        select format('statement %s, line %s', w.statement_id, w.line_no), 'a receipt that another line matches', 'none'
          from settled_lines w where w.how = 'part' and not exists (select from matches m where m.event_id = w.event_id)
        """,
    ),
    Law(
        "breaks-are-resolved-once",
        "what a confirmed proposal booked for a cause is its difference in its account, and a line is booked for one cause, by one",
        """
        select format('proposal %s', p.proposal_id), p.difference::text, coalesce(t.amount, 0)::text
          from break_proposals p join statements s on s.tenant_id = p.tenant_id and s.statement_id = p.statement_id
          left join lateral (
            select sum(case when c.code = x.debit then x.amount else -x.amount end) as amount from transfers x
              join chart c on c.tenant_id = p.tenant_id and c.code in (x.debit, x.credit) and c.kind = 'collections' and c.party = s.account
             where x.member_id = -p.tenant_id and x.event_id = p.resolved_event) t on true
         where p.state = 'confirmed' and p.difference <> coalesce(t.amount, 0)
        union all
        select format('statement %s, line %s', l.statement_id, l.line_no), format('%s by one proposal', l.amount),
               format('%s by %s', coalesce(sum(p.difference), 0), count(p.proposal_id))
          from settled_lines w
          join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
          left join break_proposals p on p.tenant_id = w.tenant_id and p.resolved_event = w.event_id and p.action = 'book'
               and p.statement_id = w.statement_id and p.line_no = w.line_no
         where w.how = 'cause' group by l.statement_id, l.line_no, l.amount
        having sum(p.difference) is distinct from l.amount or count(p.proposal_id) <> 1
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
        "every line by which money of sold units or income of a fund came is of its amount, booked into its account, and no other line is of that",
        """
        with o as (
          select tenant_id, settled_event, amount_confirmed from sale_orders
          union all select tenant_id, settled_event, stated from fund_actions where kind = 'income-in-cash')
        select format('statement %s, line %s', w.statement_id, w.line_no), format('%s of one order', coalesce(o.amount_confirmed, 0)),
               format('%s booked, %s by the line, of %s lines', coalesce(t.amount, 0), l.amount, count(*) over (partition by w.event_id))
          from settled_lines w
          join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
          join statements s on s.tenant_id = w.tenant_id and s.statement_id = w.statement_id
          left join o on o.tenant_id = w.tenant_id and o.settled_event = w.event_id
          left join lateral (select sum(t.amount) as amount from transfers t
                 join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections' and c.party = s.account
                where t.member_id = -w.tenant_id and t.event_id = w.event_id) t on true
         where w.how = 'proceeds' and (l.amount is distinct from o.amount_confirmed or l.amount is distinct from t.amount
            or exists (select from settled_lines x where x.how = 'proceeds' and x.event_id = w.event_id
                          and (x.statement_id, x.line_no) <> (w.statement_id, w.line_no)))
        union all
        select format('sales of dealing %s, fund %s', o.dealing_id, o.fund_id), 'a line by which its money came', 'none'
          from (select dealing_id, fund_id, settled_event from sale_orders
                union all select -action_no, fund_id, settled_event from fund_actions) o where o.settled_event <> 0
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
        "every allocation is of a matched receipt, of the resolution of a matched one or what that earned, of state money that one brought, of opening balances, of a switch, or of money that moved from another product or came home from another scheme",
        """
        select format('allocation of event %s, member %s', a.event_id, to_hex(a.member_id)), 'a match', 'none'
          from allocations a
         where not exists (select from matches m where m.member_id = a.member_id and m.event_id = a.event_id)
           and not exists (select from suspense_resolutions r join matches m on m.member_id = -r.tenant_id and m.event_id = r.event_id
                            where r.member_id = a.member_id and a.event_id in (r.resolved_event, r.earned_event))
           and not exists (select from suspense_resolutions r join suspense s on s.tenant_id = r.tenant_id and s.event_id = r.event_id and s.of_event <> 0
                             join matches m on m.member_id = s.of_member and m.event_id = s.of_event
                            where r.member_id = a.member_id and r.resolved_event = a.event_id)
           and not exists (select from match_receipts r join matches m on m.member_id = -r.tenant_id and m.event_id = r.event_id
                            where r.shared_event = a.event_id)
           and not exists (select from opening_ranges o where o.tenant_id = a.tenant_id and o.event_id = a.event_id)
           and not exists (select from events e where e.member_id = a.member_id and e.event_id = a.event_id and e.kind in (6, 218))
           and not exists (select from transfers_out o where o.member_id = a.member_id and o.ended_event = a.event_id)
           and not exists (select from switch_legs l where l.member_id = a.member_id and l.funded_event = a.event_id)
        """,
    ),
    Law(
        "collections-hold-what-is-not-ordered",
        "a collection account holds what it opened with, what was received and not reversed, what sold units brought and what breaks were booked for, less what closed dealings and payouts took",
        """
        with received as (
          select c.code, sum(case when t.debit = c.code then t.amount else -t.amount end) as amount
            from chart c join transfers t on t.debit = c.code or t.credit = c.code
            join events e on e.member_id = t.member_id and e.event_id = t.event_id and e.kind in (10, 11, 13, 19, 23, 99, 100, 153, 191)
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
