"""The laws of claims and payouts, each derived from the transfers by SQL of its own."""

from engine.ledger.rules import Law

LAWS: tuple[Law, ...] = (
    Law(
        "payouts-in-transit-are-unsettled",
        "what is in transit by a rail is the sum of its payouts that are approved, on no statement and not home again",
        """
        with due as (
          select rail, sum(amount)::bigint as amount from payouts
           where approved_event <> 0 and settled_event = 0 and home_event = 0 group by rail),
        booked as (
          select c.party as rail, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as amount
            from chart c join transfers t on t.credit = c.code or t.debit = c.code
           where c.kind = 'payouts-in-transit' group by c.party)
        select format('payouts by %s', rail), coalesce(d.amount, 0)::text, coalesce(b.amount, 0)::text
          from due d full join booked b using (rail) where coalesce(d.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
    Law(
        "payouts-are-posted-once",
        "each step of a payout is one event of its amount, and each such event is a payout's",
        """
        with steps as (
          select p.payout_id, p.member_id, p.amount, p.rail, x.event_id, x.kinds from payouts p
           cross join lateral (values (p.approved_event, array[96]), (p.settled_event, array[99]),
                                      (p.home_event, array[98, 100])) x(event_id, kinds) where x.event_id <> 0),
        posted as (
          select e.member_id, e.event_id, e.kind, e.body ->> 'payout' as payout,
                 sum(t.amount) filter (where t.credit = c.code) as "in", sum(t.amount) filter (where t.debit = c.code) as "out",
                 min(c.party) as rail
            from events e join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
            join chart c on c.kind = 'payouts-in-transit' and c.code in (t.debit, t.credit)
           where e.kind in (96, 98, 99, 100) group by 1, 2, 3, 4)
        select format('payout %s', s.payout_id), format('%s by %s', s.amount, s.rail),
               coalesce(format('in %s, out %s by %s', e."in", e."out", e.rail), 'nothing posted')
          from steps s left join posted e on e.member_id = s.member_id and e.event_id = s.event_id and e.kind = any(s.kinds)
         where e.payout is distinct from s.payout_id::text or e.rail is distinct from s.rail
            or e."in" is distinct from (case when e.kind in (96, 100) then s.amount end)
            or e."out" is distinct from (case when e.kind in (98, 99, 100) then s.amount end)
        union all
        select format('event %s', e.event_id), 'a payout', 'none' from posted e
         where not exists (select from steps s where s.event_id = e.event_id and s.member_id = e.member_id)
        """,
    ),
    Law(
        "payouts-add-up",
        "a payout is the sum of the pots and origins that it is paid from",
        """
        select format('payout %s', p.payout_id), p.amount::text, coalesce(sum((x ->> 2)::bigint), 0)::text
          from payouts p left join lateral jsonb_array_elements(p.parts) x on true
         group by p.payout_id, p.amount having coalesce(sum((x ->> 2)::bigint), 0) <> p.amount
        """,
    ),
    Law(
        "payouts-are-seen-once",
        "every payout that is settled, or came back, is one line of its account's statement of its amount",
        """
        with steps as (
          select p.payout_id, p.account, -p.amount as amount, p.settled_event as event_id from payouts p where p.settled_event <> 0
          union all
          select p.payout_id, p.account, p.amount, p.home_event from payouts p where p.state = 'returned'),
        seen as (
          select w.event_id, s.account, l.amount from settled_lines w
            join statement_lines l on l.tenant_id = w.tenant_id and l.statement_id = w.statement_id and l.line_no = w.line_no
            join statements s on s.tenant_id = w.tenant_id and s.statement_id = w.statement_id where w.how = 'payout')
        select format('payout %s', coalesce(s.payout_id::text, 'of no step')), format('%s in %s', s.amount, s.account),
               coalesce(string_agg(format('%s in %s', l.amount, l.account), ', '), 'no line')
          from steps s full join seen l using (event_id) group by event_id, s.payout_id, s.amount, s.account
        having count(l.amount) <> 1 or s.payout_id is null or min(l.amount) is distinct from s.amount or min(l.account) is distinct from s.account
        """,
    ),
    Law(
        "failed-payouts-are-home",
        "a payout that its counterparty has refused has its money home, unless a statement shows that it went",
        """
        select format('payout %s', e.reference), 'home', coalesce(p.state, 'missing') from exchanges e
          left join payouts p on p.tenant_id = e.tenant_id and p.payout_id = e.reference
         where e.operation = 'payouts'
           and (p.payout_id is null or (e.outcome = 'failed' and p.home_event = 0 and p.settled_event = 0))
        """,
    ),
    Law(
        "claims-are-booked-whole",
        "what a claim pays, tax, and what is forfeited and added, is what its event moved, and what its parts add up to",
        """
        with booked as (
          select b.claim_id, b.amount, b.tax, b.forfeited, b.top_up, b.parts,
                 o.pooled, case when b.sale_event = 0 then b.amount - b.top_up + b.forfeited + o.pooled else 0 end as from_cash,
                 coalesce(sum(t.amount) filter (where d.kind = 'cash' and k.kind = 'payable'), 0) as cash,
                 coalesce(sum(t.amount) filter (where k.kind = 'tax-withheld'), 0) as taxed,
                 coalesce(sum(t.amount) filter (where k.kind = 'forfeitures'), 0) as lost,
                 coalesce(sum(t.amount) filter (where d.kind in ('guarantee-receivable', 'pension-pool') and k.kind = 'payable'), 0) as added,
                 coalesce(sum(t.amount) filter (where d.kind = 'payable' and k.kind in ('pension-pool', 'annuity-purchases')), 0) as into_pool
            from benefit_claims b
           cross join lateral (
             select coalesce(sum((p ->> 'minor')::bigint) filter (where (p ->> 'is_pooled')::boolean), 0)::bigint as pooled
               from jsonb_array_elements(b.parts) p) o
            left join transfers t on t.member_id = b.member_id and t.event_id = b.payable_event
            left join chart d on d.code = t.debit left join chart k on k.code = t.credit
           where b.state = 'payable' group by b.member_id, b.claim_id, o.pooled)
        select format('claim %s', claim_id), format('%s from cash, %s tax, %s forfeited, %s added, %s pooled', from_cash, tax, forfeited, top_up, pooled),
               format('%s from cash, %s tax, %s forfeited, %s added, %s pooled', cash, taxed, lost, added, into_pool)
          from booked where (cash, taxed, lost, added, into_pool) is distinct from (from_cash, tax, forfeited, top_up, pooled)
        union all
        select format('parts of claim %s', b.claim_id), (b.amount - b.top_up + b.forfeited)::text, x.total::text
          from booked b cross join lateral (
            select coalesce(sum((p ->> 'minor')::bigint) filter (where (p ->> 'is_pooled')::boolean is not true), 0)::bigint as total
              from jsonb_array_elements(b.parts) p) x
         where x.total <> b.amount - b.top_up + b.forfeited
        """,
    ),
    Law(
        "claims-are-posted-once",
        "money of a claim is moved by one event, and each such event is one claim's",
        """
        with moved as (
          select distinct e.member_id, e.event_id, e.body ->> 'claim' as claim from events e
            join transfers t on t.member_id = e.member_id and t.event_id = e.event_id where e.kind in (84, 85))
        select format('event %s', m.event_id), format('claim %s', m.claim), coalesce(format('claim %s', b.claim_id), 'none')
          from moved m left join benefit_claims b on b.member_id = m.member_id and b.payable_event = m.event_id
         where b.claim_id::text is distinct from m.claim
        union all
        select format('claim %s', claim), 'one event', format('%s events', count(*)) from moved group by claim having count(*) > 1
        """,
    ),
    Law(
        "inheritances-are-what-was-shared",
        "what heirs were given of a claim, without what a trust has earned, is what the claim's event moved to them",
        """
        with moved as (
          select e.member_id, e.body ->> 'claim' as claim, sum(t.amount) as minor from events e
            join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
            join chart c on c.code = t.credit and c.kind in ('heirs', 'minors-trust') where e.kind = 168 group by 1, 2),
        given as (
          select i.member_id, i.claim_id::text as claim, sum(i.amount - i.earned) as minor,
                 bool_and((select coalesce(sum((p ->> 2)::bigint), 0) from jsonb_array_elements(i.parts) p) = i.amount) as adds_up
            from inheritances i join benefit_claims b on b.member_id = i.member_id and b.claim_id = i.claim_id
           where b.closed_event = 0 group by 1, 2)
        select format('claim %s', claim), coalesce(m.minor, 0)::text, coalesce(g.minor, 0)::text
          from moved m full join given g using (member_id, claim)
         where (m.minor is distinct from g.minor or not g.adds_up)
           and not exists (select from benefit_claims b where b.member_id = m.member_id and b.claim_id::text = claim and b.closed_event <> 0)
        """,
    ),
    Law(
        "heirs-are-owed-what-they-inherit",
        "what is due to a member's heirs, and held for children, is what they were given less what was paid, product by product",
        """
        with given as (
          select i.member_id, b.product, b.closed_event, i.amount, i.overpaid,
                 case when i.is_trust then i.amount - i.released else 0 end as trust,
                 (select coalesce(sum(p.amount), 0) from payouts p where p.tenant_id = i.tenant_id and p.member_id = i.member_id
                     and p.inherited_claim = i.claim_id and p.heir_no = i.heir_no and p.approved_event <> 0 and p.home_event = 0) as paid
            from inheritances i join benefit_claims b on b.member_id = i.member_id and b.claim_id = i.claim_id),
        surviving as (
          select s.member_id, s.product, (select sum(x) from unnest(s.overpaid) x) + (select coalesce(sum(x), 0) from unnest(s.brought) x)
                 + (select coalesce(sum(x), 0) from pension_instalments i cross join lateral unnest(i.net) x
                     where i.member_id = s.member_id and i.claim_id = s.claim_id and i.state = 'posted')
                 - (select coalesce(sum(p.amount), 0) from payouts p where p.tenant_id = s.tenant_id and p.member_id = s.member_id
                       and p.source like 'pension:%' and p.inherited_claim = s.claim_id and p.approved_event <> 0 and p.home_event = 0) as heirs
            from pension_schedules s where s.heir_no <> 0),
        due as (
          select member_id, product, sum(heirs) as heirs, sum(trust) as trust from (
            select member_id, product, case when closed_event = 0 then amount - trust - paid else overpaid - paid end as heirs, trust from given
            union all select member_id, product, heirs, 0 from surviving) d group by 1, 2),
        booked as (
          select t.member_id, c.product, sum(x.sign * t.amount) filter (where c.kind = 'heirs') as heirs,
                 sum(x.sign * t.amount) filter (where c.kind = 'minors-trust') as trust
            from chart c join transfers t on c.code in (t.debit, t.credit)
           cross join lateral (values (t.credit, 1), (t.debit, -1)) x(code, sign)
           where c.kind in ('heirs', 'minors-trust') and x.code = c.code group by 1, 2)
        select format('heirs in %s', product), format('%s, in trust %s', coalesce(d.heirs, 0), coalesce(d.trust, 0)),
               format('%s, in trust %s', coalesce(b.heirs, 0), coalesce(b.trust, 0))
          from due d full join booked b using (member_id, product)
         where (coalesce(d.heirs, 0), coalesce(d.trust, 0)) is distinct from (coalesce(b.heirs, 0), coalesce(b.trust, 0))
        """,
    ),
    Law(
        "heirs-are-paid-once",
        "payouts to an heir that are not home again take no more than the heir was given and is not held in trust",
        """
        select format('heir %s of claim %s', i.heir_no, i.claim_id),
               format('at most %s', i.amount - case when i.is_trust then i.amount - i.released else 0 end), sum(p.amount)::text
          from inheritances i join payouts p on p.tenant_id = i.tenant_id and p.member_id = i.member_id
           and p.inherited_claim = i.claim_id and p.heir_no = i.heir_no and p.approved_event <> 0 and p.home_event = 0
         group by i.member_id, i.claim_id, i.heir_no, i.amount, i.is_trust, i.released
        having sum(p.amount) > i.amount - case when i.is_trust then i.amount - i.released else 0 end
        """,
    ),
    Law(
        "what-heirs-owe-back-is-receivable",
        "what heirs were paid of members who live is the receivable of their product",
        """
        with owed as (
          select b.product, sum(i.overpaid) as minor from inheritances i
            join benefit_claims b on b.member_id = i.member_id and b.claim_id = i.claim_id where i.overpaid > 0 group by 1),
        booked as (
          select c.product, sum(case when t.debit = c.code then t.amount else -t.amount end) as minor
            from chart c join transfers t on c.code in (t.debit, t.credit)
           where c.kind = 'overpayment-receivable' and c.party = 'heirs' group by 1)
        select format('owed back by heirs in %s', product), coalesce(o.minor, 0)::text, coalesce(b.minor, 0)::text
          from owed o full join booked b using (product) where coalesce(o.minor, 0) <> coalesce(b.minor, 0)
        """,
    ),
    Law(
        "claims-are-paid-once",
        "payouts of a claim that are not home again take no more than the claim pays after tax",
        """
        select format('claim %s', b.claim_id), format('at most %s', case when b.state = 'payable' then b.amount - b.tax else 0 end),
               sum(p.amount)::text
          from benefit_claims b join payouts p on p.tenant_id = b.tenant_id and p.source = 'claim:' || b.claim_id
           and p.approved_event <> 0 and p.home_event = 0
         group by b.member_id, b.claim_id
        having sum(p.amount) > case when b.state = 'payable' then b.amount - b.tax else 0 end
        """,
    ),
)
