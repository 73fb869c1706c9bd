"""SQL of records of two persons that are split."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import Law


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Payments of a record that are those of another person's; `total` in smallest units.

    Of `receipts`, `moved` are with the other person, and `refused` lie in suspense because their terms did not take them.
    """

    split_no: int
    member_id: int
    to_id: int
    receipts: tuple[int, ...]
    total: int
    asked_on: date
    state: str
    digest: str
    maker: str
    checker: str
    moved: int = 0
    refused: int = 0


_SPLIT = """
select r.split_no, r.member_id, r.to_id, r.receipts, r.total, r.asked_on, r.state, r.digest, m.name as maker, coalesce(k.name, '') as checker,
       (select count(*)::int from reversals v where r.state = 'approved' and v.tenant_id = r.tenant_id and v.event_id = any(r.receipts)
           and v.state = 'reversed' and v.refused = '') as moved,
       (select count(*)::int from reversals v where r.state = 'approved' and v.tenant_id = r.tenant_id and v.event_id = any(r.receipts)
           and v.state = 'reversed' and v.refused <> '') as refused
  from record_splits r join actors m on m.tenant_id = r.tenant_id and m.actor_id = r.maker
  left join actors k on k.tenant_id = r.tenant_id and k.actor_id = r.checker
"""


def _split(row: RowMapping) -> Split:
    return Split(**{**row, "receipts": tuple(row["receipts"])})


async def hold_splits(session: AsyncSession) -> None:
    """Wait until no other transaction proposes a split; keep others waiting until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7217, :t)"), {"t": session.info["tenant_id"]})


async def next_number(session: AsyncSession) -> int:
    """Return the number of a split that is proposed now."""
    return int(await session.scalar(text("select coalesce(max(split_no), 0) + 1 from record_splits")))


async def add_split(session: AsyncSession, split: Split, *, maker: int, event_id: int) -> None:
    """Add a proposed split."""
    await session.execute(
        text("""insert into record_splits (tenant_id, split_no, member_id, to_id, receipts, total, proposed_event, maker, asked_on, digest)
                values (:t, :n, :m, :to, :receipts, :total, :e, :maker, :on, :digest)"""),
        {
            "t": session.info["tenant_id"], "n": split.split_no, "m": split.member_id, "to": split.to_id, "receipts": list(split.receipts),
            "total": split.total, "e": event_id, "maker": maker, "on": split.asked_on, "digest": split.digest,
        },
    )  # fmt: skip


async def find_split(session: AsyncSession, split_no: int, *, hold: bool = False) -> Split | None:
    """Return a split; with `hold`, nobody else can decide on it until the session ends."""
    found = await session.execute(
        text(f"{_SPLIT} where r.split_no = :n {'for update of r' if hold else ''}"), {"n": split_no}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _split(row)


async def open_split(session: AsyncSession, receipts: Sequence[int]) -> Split | None:
    """Return the split that waits for a second person and names one of the receipts; None if none does."""
    found = await session.execute(
        text(f"{_SPLIT} where r.state = 'proposed' and r.receipts && cast(:r as bigint[]) order by r.split_no limit 1"),
        {"r": list(receipts)},
    )
    row = found.mappings().one_or_none()
    return None if row is None else _split(row)


async def list_splits(session: AsyncSession, *, most: int) -> list[Split]:
    """Return the newest splits, newest first."""
    rows = await session.execute(text(f"{_SPLIT} order by r.split_no desc limit :most"), {"most": most})
    return [_split(row) for row in rows.mappings()]


async def decide_split(session: AsyncSession, split_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person approved or rejected a split."""
    await session.execute(
        text("update record_splits set state = :s, checker = :c, decided_event = :e where split_no = :n"),
        {"n": split_no, "s": state, "c": checker, "e": event_id},
    )


LAWS: tuple[Law, ...] = (
    Law(
        "splits-move-what-they-name",
        "every payment that an approved split names is on its way to the other person, or there",
        """
        select format('split %s, receipt %s', r.split_no, w.receipt), to_hex(r.to_id), coalesce(to_hex(v.given_to), 'nobody')
          from record_splits r cross join unnest(r.receipts) w(receipt)
          left join reversals v on v.tenant_id = r.tenant_id and v.event_id = w.receipt and v.state <> 'rejected'
         where r.state = 'approved' and v.given_to is distinct from r.to_id
        """,
    ),
)
