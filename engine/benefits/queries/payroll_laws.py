"""The laws of pensions and payrolls, each derived from the transfers by SQL of its own."""

from engine.ledger.rules import Law

PAYROLL_LAWS: tuple[Law, ...] = (
    Law(
        "pensions-add-up",
        "what falls due is taken from the pot, from pools, or lacking; what becomes payable is that less tax",
        """
        with parts as (
          select i.*, (select coalesce(sum(x), 0) from unnest(i.taken) x) as of_pot, (select coalesce(sum(x), 0) from unnest(i.pooled) x) as of_pools,
                 (select coalesce(sum(x), 0) from unnest(i.net) x) as after_tax from pension_instalments i)
        select format('instalment %s of pension %s', number, claim_id), (due + arrears)::text, (of_pot + of_pools + lacking)::text
          from parts where due + arrears <> of_pot + of_pools + lacking
        union all
        select format('tax of instalment %s of pension %s', number, claim_id), (of_pot + of_pools - tax - recovered)::text, after_tax::text
          from parts where of_pot + of_pools - tax - recovered <> after_tax
        """,
    ),
    Law(
        "pensions-are-due-once",
        "each instalment of a pension is posted once, one after the other, on a day of its own",
        """
        with posted as (
          select claim_id, number, due_on, lag(number) over w as before, lag(due_on) over w as before_on
            from pension_instalments where state = 'posted' window w as (partition by member_id, claim_id order by number))
        select format('instalment of pension %s', claim_id), (coalesce(before, 0) + 1)::text, number::text
          from posted where number <> coalesce(before, 0) + 1
        union all
        select format('instalment %s of pension %s', number, claim_id), format('after %s', before_on), due_on::text
          from posted where due_on <= before_on
        """,
    ),
    Law(
        "pensions-are-posted-as-due",
        "what a payroll's event moved for a member is what was due to them: out of the pot, of pools, tax, and what was set off",
        """
        with due as (
          select member_id, event_id, sum(of_pot)::bigint as of_pot, sum(of_pools)::bigint as of_pools, sum(tax)::bigint as tax, sum(recovered)::bigint as recovered from (
            select member_id, event_id, tax, recovered, (select coalesce(sum(x), 0) from unnest(taken) x) as of_pot,
                   (select coalesce(sum(x), 0) from unnest(pooled) x) as of_pools from pension_instalments where event_id <> 0) i group by 1, 2),
        booked as (
          select t.member_id, t.event_id, coalesce(sum(t.amount) filter (where d.kind = 'cash' and k.kind in ('payable', 'heirs')), 0)::bigint as of_pot,
                 coalesce(sum(t.amount) filter (where d.kind in ('pension-pool', 'guarantee-receivable') and k.kind in ('payable', 'heirs')), 0)::bigint as of_pools,
                 coalesce(sum(t.amount) filter (where k.kind = 'tax-withheld'), 0)::bigint as tax,
                 coalesce(sum(t.amount) filter (where k.kind = 'overpayment-receivable'), 0)::bigint as recovered
            from events e join transfers t on t.event_id = e.event_id join chart d on d.code = t.debit join chart k on k.code = t.credit
           where e.kind = 205 group by 1, 2)
        select format('event %s of member %s', coalesce(d.event_id, b.event_id), to_hex(coalesce(d.member_id, b.member_id))),
               format('%s of the pot, %s of pools, %s tax, %s set off', d.of_pot, d.of_pools, d.tax, d.recovered),
               format('%s of the pot, %s of pools, %s tax, %s set off', b.of_pot, b.of_pools, b.tax, b.recovered)
          from due d full join booked b on b.member_id = d.member_id and b.event_id = d.event_id
         where coalesce(d.of_pot, 0) <> coalesce(b.of_pot, 0) or coalesce(d.of_pools, 0) <> coalesce(b.of_pools, 0)
            or coalesce(d.tax, 0) <> coalesce(b.tax, 0) or coalesce(d.recovered, 0) <> coalesce(b.recovered, 0)
        """,
    ),
    Law(
        "payrolls-pay-what-they-say",
        "a payout that a payroll made is of exactly what was approved for the pension, to that account",
        """
        select format('pension %s of payroll %s', y.claim_id, y.run_no), format('%s by %s', y.amount, y.rail),
               coalesce(format('%s by %s', p.amount, p.rail), 'no payout')
          from payroll_payments y left join payouts p on p.tenant_id = y.tenant_id and p.payout_id = y.payout_id
         where y.state = 'made' and (p.payout_id is null or p.amount <> y.amount or p.rail <> y.rail or p.account_digest <> y.account_digest
            or p.source <> format('pension:%s:%s', y.claim_id, y.run_no) or p.member_id <> y.member_id)
        union all
        select format('payout %s', p.payout_id), 'a payment of a payroll', 'none' from payouts p
         where p.source like 'pension:%' and not exists (select from payroll_payments y where y.tenant_id = p.tenant_id and y.payout_id = p.payout_id)
        """,
    ),
    Law(
        "pensions-are-paid-once",
        "what payouts of a pension took and is not home again is no more than became payable, what is owed back of it, and what was set off",
        """
        with due as (
          select member_id, claim_id, sum((select sum(x) from unnest(net) x)) as minor from pension_instalments where state = 'posted' group by 1, 2),
        paid as (
          select y.member_id, y.claim_id, sum(p.amount) as minor from payroll_payments y join payouts p on p.tenant_id = y.tenant_id and p.payout_id = y.payout_id
           where p.approved_event <> 0 and p.home_event = 0 group by 1, 2)
        select format('pension %s', s.claim_id), format('at most %s', coalesce(d.minor, 0) + o.minor + s.passed), p.minor::text
          from (
            select b.*, (select coalesce(sum(x), 0) from unnest(b.brought) x)
                        + (select coalesce(sum(i.recovered), 0) from pension_schedules n join pension_instalments i using (member_id, claim_id)
                            where n.member_id = b.member_id and n.after_claim = b.claim_id and i.state = 'posted') + b.kept as passed
              from pension_schedules b) s join paid p using (member_id, claim_id) left join due d using (member_id, claim_id)
         cross join lateral (select sum(x) as minor from unnest(s.overpaid) x) o
         where p.minor > coalesce(d.minor, 0) + o.minor + s.passed
        """,
    ),
    Law(
        "pensions-have-their-reserves",
        "what a pension's pool was given as it began is what its claim's event moved there",
        """
        with booked as (
          select b.claim_id, sum(t.amount)::bigint as minor from benefit_claims b
            join transfers t on t.member_id = b.member_id and t.event_id = b.payable_event
            join chart k on k.code = t.credit and k.kind = 'pension-pool' where b.kind <> 'death' group by 1)
        select format('pension %s', coalesce(s.claim_id, b.claim_id)), coalesce(s.reserve, 0)::text, coalesce(b.minor, 0)::text
          from (select claim_id, reserve from pension_schedules where heir_no = 0 and reserve <> 0) s full join booked b using (claim_id)
         where coalesce(s.reserve, 0) <> coalesce(b.minor, 0)
        """,
    ),
    Law(
        "overpaid-pensions-are-receivables",
        "what went out for time after a death, less what came back or was set off, is what pensions' events booked as owed back",
        """
        with booked as (
          select t.member_id, c.product, sum(case when c.code = t.debit then t.amount else -t.amount end)::bigint as minor
            from events e join transfers t on t.event_id = e.event_id
            join chart c on c.kind = 'overpayment-receivable' and c.party = '' and c.code in (t.debit, t.credit)
           where e.kind in (205, 207, 209, 350, 351) group by 1, 2),
        owed as (
          select member_id, product, sum((select sum(x) from unnest(overpaid) x))::bigint as minor from pension_schedules group by 1, 2)
        select format('pensions of member %s', to_hex(o.member_id)), o.minor::text, coalesce(b.minor, 0)::text
          from owed o left join booked b using (member_id, product) where coalesce(b.minor, 0) <> o.minor
        """,
    ),
)
