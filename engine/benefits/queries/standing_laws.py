"""The laws of moves between products and of ladders, each by SQL of its own."""

from engine.ledger.rules import Law

STANDING_LAWS: tuple[Law, ...] = (
    Law(
        "standings-are-their-events",
        "a member stands in a product as the newest event of their steps and returns there says",
        """
        with said as (
          select distinct on (member_id, body ->> 'product') member_id, body ->> 'product' as product, event_id, body ->> 'status' as status,
                 body ->> 'since' as since from events where kind in (219, 220) order by 1, 2, event_id desc)
        select format('member %s in %s', to_hex(member_id), product), coalesce(format('%s since %s', e.status, e.since), 'no step'),
               coalesce(format('%s since %s', s.status, s.since), 'no standing')
          from said e full join member_standings s using (member_id, product)
         where s.event_id is distinct from e.event_id or s.status is distinct from e.status or s.since::text is distinct from e.since
        """,
    ),
    Law(
        "moves-have-two-people",
        "who moved by a run moved by one that a second person approved, and a run that is done has moved whom it says",
        """
        with moved as (
          select (e.body ->> 'run')::int as run_no, e.body ->> 'from' as source, e.body ->> 'to' as target, count(*) as members
            from events e where e.kind = 6 and e.body ? 'run' group by 1, 2, 3)
        select format('move %s', coalesce(m.run_no, r.run_no)), coalesce(format('%s of %s, %s to %s', r.state, r.moved, r.source, r.target), 'a move'),
               coalesce(format('%s moved, %s to %s', m.members, m.source, m.target), 'nobody')
          from moved m full join move_runs r on r.run_no = m.run_no and r.source = m.source and r.target = m.target
         where r.run_no is null or r.moved <> coalesce(m.members, 0) or (m.members > 0 and r.state not in ('approved', 'done'))
        """,
    ),
)
