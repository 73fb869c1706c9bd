"""SQL of recounts."""

from dataclasses import dataclass

import msgspec
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class RecountItem(Struct, frozen=True, kw_only=True):
    """What is counted again: a scheme year of interest or state money by its first day, or a fee run by the day it charged."""

    what: str
    product: str
    day: str
    run: int = 0


@dataclass(frozen=True, slots=True)
class Recount:
    """What was posted to all members and would come out otherwise now; `digest` is of exactly the items."""

    recount_no: int
    state: str
    pack: int
    accepted: int
    digest: str
    maker: str
    checker: str
    items: tuple[RecountItem, ...]


_RECOUNT = """
select r.recount_no, r.state, r.pack, r.accepted, r.digest, m.name as maker, coalesce(c.name, '') as checker, r.items
  from recounts r join actors m on m.tenant_id = r.tenant_id and m.actor_id = r.maker
  left join actors c on c.tenant_id = r.tenant_id and c.actor_id = r.checker
"""


async def hold(session: AsyncSession) -> None:
    """Let nobody else find, decide on or carry on recounts until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('recounts:' || :t, 0))"),
        {"t": str(session.info["tenant_id"])},
    )


async def recounts(session: AsyncSession, *, most: int = 100) -> list[Recount]:
    """Return the newest recounts that are or were of anything, newest first."""
    rows = await session.execute(
        text(f"{_RECOUNT} where r.state <> 'empty' order by r.recount_no desc limit :most"), {"most": most}
    )
    return [
        Recount(
            recount_no=row.recount_no,
            state=row.state,
            pack=row.pack,
            accepted=row.accepted,
            digest=row.digest,
            maker=row.maker,
            checker=row.checker,
            items=msgspec.convert(row[7], tuple[RecountItem, ...]),
        )
        for row in rows
    ]


async def prices_corrected(session: AsyncSession) -> int:
    """Return how many wrong prices were put right to the end."""
    return int(await session.scalar(text("select count(*) from price_corrections where state = 'done'")) or 0)


async def is_known(session: AsyncSession, pack: int, accepted: int) -> bool:
    """Return whether it was looked for by these rules, figures and corrected prices, or an approved recount has not ended."""
    return bool(
        await session.scalar(
            text("select exists (select from recounts where (pack = :p and accepted = :a) or state = 'approved')"),
            {"p": pack, "a": accepted},
        )
    )


async def add(
    session: AsyncSession, items: tuple[RecountItem, ...], *, pack: int, accepted: int, digest: str, maker: int
) -> int:
    """Add a recount; those that wait are superseded by it. Return its number."""
    await session.execute(text("update recounts set state = 'superseded' where state = 'proposed'"))
    number = await session.scalar(
        text("""insert into recounts (tenant_id, recount_no, pack, accepted, maker, state, digest, items)
                select :t, coalesce(max(recount_no), 0) + 1, :p, :a, :m, case when :empty then 'empty' else 'proposed' end, :d, cast(:items as jsonb)
                  from recounts returning recount_no"""),
        {
            "t": session.info["tenant_id"], "p": pack, "a": accepted, "m": maker, "empty": not items, "d": digest,
            "items": msgspec.json.encode(items).decode(),
        },
    )  # fmt: skip
    assert number is not None
    return int(number)


async def note_proposed(session: AsyncSession, recount_no: int, event_id: int) -> None:
    """Note the event that tells of a recount."""
    await session.execute(
        text("update recounts set proposed_event = :e where recount_no = :n"), {"n": recount_no, "e": event_id}
    )


async def decide(session: AsyncSession, recount_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person approved or rejected a recount."""
    await session.execute(
        text(
            "update recounts set state = :s, checker = :c, decided_event = :e where recount_no = :n and state = 'proposed'"
        ),
        {"n": recount_no, "s": state, "c": checker, "e": event_id},
    )


async def finish(session: AsyncSession, recount_no: int, event_id: int) -> None:
    """Note that all of a recount is done."""
    await session.execute(
        text("update recounts set state = 'done', done_event = :e where recount_no = :n and state = 'approved'"),
        {"n": recount_no, "e": event_id},
    )
