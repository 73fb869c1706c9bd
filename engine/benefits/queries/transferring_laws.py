"""The laws of savings that go to other schemes and come from them, each derived from the transfers by SQL of its own."""

from engine.ledger.rules import Law

TRANSFER_LAWS: tuple[Law, ...] = (
    Law(
        "transfers-in-transit-are-open",
        "what is in transit to other schemes is what left members' accounts, is not home, and was not paid",
        """
        with due as (
          select o.product, sum(o.amount)::bigint as minor from transfers_out o
           where o.state <> 'home' and not exists (
             select from payouts p where p.tenant_id = o.tenant_id and p.source = 'transfer:' || o.claim_id
                and p.approved_event <> 0 and p.home_event = 0) group by 1),
        booked as (
          select c.product, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as minor
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'transfers-in-transit' group by 1)
        select format('in transit from %s', product), coalesce(d.minor, 0)::text, coalesce(b.minor, 0)::text
          from due d full join booked b using (product) where coalesce(d.minor, 0) <> coalesce(b.minor, 0)
        """,
    ),
    Law(
        "transfers-out-are-what-left",
        "what left for another scheme is what its claim moved, its parts add up to it, and so do the contributions in them",
        """
        with moved as (
          select b.member_id, b.claim_id, coalesce(sum(t.amount), 0)::bigint as minor from benefit_claims b
            left join (transfers t join chart c on c.code = t.credit and c.kind = 'transfers-in-transit')
              on t.member_id = b.member_id and t.event_id = b.payable_event
           where b.kind = 'transfer' and b.state = 'payable' group by 1, 2),
        parts as (
          select o.claim_id, p ->> 0 as pot, p ->> 1 as origin, (p ->> 2)::bigint as minor, (p ->> 3)::bigint as paid
            from transfers_out o cross join jsonb_array_elements(o.parts) p),
        payments as (
          select o.claim_id, p ->> 1 as pot, p ->> 2 as origin, sum((p ->> 3)::bigint) as paid
            from transfers_out o cross join jsonb_array_elements(o.payments) p group by 1, 2, 3)
        select format('transfer %s', claim_id), coalesce(m.minor, 0)::text, coalesce(o.amount, 0)::text
          from moved m full join transfers_out o using (claim_id)
         where coalesce(m.minor, 0) <> coalesce(o.amount, 0) or o.member_id is distinct from m.member_id and o.amount is not null
        union all
        select format('parts of transfer %s', o.claim_id), o.amount::text, coalesce(sum(p.minor), 0)::text
          from transfers_out o left join parts p using (claim_id) group by o.member_id, o.claim_id, o.amount having coalesce(sum(p.minor), 0) <> o.amount
        union all
        select format('contributions of transfer %s in %s:%s', claim_id, pot, origin), format('%s of %s', p.paid, p.minor), coalesce(y.paid, 0)::text
          from parts p full join payments y using (claim_id, pot, origin)
         where coalesce(p.paid, 0) <> coalesce(y.paid, 0) or p.paid > p.minor
        """,
    ),
    Law(
        "transfers-come-home-whole",
        "each transfer that came home is one event, which gave back what had left, and brought it out of suspense where it came by a payment",
        """
        with events_home as (
          select e.member_id, e.event_id, e.body ->> 'claim' as claim,
                 coalesce(sum(t.amount) filter (where d.kind = 'transfers-in-transit'), 0)::bigint as transit,
                 coalesce(sum(t.amount) filter (where d.kind = 'suspense'), 0)::bigint as suspense
            from events e left join transfers t on t.member_id = e.member_id and t.event_id = e.event_id left join chart d on d.code = t.debit
           where e.kind = 274 group by 1, 2, 3)
        select format('transfer %s', coalesce(o.claim_id::text, e.claim)), format('%s, by payment %s', o.amount, o.receipt),
               format('%s from transit, %s from suspense', e.transit, e.suspense)
          from (select * from transfers_out where state = 'home') o
          full join events_home e on e.member_id = o.member_id and e.event_id = o.ended_event
         where (e.transit, e.suspense) is distinct from (o.amount, case when o.receipt = 0 then 0 else o.amount end) or e.claim is distinct from o.claim_id::text
        """,
    ),
    Law(
        "transfers-in-are-what-came",
        "savings that came from another scheme are one event each, out of the payment they name, by pot and origin as advised, with their history",
        """
        with parts as (
          select i.member_id, i.posted_event as event_id, i.product, p ->> 0 as pot, p ->> 1 as origin, (p ->> 2)::bigint as minor
            from transfers_in i cross join jsonb_array_elements(i.brought -> 0) p where i.state = 'posted'),
        booked as (
          select e.member_id, e.event_id, c.product, c.pot, c.origin, sum(t.amount)::bigint as minor
            from events e join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
            join chart c on c.code = t.credit and c.kind = 'cash' join chart d on d.code = t.debit and d.kind = 'transfers-in-transit'
           where e.kind = 279 group by 1, 2, 3, 4, 5),
        history as (
          select i.member_id, i.posted_event as event_id, (p ->> 0)::date as paid_on, p ->> 1 as pot, p ->> 2 as origin, (p ->> 3)::bigint as minor
            from transfers_in i cross join jsonb_array_elements(i.brought -> 1) p where i.state = 'posted')
        select format('event %s, %s:%s', event_id, pot, origin), coalesce(p.minor, 0)::text, coalesce(b.minor, 0)::text
          from parts p full join booked b using (member_id, event_id, product, pot, origin) where p.minor is distinct from b.minor
        union all
        select format('advice %s', i.advice_id), i.amount::text, coalesce(sum(p.minor), 0)::text
          from transfers_in i left join parts p on p.member_id = i.member_id and p.event_id = i.posted_event
         where i.state = 'posted' group by i.member_id, i.advice_id, i.amount having coalesce(sum(p.minor), 0) <> i.amount
        union all
        select format('advice %s', i.advice_id), format('out of payment %s', i.receipt), coalesce(r.resolved_event::text, 'not given')
          from transfers_in i left join suspense_resolutions r on r.tenant_id = i.tenant_id and r.event_id = i.receipt
         where i.state = 'posted' and r.resolved_event is distinct from i.posted_event
        union all
        select format('history by event %s of %s', event_id, paid_on), coalesce(h.minor, 0)::text, coalesce(k.minor, 0)::text
          from history h full join (select k.* from transfer_history k where not exists (
                 select from opening_ranges o where o.tenant_id = k.tenant_id and o.event_id = k.event_id)) k using (member_id, event_id, paid_on, pot, origin) where h.minor is distinct from k.minor
        """,
    ),
)
