"""SQL of the incomes that members declare."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.rules import DeclaredIncome
from engine.ledger.rules import EventKind, Law
from engine.runtime.database import driver


async def declared_incomes(
    session: AsyncSession, asked: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], tuple[DeclaredIncome, ...]]:
    """Return what was declared in each (member_id, product), oldest first; who declared nothing is left out. One statement."""
    if not asked:
        return {}
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.member_id, w.product, d.income, d.from_on, d.declared_on
             from unnest(%b::bigint[], %b::text[]) w(member_id, product)
            cross join lateral records_of(w.member_id) r
             join declared_incomes d on d.member_id = r.record_id and d.product = w.product
            order by w.member_id, w.product, d.event_id""",
        ([one for one, _ in asked], [product for _, product in asked]),
    )
    found: dict[tuple[int, str], tuple[DeclaredIncome, ...]] = {}
    for member_id, product, *row in await cursor.fetchall():
        key = (member_id, product)
        found[key] = (*found.get(key, ()), DeclaredIncome(*row))
    return found


async def add_declared_income(
    session: AsyncSession, member_id: int, event_id: int, product: str, declared: DeclaredIncome, *, contribution: int
) -> None:
    """Keep what a member declared, and the contribution that it made due then; smallest units."""
    connection = await driver(session)
    await connection.execute(
        """insert into declared_incomes (tenant_id, member_id, event_id, product, income, contribution, from_on, declared_on)
           values (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            session.info["tenant_id"],
            member_id,
            event_id,
            product,
            declared.income,
            contribution,
            declared.from_on,
            declared.declared_on,
        ),
    )


LAWS: tuple[Law, ...] = (
    Law(
        "declared-incomes-are-decided",
        "what a member declared is kept as the event says that decided it, and every such event is kept",
        f"""
        select format('member %s, event %s', to_hex(coalesce(d.member_id, e.member_id)), coalesce(d.event_id, e.event_id)),
               coalesce(concat_ws(' ', e.body ->> 'product', e.body ->> 'from', e.body ->> 'contribution'), 'no event'),
               coalesce(concat_ws(' ', d.product, d.from_on::text, d.contribution::text), 'not kept')
          from declared_incomes d
          full join (select * from events where kind = {int(EventKind.INCOME_DECLARED)}) e
            on e.member_id = d.member_id and e.event_id = d.event_id
         where concat_ws(' ', e.body ->> 'product', e.body ->> 'from', e.body ->> 'contribution')
            is distinct from concat_ws(' ', d.product, d.from_on::text, d.contribution::text)
        """,
    ),
)
