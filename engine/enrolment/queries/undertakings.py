"""SQL of what members undertook to pay."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.rules import Undertaken
from engine.ledger.rules import EventKind, Law
from engine.runtime.database import driver


async def undertakings(session: AsyncSession, asked: Sequence[tuple[int, str]]) -> list[tuple[Undertaken, ...]]:
    """Return what was undertaken in each (member_id, product), as given, in the order asked: by one statement, however many."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.n, u.slab, u.frequency, u.from_on, u.given_on
             from unnest(%b::bigint[], %b::text[]) with ordinality w(member_id, product, n)
            cross join lateral records_of(w.member_id) r join undertakings u on u.member_id = r.record_id and u.product = w.product
            order by w.n, u.event_id""",
        ([one for one, _ in asked], [product for _, product in asked]),
    )
    found: list[tuple[Undertaken, ...]] = [()] * len(asked)
    for n, *row in await cursor.fetchall():
        found[n - 1] = (*found[n - 1], Undertaken(*row))
    return found


async def hold_membership(session: AsyncSession, member_id: int, product: str) -> None:
    """Let nobody else decide on what a member undertakes in a product until the session ends."""
    connection = await driver(session)
    await connection.execute(
        "select from memberships where member_id = %s and product = %s for update", (member_id, product)
    )


async def add_undertakings(session: AsyncSession, given: Sequence[tuple[int, int, str, Undertaken]]) -> None:
    """Keep what members undertook: (member_id, event_id, product, what)."""
    connection = await driver(session)
    await connection.execute(
        """insert into undertakings (tenant_id, member_id, event_id, product, slab, frequency, from_on, given_on)
           select %s, * from unnest(%b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::date[], %b::date[])""",
        (
            session.info["tenant_id"],
            *([row[place] for row in given] for place in range(3)),
            [row[3].slab for row in given],
            [row[3].frequency for row in given],
            [row[3].from_on for row in given],
            [row[3].given_on for row in given],
        ),
    )


LAWS: tuple[Law, ...] = (
    Law(
        "undertakings-are-decided",
        "what a member undertook is kept as the event says that decided it, and every such event is kept",
        f"""
        select format('member %s, event %s', to_hex(coalesce(u.member_id, e.member_id)), coalesce(u.event_id, e.event_id)),
               coalesce(concat_ws(' ', e.body ->> 'product', e.body ->> 'slab', e.body ->> 'frequency', e.body ->> 'from'), 'no event'),
               coalesce(concat_ws(' ', u.product, nullif(u.slab, ''), u.frequency, u.from_on::text), 'not kept')
          from undertakings u
          full join (select * from events
                      where kind in ({int(EventKind.UNDERTAKING_GIVEN)}, {int(EventKind.UNDERTAKING_CHANGED)})) e
            on e.member_id = u.member_id and e.event_id = u.event_id
         where concat_ws(' ', e.body ->> 'product', e.body ->> 'slab', e.body ->> 'frequency', e.body ->> 'from')
            is distinct from concat_ws(' ', u.product, nullif(u.slab, ''), u.frequency, u.from_on::text)
        """,
    ),
)
