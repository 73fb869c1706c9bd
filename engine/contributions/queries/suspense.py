"""SQL of suspense: what speaks for members as owners, proposals of one person for another to decide on, figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import EventKind, Law
from engine.runtime.arrays import BigInts, UUIDs
from engine.runtime.database import driver

_RECEIPTS = [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a payment can be recognised by: a keyed digest, its event, and whose it was as it came (the house's: nobody's)."""

    digest: UUID
    event_id: int
    member_id: int


async def add_marks(session: AsyncSession, marks: Sequence[Mark]) -> None:
    """Keep what payments can be recognised by."""
    await _add(session, "payment_marks", marks)


async def add_batched(session: AsyncSession, marks: Sequence[Mark]) -> None:
    """Keep by which references banks pay payments together."""
    await _add(session, "batch_receipts", marks)


async def _add(session: AsyncSession, table: str, marks: Sequence[Mark]) -> None:
    connection = await driver(session)
    await connection.execute(
        f"""insert into {table} (digest, event_id, member_id, tenant_id)
           select digest, event_id, member_id, %s::int from unnest(%b, %b::bigint[], %b::bigint[]) w(digest, event_id, member_id)""",
        (
            session.info["tenant_id"],
            UUIDs([one.digest for one in marks]),
            BigInts([one.event_id for one in marks]),
            BigInts([one.member_id for one in marks]),
        ),
    )


