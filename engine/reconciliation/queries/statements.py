"""SQL of statements: keeping them, their versions and their lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class KeptStatement:
    """A statement to be kept: its channel, its file and its place there, and what the bank says of it."""

    account: str
    name: str
    sha256: str
    place: int
    number: int | None
    reference: str
    opening: int | None
    closing: int | None
    first_on: date | None
    last_on: date | None


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line to be added: `amount` is negative where money went out; the digests are claims of its receipt."""

    line_no: int
    row: int
    amount: int
    digest: UUID
    other_digest: UUID | None
    value_date: date
    code: str

    @property
    def facts(self) -> tuple[int, UUID, date]:
        """Return what makes two lines of two versions of a statement the same."""
        return (self.amount, self.digest, self.value_date)


async def hold_account(session: AsyncSession, account: str) -> None:
    """Wait until no other transaction takes in statements of the account."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 7202))"),
        {"key": f"{session.info['tenant_id']}:{account}"},
    )


async def find_statement(session: AsyncSession, sha256: str) -> tuple[tuple[int, ...], datetime] | None:
    """Return the numbers of the statements of those bytes, and when they first came."""
    rows = (
        await session.execute(
            text("select statement_id, imported_at from statements where sha256 = :sha order by place"),
            {"sha": sha256},
        )
    ).all()
    return (tuple(row.statement_id for row in rows), rows[0].imported_at) if rows else None


async def versions_of(session: AsyncSession, kept: KeptStatement) -> list[int]:
    """Return the earlier versions of a statement, the first one first: of the same account, number and last day.

    Where the bank numbers no statements, its reference counts instead; without either nothing is a version of another.
    """
    rows = await session.scalars(
        text("""select statement_id from statements
                 where account = :account and sha256 <> :sha and last_on = :last
                   and case when cast(:number as int) is not null then number = :number
                            else number is null and reference <> '' and reference = :reference end
                 order by statement_id"""),
        {
            "account": kept.account,
            "sha": kept.sha256,
            "last": kept.last_on,
            "number": kept.number,
            "reference": kept.reference,
        },
    )
    return list(rows)


async def add_statement(
    session: AsyncSession,
    kept: KeptStatement,
    *,
    document: bytes,
    imported_at: datetime,
    actor: int,
    lines: int,
    total: int,
    corrects: int | None,
) -> int:
    """Keep a statement; return its number."""
    number = await session.scalar(
        text("""insert into statements (tenant_id, account, name, sha256, place, document, imported_at, actor, lines, total, first_on,
                                        last_on, number, reference, opening, closing, corrects)
                values (:t, :account, :name, :sha, :place, :document, :at, :actor, :lines, :total, :first, :last, :number,
                        :reference, :opening, :closing, :corrects)
                returning statement_id"""),
        {
            "t": session.info["tenant_id"],
            "account": kept.account,
            "name": kept.name,
            "sha": kept.sha256,
            "place": kept.place,
            "document": document,
            "at": imported_at,
            "actor": actor,
            "lines": lines,
            "total": total,
            "first": kept.first_on,
            "last": kept.last_on,
            "number": kept.number,
            "reference": kept.reference,
            "opening": kept.opening,
            "closing": kept.closing,
            "corrects": corrects,
        },
    )
    return int(number)


async def add_lines(session: AsyncSession, statement_id: int, lines: Sequence[NewLine]) -> None:
    """Add lines of a statement; each waits for its receipt."""
    connection = await driver(session)
    await connection.execute(
        """with added as (
             insert into statement_lines (tenant_id, statement_id, line_no, row, amount, reference_digest, other_digest, value_date, code)
             select %s, %s, * from unnest(%s::int[], %s::int[], %s::bigint[], %s::uuid[], %s::uuid[], %s::date[], %s::text[])
             returning tenant_id, statement_id, line_no)
           insert into unmatched_lines (tenant_id, statement_id, line_no) select * from added""",
        (
            session.info["tenant_id"],
            statement_id,
            [line.line_no for line in lines],
            [line.row for line in lines],
            [line.amount for line in lines],
            [line.digest for line in lines],
            [line.other_digest for line in lines],
            [line.value_date for line in lines],
            [line.code for line in lines],
        ),
    )


async def matched_lines(session: AsyncSession, statement_ids: Sequence[int]) -> list[tuple[int, UUID, date]]:
    """Return (amount, digest, value date) of the statements' lines that are booked: receipts, paid orders, proceeds."""
    rows = await session.execute(
        text("""select l.amount, l.reference_digest, l.value_date
                  from (select tenant_id, statement_id, line_no from matches
                         union all
                        select tenant_id, statement_id, line_no from settled_lines where how <> 'withdrawn') m
                  join statement_lines l using (tenant_id, statement_id, line_no) where m.statement_id = any(:ids)"""),
        {"ids": list(statement_ids)},
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def withdraw_lines(
    session: AsyncSession, statement_ids: Sequence[int], by: int, facts: Sequence[tuple[int, UUID, date]]
) -> int:
    """Settle the statements' open lines as withdrawn by a later version, which has the lines `facts`; return how many.

    Lines that are receipts already and that the later version has no longer are marked as well: they stay receipts, and
    become breaks for people to look at. Needs the jobs role.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with gone as (
             delete from unmatched_lines where statement_id = any(%(ids)s) returning tenant_id, statement_id, line_no),
           still as (
             select amount, digest, day, count(*) as times
               from unnest(%(amounts)s::bigint[], %(digests)s::uuid[], %(days)s::date[]) f(amount, digest, day) group by 1, 2, 3),
           had as (
             select l.tenant_id, l.statement_id, l.line_no, l.amount, l.reference_digest, l.value_date,
                    row_number() over (partition by l.amount, l.reference_digest, l.value_date order by l.statement_id, l.line_no) as nth
               from matches m join statement_lines l using (tenant_id, statement_id, line_no)
              where m.statement_id = any(%(ids)s)
                and not exists (select from settled_lines s where (s.tenant_id, s.statement_id, s.line_no) = (l.tenant_id, l.statement_id, l.line_no))),
           lost as (
             select h.tenant_id, h.statement_id, h.line_no from had h
               left join still s on s.amount = h.amount and s.digest = h.reference_digest and s.day = h.value_date
              where h.nth > coalesce(s.times, 0)),
           settled as (
             insert into settled_lines (tenant_id, statement_id, line_no, how, by_statement)
             select tenant_id, statement_id, line_no, 'withdrawn', %(by)s from (select * from gone union all select * from lost) w
             returning 1)
           select count(*) from settled""",
        {
            "ids": list(statement_ids),
            "by": by,
            "amounts": [one[0] for one in facts],
            "digests": [one[1] for one in facts],
            "days": [one[2] for one in facts],
        },
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def follows_nothing(session: AsyncSession, statement_ids: Sequence[int]) -> bool:
    """Return whether earlier statements of the account were taken in, and none of them ends where one of these begins."""
    return bool(
        await session.scalar(
            text("""select exists (
                      select from statements s
                       where s.statement_id = any(:ids) and s.opening is not null
                         and exists (select from statements e where e.account = s.account and e.closing is not null
                                       and e.statement_id <> s.statement_id and e.last_on <= s.first_on
                                       and e.statement_id is distinct from s.corrects)
                         and not exists (select from statements e where e.account = s.account and e.closing = s.opening
                                           and e.statement_id <> s.statement_id and e.last_on <= s.first_on))"""),
            {"ids": list(statement_ids)},
        )
    )
