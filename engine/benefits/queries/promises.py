"""SQL of promises that became a member's money or lapsed, and the law of it."""

from collections.abc import Mapping, Sequence
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import Law

_OF = """
  from unnest(cast(:members as bigint[]), cast(:products as text[])) w(member_id, product)
 cross join lateral records_of(w.member_id) r
  join promises_settled p on p.member_id = r.record_id and p.product = w.product
"""


async def settled(session: AsyncSession, asked: Sequence[tuple[int, str]]) -> Mapping[tuple[int, str], frozenset[str]]:
    """Return the rules whose promises were kept or lapsed, by (member_id, product), in one statement.

    What lapsed by a claim that was closed since, a death that was taken back or a transfer that was refused, is promised again.
    """
    rows = await session.execute(
        text(f"""select w.member_id, w.product, array_agg(p.rule) as rules {_OF}
                   join benefit_claims b on b.member_id = p.member_id and b.claim_id = p.claim_id
                  where p.outcome = 'kept' or b.closed_event = 0 group by 1, 2"""),
        {"members": [member for member, _ in asked], "products": [product for _, product in asked]},
    )
    return {(row.member_id, row.product): frozenset(row.rules) for row in rows}


async def times_settled(session: AsyncSession, member_id: int, product: str) -> Mapping[str, int]:
    """Return how often each promise was kept or lapsed, closed claims too."""
    rows = await session.execute(
        text(f"select p.rule, count(*) as times {_OF} group by 1"), {"members": [member_id], "products": [product]}
    )
    return {row.rule: row.times for row in rows}


async def add_settled(
    session: AsyncSession,
    *,
    member_id: int,
    claim_id: int,
    event_id: int,
    minor: int,
    product: str,
    rule: str,
    outcome: Literal["kept", "lapsed"],
) -> None:
    """Note that a promise was kept or lapsed."""
    await session.execute(
        text("""insert into promises_settled (member_id, claim_id, event_id, minor, tenant_id, product, rule, outcome)
                values (:member_id, :claim_id, :event_id, :minor, :t, :product, :rule, :outcome)"""),
        {
            "t": session.info["tenant_id"],
            "member_id": member_id,
            "claim_id": claim_id,
            "event_id": event_id,
            "minor": minor,
            "product": product,
            "rule": rule,
            "outcome": outcome,
        },
    )


LAWS: tuple[Law, ...] = (
    Law(
        "promises-are-kept-once",
        "a promise is kept once, by one event of its amount, which whoever made it owes; a lapsed one moves nothing",
        """
        with moved as (
          select t.member_id, t.event_id, e.kind, d.product, sum(t.amount)::bigint as minor
            from transfers t join events e on e.member_id = t.member_id and e.event_id = t.event_id
            join chart d on d.code = t.debit and d.kind = 'promises-receivable' group by 1, 2, 3, 4)
        select format('promise %s of claim %s', p.rule, p.claim_id),
               format('%s by event %s', case p.outcome when 'kept' then p.minor else 0 end, p.event_id), coalesce(m.minor, 0)::text
          from promises_settled p left join moved m on m.member_id = p.member_id and m.event_id = p.event_id and m.kind = 325 and m.product = p.product
         where coalesce(m.minor, 0) <> case p.outcome when 'kept' then p.minor else 0 end
        union all
        select format('event %s', m.event_id), 'a promise that was kept', 'none' from moved m
         where not exists (select from promises_settled p where p.member_id = m.member_id and p.event_id = m.event_id and p.outcome = 'kept')
        union all
        select format('promise %s of %s', p.rule, p.product), 'kept once', format('%s times', count(*)) from promises_settled p
         where p.outcome = 'kept' group by p.member_id, p.product, p.rule having count(*) > 1
        """,
    ),
)
"""The law of promises, derived from the transfers by SQL of its own."""
