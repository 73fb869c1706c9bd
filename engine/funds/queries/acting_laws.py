"""The laws of splits and of income that funds pay, each derived from the transfers by SQL of its own."""

from engine.ledger.rules import Law

_WHOSE = "join fund_actions a on a.tenant_id = r.tenant_id and a.action_no = r.action_no"

ACTION_LAWS: tuple[Law, ...] = (
    Law(
        "fund-actions-follow-the-formula",
        "what every account got by a split or distribution is its part of the units that it had, rounded down; units that wait to be sold are those of their sales",
        """
        select format('action %s, member %s, account %s', l.action_no, to_hex(l.member_id), l.code),
               trunc(l.base::numeric * a.multiplier / a.divisor, 0)::text, l.got::text
          from fund_action_lines l join fund_actions a on a.tenant_id = l.tenant_id and a.action_no = l.action_no
          join chart c on c.tenant_id = l.tenant_id and c.code = l.code
         where a.state in ('approved', 'done') and case c.kind
               when 'selling' then abs(l.got - l.base::numeric * a.multiplier / a.divisor)
                    > greatest((select count(*) from sales s where s.member_id = l.member_id and s.code = l.code), 1)
               else l.got <> trunc(l.base::numeric * a.multiplier / a.divisor, 0) end
        """,
    ),
    Law(
        "fund-actions-are-booked",
        "what the events of a split or distribution moved on members' accounts is what its lines say",
        f"""
        with booked as (
          select r.action_no, t.member_id, k.code, sum(case when t.credit = k.code then t.amount else -t.amount end) as change
            from fund_action_ranges r {_WHOSE} join transfers t on t.event_id = r.event_id and t.member_id > 0
            join chart k on k.tenant_id = t.tenant_id and k.code in (t.debit, t.credit) and k.code & 2048 <> 0
           where r.event_id <> 0 group by 1, 2, 3),
        noted as (
          select r.action_no, l.member_id, l.code, l.got - case a.kind when 'split' then l.base else 0 end as change
            from fund_action_ranges r {_WHOSE}
            join fund_action_lines l on l.action_no = r.action_no and l.member_id between r.first_member and r.last_member
           where r.is_done)
        select format('action %s, member %s, account %s', action_no, to_hex(member_id), code), coalesce(n.change, 0)::text, coalesce(b.change, 0)::text
          from booked b full join noted n using (action_no, member_id, code) where coalesce(n.change, 0) <> coalesce(b.change, 0)
        """,
    ),
    Law(
        "fund-actions-leave-a-residue",
        "what a finished split or distribution left to owners of residue is what the fund has after it, or what its manager stated, beyond its members' accounts",
        """
        select format('action %s', a.action_no), a.residue::text, coalesce(t.change, 0)::text
          from fund_actions a
          left join lateral (
            select sum(case when t.credit = c.code then t.amount else -t.amount end) as change from transfers t
              join chart c on c.tenant_id = t.tenant_id and c.code in (t.debit, t.credit) and c.kind = 'residue'
             where t.member_id = -a.tenant_id and t.event_id = a.finished_event) t on true
          left join lateral (select coalesce(sum(got), 0) as got from fund_action_lines l where l.action_no = a.action_no) l on true
         where a.state = 'done' and (a.residue <> coalesce(t.change, 0) or (a.kind <> 'split' and a.residue <> a.stated - l.got))
        """,
    ),
    Law(
        "income-due-is-unpaid",
        "the income of a fund that is due to members is what its manager paid and nobody was given yet",
        """
        with moved as (
          select c.product, c.fund, sum(case when t.credit = c.code then t.amount else -t.amount end) as minor
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'income-due' group by 1, 2),
        waiting as (
          select a.product, f.code as fund, sum(a.stated - case a.state when 'done' then a.stated else coalesce(l.got, 0) end) as minor
            from fund_actions a join funds f on f.tenant_id = a.tenant_id and f.fund_id = a.fund_id
            left join lateral (
              select sum(l.got) as got from fund_action_lines l
                join fund_action_ranges r on r.action_no = l.action_no and l.member_id between r.first_member and r.last_member and r.is_done
               where l.action_no = a.action_no) l on true
           where a.kind = 'income-in-cash' and a.settled_event <> 0 group by 1, 2)
        select format('income of %s from %s', product, fund), coalesce(w.minor, 0)::text, coalesce(m.minor, 0)::text
          from moved m full join waiting w using (product, fund) where coalesce(w.minor, 0) <> coalesce(m.minor, 0)
        """,
    ),
)
