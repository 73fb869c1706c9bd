"""SQL of what pools of declared interest earned: what one person tells and another approves, and what of it was shared out."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class PoolIncome:
    """What a pool earned in a scheme year, smallest units; below zero for a loss. `state`: proposed, approved, rejected."""

    number: int
    product: str
    year_from: date
    amount: int
    held_by: str
    reference: str
    state: str
    digest: str
    maker: str
    checker: str


_INCOMES = """
select i.income_no, i.product, i.year_from, i.amount, i.held_by, i.reference, i.state, i.digest, m.name as maker, coalesce(k.name, '') as checker
  from pool_incomes i join actors m on m.tenant_id = i.tenant_id and m.actor_id = i.maker
  left join actors k on k.tenant_id = i.tenant_id and k.actor_id = i.checker
"""


async def find_income(session: AsyncSession, number: int, *, hold: bool = False) -> PoolIncome | None:
    """Return an income; held, nobody else can decide on it until the session ends."""
    if hold:
        await session.execute(text("select from pool_incomes where income_no = :n for update"), {"n": number})
    row = (await session.execute(text(f"{_INCOMES} where i.income_no = :n"), {"n": number})).one_or_none()
    return None if row is None else PoolIncome(*row)


async def told_by(session: AsyncSession, product: str, reference: str) -> PoolIncome | None:
    """Return the income of a product that was told by a reference and not rejected."""
    row = (
        await session.execute(
            text(f"{_INCOMES} where i.product = :p and i.reference = :r and i.state <> 'rejected'"),
            {"p": product, "r": reference},
        )
    ).one_or_none()
    return None if row is None else PoolIncome(*row)


async def list_incomes(session: AsyncSession, *, most: int) -> list[PoolIncome]:
    """Return the newest incomes, the newest first."""
    rows = await session.execute(text(f"{_INCOMES} order by i.income_no desc limit :most"), {"most": most})
    return [PoolIncome(*row) for row in rows]


async def add_income(session: AsyncSession, one: PoolIncome, maker: int) -> int:
    """Add a proposal; return its number. The caller holds the product."""
    found = await session.scalar(
        text("""insert into pool_incomes (tenant_id, income_no, product, year_from, amount, held_by, reference, digest, maker)
                select :t, coalesce(max(income_no), 0) + 1, :p, :y, :a, :h, :r, :d, :m from pool_incomes returning income_no"""),
        {
            "t": session.info["tenant_id"], "p": one.product, "y": one.year_from, "a": one.amount, "h": one.held_by,
            "r": one.reference, "d": one.digest, "m": maker,
        },
    )  # fmt: skip
    return int(found or 0)


async def note_proposed(session: AsyncSession, number: int, event_id: int) -> None:
    """Note the event by which an income was told."""
    await session.execute(
        text("update pool_incomes set proposed_event = :e where income_no = :n"), {"e": event_id, "n": number}
    )


async def decide(session: AsyncSession, number: int, *, state: str, checker: int, event_id: int) -> None:
    """Note what a second person decided, and by which event."""
    await session.execute(
        text("update pool_incomes set state = :s, checker = :c, decided_event = :e where income_no = :n"),
        {"s": state, "c": checker, "e": event_id, "n": number},
    )


async def has_income(session: AsyncSession, product: str, year_from: date) -> bool:
    """Return whether an income of a scheme year is approved."""
    return bool(
        await session.scalar(
            text("""select exists (select from pool_incomes
                                    where product = :p and year_from = :y and state = 'approved')"""),
            {"p": product, "y": year_from},
        )
    )


async def to_distribute(session: AsyncSession, product: str, year_from: date) -> int:
    """Return what is approved of a year and of those before it, less what runs have shared out of it; smallest units."""
    found = await session.scalar(
        text("""select (coalesce((select sum(amount) from pool_incomes where product = :p and year_from <= :y and state = 'approved'), 0)
                      - coalesce((select sum(distributed) from interest_runs where product = :p), 0))::bigint"""),
        {"p": product, "y": year_from},
    )
    return int(found or 0)


async def topped_up(session: AsyncSession, product: str, year_from: date) -> int:
    """Return what a sponsor gave for a scheme year so far, net; smallest units."""
    found = await session.scalar(
        text("select coalesce(sum(topped_up), 0)::bigint from interest_runs where product = :p and year_from = :y"),
        {"p": product, "y": year_from},
    )
    return int(found or 0)
