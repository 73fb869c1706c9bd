"""The laws of premiums, each derived from the transfers and premiums by SQL of its own."""

from engine.ledger.rules import Law

PREMIUM_LAWS: tuple[Law, ...] = (
    Law(
        "premiums-are-booked-whole",
        "what an event moved to an insurer, or back from one, is what the premiums that it paid or returned come to",
        """
        with booked as (
          select x.event_id, sum(x.amount)::bigint as minor from transfers x
           where x.event_id in (select paid_event from premiums union select returned_event from premiums) and x.event_id <> 0 group by 1),
        noted as (
          select event_id, sum(minor)::bigint as minor
            from (select paid_event as event_id, minor from premiums union all select returned_event, minor from premiums) n
           where event_id <> 0 group by 1)
        select format('event %s', event_id), coalesce(n.minor, 0)::text, coalesce(b.minor, 0)::text
          from booked b full join noted n using (event_id) where coalesce(b.minor, 0) <> coalesce(n.minor, 0)
        """,
    ),
    Law(
        "premiums-come-out-of-their-accounts",
        "what a run took out of each account of a member is what their premiums say was paid out of it",
        """
        with moved as (
          select x.member_id, g.run_no, x.debit as code, sum(x.amount)::bigint as minor
            from premium_ranges g join transfers x on x.event_id = g.event_id and x.member_id > 0
           where g.event_id <> 0 group by 1, 2, 3),
        noted as (select member_id, paid_run as run_no, code, sum(minor)::bigint as minor from premium_parts group by 1, 2, 3)
        select format('member %s, account %s, premium run %s', member_id, code, run_no), coalesce(n.minor, 0)::text, coalesce(m.minor, 0)::text
          from moved m full join noted n using (member_id, run_no, code) where coalesce(m.minor, 0) <> coalesce(n.minor, 0)
        """,
    ),
    Law(
        "premiums-are-what-was-approved",
        "every premium was a line of the run that asked for it and of the one that paid it, at the same amount",
        """
        select format('member %s, %s from %s', p.member_id, p.cover, p.period_from), p.minor::text, coalesce(l.due::text, 'no line')
          from premiums p cross join lateral (values (p.run_no), (p.paid_run)) r(run_no)
          left join premium_lines l on l.member_id = p.member_id and l.run_no = r.run_no and l.cover = p.cover and l.period_from = p.period_from
         where r.run_no <> 0 and l.due is distinct from p.minor
        """,
    ),
    Law(
        "who-is-insured-has-paid",
        "a stretch of cover began with a premium that was paid, and only who is insured owes one",
        """
        select format('member %s, %s from %s', i.member_id, i.cover, i.since), 'a premium of its run', 'none'
          from insured i where not exists (
            select from premiums p where p.member_id = i.member_id and p.product = i.product and p.cover = i.cover and p.paid_run = i.begun_run)
        union all
        select format('member %s, %s from %s', p.member_id, p.cover, p.period_from), 'insured', 'not insured'
          from premiums p where p.state = 'due' and not exists (
            select from insured i where i.member_id = p.member_id and i.product = p.product and i.cover = p.cover and i.until is null)
        """,
    ),
    Law(
        "premium-files-have-their-totals",
        "a file to an insurer says how many premiums are in it and what they come to",
        """
        select format('premium file %s', f.file_no), format('%s: %s', f.premiums, f.total), format('%s: %s', count(p.member_id), coalesce(sum(p.minor), 0))
          from premium_files f left join premiums p on p.tenant_id = f.tenant_id and p.file_no = f.file_no
         group by f.tenant_id, f.file_no, f.premiums, f.total
        having f.premiums <> count(p.member_id) or f.total <> coalesce(sum(p.minor), 0)
        """,
    ),
)
