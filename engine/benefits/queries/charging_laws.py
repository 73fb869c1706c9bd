"""The laws of fees, each derived from the transfers and lines by SQL of its own."""

from engine.benefits.queries.charging import OF_TERM
from engine.ledger.rules import Law

FEE_LAWS: tuple[Law, ...] = (
    Law(
        "fees-taken-are-their-charges",
        "what a run's events moved out of a member's account, or back into it, is what its charges say was taken",
        """
        with moved as (
          select x.member_id, r.run_no, sum(case when d.kind in ('cash', 'payable') then x.amount else -x.amount end)::bigint as minor
            from fee_ranges r join transfers x on x.event_id = r.event_id and x.member_id > 0
            join chart d on d.tenant_id = x.tenant_id and d.code = x.debit
           where r.event_id <> 0 group by 1, 2),
        noted as (select member_id, run_no, sum(taken)::bigint as minor from fee_charges group by 1, 2 having sum(taken) <> 0)
        select format('member %s, fee run %s', member_id, run_no), coalesce(n.minor, 0)::text, coalesce(m.minor, 0)::text
          from moved m full join noted n using (member_id, run_no) where coalesce(m.minor, 0) <> coalesce(n.minor, 0)
        """,
    ),
    Law(
        "fees-are-booked-to-their-payees",
        "what fee runs booked as due to payees, as tax and as owed by members is what they charged and took",
        f"""
        with booked as (
          select c.product, c.kind, case c.kind when 'fees-payable' then c.party else '' end as party,
                 sum(case when x.credit = c.code then x.amount else -x.amount end)::bigint as minor
            from fee_ranges r join transfers x on x.event_id = r.event_id
            join chart c on c.tenant_id = x.tenant_id and c.code in (x.debit, x.credit)
             and c.kind in ('fees-payable', 'vat-payable', 'fees-receivable')
           where r.event_id <> 0 group by 1, 2, 3),
        charged as (
          select r.product, s.kind, s.party, sum(s.minor)::bigint as minor
            from fee_charges c join fee_runs r on r.tenant_id = c.tenant_id and r.run_no = c.run_no
            join memberships m on m.member_id = c.member_id and m.product = r.product
            join jsonb_array_elements(r.terms) t on t ->> 'fee' = c.fee and {OF_TERM}
            cross join lateral (values ('fees-payable', t ->> 'payee', c.net), ('vat-payable', '', c.vat),
                                       ('fees-receivable', '', c.taken - c.net - c.vat)) s(kind, party, minor)
           group by 1, 2, 3)
        select format('%s of %s %s', kind, product, party), coalesce(c.minor, 0)::text, coalesce(b.minor, 0)::text
          from booked b full join charged c using (product, kind, party) where coalesce(b.minor, 0) <> coalesce(c.minor, 0)
        """,
    ),
    Law(
        "fees-are-what-was-approved",
        "a fee charges no more than the line that two people stand for, and a run that is done has charged every line",
        """
        select format('member %s, %s of fee run %s', l.member_id, l.fee, l.run_no), format('at most %s and tax %s', l.net, l.vat),
               coalesce(format('%s and tax %s', c.net, c.vat), 'nothing')
          from fee_lines l join fee_ranges g on g.tenant_id = l.tenant_id and g.run_no = l.run_no
           and l.member_id between g.first_member and g.last_member and g.state = 'taken'
          left join fee_charges c on c.member_id = l.member_id and c.run_no = l.run_no and c.fee = l.fee
         where c.member_id is null or c.arrears <> l.arrears or abs(c.net + c.vat) > abs(l.net + l.vat)
        union all
        select format('member %s, %s of fee run %s', c.member_id, c.fee, c.run_no), 'a line', 'none'
          from fee_charges c where not exists (
            select from fee_lines l where l.member_id = c.member_id and l.run_no = c.run_no and l.fee = c.fee)
        """,
    ),
    Law(
        "fees-keep-their-caps",
        "what fees under a cap charged a member in a scheme year, up to each run that kept it, is no more than the cap",
        f"""
        select format('member %s, year from %s, fee run %s', x.member_id, x.year_from, x.run_no), format('at most %s', x.most), x.minor::text
          from (select c.member_id, c.year_from, c.run_no, (k.cap ->> 'most')::bigint as most,
                       (select sum(e.net + case when (k.cap ->> 'includes_vat')::boolean then e.vat else 0 end)
                          from fee_charges e join fee_runs o on o.tenant_id = e.tenant_id and o.run_no = e.run_no
                           and (o.product = r.product or exists (select from memberships w where w.member_id = e.member_id
                                                                    and w.product = o.product and w.moved_to = r.product))
                         where e.member_id = c.member_id and e.year_from = c.year_from and e.run_no <= c.run_no
                           and k.cap -> 'fees' ? e.fee)::bigint as minor
                  from fee_charges c join fee_runs r on r.tenant_id = c.tenant_id and r.run_no = c.run_no and r.corrects = 0
                  join memberships m on m.member_id = c.member_id and m.product = r.product
                  join jsonb_array_elements(r.terms) t on t ->> 'fee' = c.fee and {OF_TERM}
                  cross join lateral jsonb_array_elements(t -> 'year_caps') k(cap)
                 where c.net > 0) x
         where x.minor > x.most
        """,
    ),
    Law(
        "fee-runs-are-their-ranges",
        "what a fee run and each of its ranges came to is the sum of their lines and charges",
        """
        with lines as (
          select g.run_no, g.range_no, coalesce(sum(l.net), 0) as net, coalesce(sum(l.vat), 0) as vat, coalesce(sum(c.taken), 0) as taken,
                 coalesce(sum(c.owed), 0) as owed
            from fee_ranges g left join fee_lines l on l.run_no = g.run_no and l.member_id between g.first_member and g.last_member
            left join fee_charges c on c.member_id = l.member_id and c.run_no = l.run_no and c.fee = l.fee group by 1, 2)
        select format('range %s of fee run %s', g.range_no, g.run_no), format('%s, tax %s, taken %s, owed %s', l.net, l.vat, l.taken, l.owed),
               format('%s, tax %s, taken %s, owed %s', g.net, g.vat, g.taken, g.owed)
          from fee_ranges g join lines l using (run_no, range_no)
         where g.state <> 'planned' and (g.net, g.vat, g.taken, g.owed) is distinct from (l.net, l.vat, l.taken, l.owed)
        union all
        select format('fee run %s', r.run_no), format('taken %s, owed %s', sum(g.taken), sum(g.owed)), format('taken %s, owed %s', r.taken, r.owed)
          from fee_runs r join fee_ranges g using (run_no) where r.state = 'done'
         group by r.run_no, r.taken, r.owed having (sum(g.taken), sum(g.owed)) is distinct from (r.taken, r.owed)
        """,
    ),
)
