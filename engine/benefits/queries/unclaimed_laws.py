"""The laws of unclaimed money, each derived from the transfers by SQL of its own."""

from engine.ledger.rules import Law

UNCLAIMED_LAWS: tuple[Law, ...] = (
    Law(
        "unclaimed-money-is-handed-over-as-approved",
        "what each handing over moved of a member is what was approved of them, and each such move is a line's",
        """
        with moved as (
          select t.member_id, e.event_id, t.debit as code, sum(t.amount)::bigint as minor from events e
            join transfers t on t.event_id = e.event_id where e.kind = 263 group by 1, 2, 3),
        lines as (select member_id, event_id, code, minor from unclaimed_lines where state = 'handed-over')
        select format('account %s in event %s', code, event_id), coalesce(l.minor, 0)::text, coalesce(m.minor, 0)::text
          from lines l full join moved m using (member_id, event_id, code) where l.minor is distinct from m.minor
        union all
        select format('handing over %s', r.run_no), r.total::text, coalesce(sum(l.minor), 0)::text
          from unclaimed_runs r left join unclaimed_lines l on l.tenant_id = r.tenant_id and l.run_no = r.run_no
         group by r.tenant_id, r.run_no, r.total having r.total <> coalesce(sum(l.minor), 0)
        """,
    ),
    Law(
        "reclaimed-money-is-what-was-handed-over",
        "what is given back to an owner is what was handed over of theirs, and each once",
        """
        with back as (
          select k.member_id, k.reclaimed_event as event_id, sum(l.minor)::bigint as minor from unclaimed_cases k
            join unclaimed_lines l on l.member_id = k.member_id and l.run_no = k.run_no and l.state = 'handed-over'
           where k.state = 'reclaimed' group by 1, 2),
        moved as (
          select e.member_id, e.event_id, sum(t.amount)::bigint as minor from events e
            join transfers t on t.member_id = e.member_id and t.event_id = e.event_id where e.kind = 264 group by 1, 2)
        select format('event %s', event_id), coalesce(b.minor, 0)::text, coalesce(m.minor, 0)::text
          from back b full join moved m using (member_id, event_id) where b.minor is distinct from m.minor
        """,
    ),
)
