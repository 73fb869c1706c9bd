"""The laws of loans, each derived from the transfers by SQL of its own."""

from engine.ledger.rules import Law

LOAN_LAWS: tuple[Law, ...] = (
    Law(
        "loans-are-what-was-lent",
        "what members owe their own pots is what their running loans owe, and all of it is the product's asset",
        """
        with owed as (
          select member_id, product, sum(owed)::bigint as minor from loans where form = 'loan' and ended_event = 0 group by 1, 2),
        booked as (
          select t.member_id, c.product, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as minor
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'lent' group by 1, 2),
        assets as (
          select c.product, sum(case when t.debit = c.code then t.amount else -t.amount end)::bigint as minor
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'member-loans' group by 1)
        select format('lent in %s', product), coalesce(o.minor, 0)::text, coalesce(b.minor, 0)::text
          from owed o full join booked b using (member_id, product) where coalesce(o.minor, 0) <> coalesce(b.minor, 0)
        union all
        select format('loans of %s', product), coalesce(s.minor, 0)::text, coalesce(a.minor, 0)::text
          from (select product, sum(minor)::bigint as minor from booked group by 1) s full join assets a using (product)
         where coalesce(s.minor, 0) <> coalesce(a.minor, 0)
        """,
    ),
    Law(
        "loans-are-repaid-by-payments",
        "what was paid of a loan is what its event moved out of suspense, and leaves of the principal what is owed",
        """
        with booked as (
          select r.member_id, r.loan_id, r.event_id, r.principal, r.principal + r.interest + r.saved as minor,
                 coalesce(sum(t.amount) filter (where d.kind = 'suspense'), 0) as moved,
                 coalesce(sum(t.amount) filter (where d.kind = 'lent'), 0) as less
            from loan_repayments r left join transfers t on t.member_id = r.member_id and t.event_id = r.event_id
            left join chart d on d.code = t.debit group by r.member_id, r.event_id)
        select format('repayment %s', event_id), format('%s, %s of it principal', minor, principal), format('%s, %s of it principal', moved, less)
          from booked where (moved, less) is distinct from (minor::numeric, principal::numeric)
        union all
        select format('loan %s', l.loan_id), (l.principal - coalesce(sum(b.principal), 0))::text, l.owed::text
          from loans l left join booked b using (member_id, loan_id) where l.form = 'loan'
         group by l.member_id, l.loan_id having l.principal - coalesce(sum(b.principal), 0) <> l.owed
        """,
    ),
    Law(
        "pledges-hold-back-what-is-owed",
        "a pledge that runs is a claim that holds back, by pot and origin, no more than what is owed",
        """
        select format('pledge %s', l.loan_id), format('pledged, at most %s', l.owed),
               coalesce(format('%s, %s', b.state, x.minor), 'no claim')
          from loans l left join benefit_claims b on b.member_id = l.member_id and b.claim_id = l.loan_id
         cross join lateral (select coalesce(sum((p ->> 'minor')::bigint), 0) as minor from jsonb_array_elements(b.parts) p) x
         where l.form = 'pledge' and l.ended_event = 0 and (b.state is distinct from 'pledged' or x.minor > l.owed)
        """,
    ),
)