async def owners_by_marks(session: AsyncSession, digests: Sequence[UUID]) -> list[tuple[UUID, int]]:
    """Return (digest, member_id) of whose earlier payments with a mark are: as they came, or given to them since.

    What was taken back counts for nobody. Of each mark the last 50 payments.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct w.digest, coalesce(r.member_id, p.member_id) from unnest(%b) w(digest)
            cross join lateral (select event_id, member_id, tenant_id from payment_marks
                                 where tenant_id = %s and digest = w.digest order by event_id desc limit 50) p
             left join suspense_resolutions r on r.tenant_id = p.tenant_id and r.event_id = p.event_id and p.member_id = -p.tenant_id
            where (p.member_id > 0 or r.event_id is not null)
              and not exists (select from corrections x where x.corrects_member = coalesce(r.member_id, p.member_id)
                                 and x.corrects_event = coalesce(r.resolved_event, p.event_id))
            order by 1, 2""",
        (UUIDs(digests), session.info["tenant_id"]),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def paid_before(session: AsyncSession, asked: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return those (member_id, amount in smallest units) of whom a payment of exactly that amount came before."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.member_id, w.amount from unnest(%b::bigint[], %b::bigint[]) w(member_id, amount)
            where exists (select from events e where e.member_id = w.member_id and e.kind = any(%s::smallint[])
                             and e.body ->> 'amount' = w.amount::text)""",
        (BigInts([member for member, _ in asked]), BigInts([amount for _, amount in asked]), _RECEIPTS),
    )
    return {(row[0], row[1]) for row in await cursor.fetchall()}


# -- whose it is, as one person proposes and another decides


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """Whose a suspended payment is, as somebody proposes; amounts in smallest units, people by name ("staff:1").

    `parts` is how it is credited: (account kind, pot or party, amount), what it earned not among them.
    """

    proposal_id: int
    event_id: int
    member_id: int
    product: str
    amount: int
    earned: int
    matched_on: date
    parts: tuple[tuple[str, str, int], ...]
    state: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    resolved_event: int


_PROPOSALS = """
select p.proposal_id, p.event_id, p.member_id, p.product, p.amount, p.earned, p.matched_on, p.parts, p.state, m.name, p.proposed_at, c.name,
       p.resolved_event
  from suspense_proposals p
  join actors m on m.tenant_id = p.tenant_id and m.actor_id = p.proposed_by
  left join actors c on c.tenant_id = p.tenant_id and c.actor_id = p.decided_by
"""


def _proposal(row: Sequence[Any]) -> ProposalRow:
    parts = tuple((kind, name, int(amount)) for kind, name, amount in row[7])
    return ProposalRow(*row[:7], parts, *row[8:])  # type: ignore[call-arg]


async def add_proposal(session: AsyncSession, row: ProposalRow, *, by: int) -> int | None:
    """Keep a proposal; return its number, None where another one waits for a decision."""
    number: int | None = await session.scalar(
        text("""insert into suspense_proposals (tenant_id, event_id, member_id, product, amount, earned, matched_on, parts, proposed_by, proposed_at)
                values (:t, :e, :m, :product, :amount, :earned, :matched_on, cast(:parts as jsonb), :by, :at)
                on conflict (tenant_id, event_id) where state = 'proposed' do nothing returning proposal_id"""),
        {
            "t": session.info["tenant_id"],
            "e": row.event_id,
            "m": row.member_id,
            "product": row.product,
            "amount": row.amount,
            "earned": row.earned,
            "matched_on": row.matched_on,
            "parts": msgspec.json.encode([(kind, name, str(amount)) for kind, name, amount in row.parts]).decode(),
            "by": by,
            "at": row.proposed_at,
        },
    )
    return number


async def find_proposal(session: AsyncSession, proposal: int) -> ProposalRow | None:
    """Return a proposal; None where nobody made it."""
    key = {"t": session.info["tenant_id"], "p": proposal}
    row = (await session.execute(text(f"{_PROPOSALS} where p.tenant_id = :t and p.proposal_id = :p"), key)).first()
    return None if row is None else _proposal(row)


async def hold_proposal(session: AsyncSession, proposal: int) -> ProposalRow | None:
    """Return a proposal as it stands once nobody else decides on it; None where nobody made it."""
    await session.execute(
        text("select from suspense_proposals where tenant_id = :t and proposal_id = :p for update"),
        {"t": session.info["tenant_id"], "p": proposal},
    )
    return await find_proposal(session, proposal)


async def list_proposals(
    session: AsyncSession, *, receipt: int = 0, state: str = "", after: int = 0, most: int = 100
) -> list[ProposalRow]:
    """Return proposals after one of a number, the first first; those of one receipt or state if they are given."""
    rows = await session.execute(
        text(
            f"{_PROPOSALS} where p.tenant_id = :t and p.proposal_id > :after and (:receipt = 0 or p.event_id = :receipt)"
            " and (:state = '' or p.state = :state) order by p.proposal_id limit :most"
        ),
        {"t": session.info["tenant_id"], "after": after, "receipt": receipt, "state": state, "most": most},
    )
    return [_proposal(row) for row in rows]


async def decide_proposal(
    session: AsyncSession, proposal: int, *, state: str, by: int, at: datetime, resolved_event: int = 0
) -> None:
    """Keep what a second person decided."""
    await session.execute(
        text("""update suspense_proposals set state = :state, decided_by = :by, decided_at = :at, resolved_event = :e
                 where tenant_id = :t and proposal_id = :p"""),
        {
            "t": session.info["tenant_id"],
            "p": proposal,
            "state": state,
            "by": by,
            "at": at,
            "e": resolved_event,
        },
    )


# -- figures


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies in suspense of one reason and day of receipt: how many payments, and how much in smallest units."""

    reason: str
    received_on: date
    count: int
    amount: int


async def what_lies(session: AsyncSession) -> list[Lying]:
    """Return what nobody got, has back or was taken back, by reason and day of receipt."""
    rows = await session.execute(
        text("""select s.reason, s.received_on, count(*), sum(s.amount)::bigint from suspense s
                 where s.tenant_id = :t
                   and not exists (select from suspense_resolutions r where r.tenant_id = s.tenant_id and r.event_id = s.event_id)
                   and not exists (select from corrections x where x.corrects_member = -s.tenant_id and x.corrects_event = s.event_id)
                   and not exists (select from suspense_refunds f where f.tenant_id = s.tenant_id and f.event_id = s.event_id and f.home_event = 0)
                 group by 1, 2 order by 1, 2"""),
        {"t": session.info["tenant_id"]},
    )
    return [Lying(*row) for row in rows]


async def earned_by(session: AsyncSession, receipt: int) -> int:
    """Return the event that credited what a payment earned in suspense, by the payment's own event; 0 where there is none."""
    found = await session.scalar(
        text("select earned_event from suspense_resolutions where tenant_id = :t and event_id = :e"),
        {"t": session.info["tenant_id"], "e": receipt},
    )
    return int(found or 0)


LAWS: tuple[Law, ...] = (
    Law(
        "suspense-is-given-by-two",
        "every payment given out of suspense to its owner was proposed by one person, confirmed by another, and moved what was proposed",
        """
        select format('event %s', e.event_id), 'a confirmed proposal of ' || (e.body ->> 'amount'), coalesce('proposal of ' || p.amount, 'none')
          from events e
          left join suspense_proposals p on p.tenant_id = e.tenant_id and p.resolved_event = e.event_id and p.member_id = e.member_id
                                        and p.state = 'confirmed' and p.event_id = (e.body ->> 'resolves')::bigint
         where e.kind = 12 and e.body ? 'proposal'
           and (p.proposal_id is distinct from (e.body ->> 'proposal')::bigint or p.amount::text is distinct from e.body ->> 'amount'
                or p.decided_by is not distinct from p.proposed_by)
        union all
        select format('proposal %s', p.proposal_id), p.earned::text, coalesce(sum(t.amount), 0)::text
          from suspense_proposals p
          join suspense_resolutions r on r.tenant_id = p.tenant_id and r.event_id = p.event_id
          left join transfers t on t.member_id = p.member_id and t.event_id = r.earned_event
         where p.state = 'confirmed' group by p.proposal_id, p.earned having coalesce(sum(t.amount), 0) <> p.earned
        """,
    ),
)
