"""SQL of breaks of confirmations that two people set aside."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class SaidRow:
    """What a manager said, as it is kept, and what became of it."""

    file_id: int
    place: int
    counterparty: str
    reference: str
    deal_ref: str
    side: str
    fund: str
    units: Decimal
    price: Decimal
    amount: int
    currency: str
    traded_on: date
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """A proposal to set a break aside."""

    proposal_id: int
    file_id: int
    place: int
    cause: str
    digest: str
    state: str
    maker: str
    checker: str


async def find_said(session: AsyncSession, file_id: int, place: int) -> SaidRow | None:
    """Return what a manager said at a place of a file."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select file_id, place, counterparty, reference, deal_ref, side, fund, units, price, amount, currency, traded_on, state, reason
             from confirmations where tenant_id = %s and file_id = %s and place = %s""",
        (session.info["tenant_id"], file_id, place),
    )
    row = await cursor.fetchone()
    return None if row is None else SaidRow(*row)


async def add_proposal(
    session: AsyncSession, file_id: int, place: int, *, cause: str, digest: str, maker: int
) -> int | None:
    """Keep a proposal; return its number, None where one waits already. Files of orders are held."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into confirmation_proposals (tenant_id, proposal_id, file_id, place, cause, digest, maker)
           select %(t)s, coalesce(max(proposal_id), 0) + 1, %(file)s, %(place)s, %(cause)s, %(digest)s, %(maker)s
             from confirmation_proposals where tenant_id = %(t)s
           on conflict (tenant_id, file_id, place) where state = 'proposed' do nothing returning proposal_id""",
        {
            "t": session.info["tenant_id"], "file": file_id, "place": place, "cause": cause, "digest": digest, "maker": maker,
        },
    )  # fmt: skip
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


_PROPOSAL = """select p.proposal_id, p.file_id, p.place, p.cause, p.digest, p.state, m.name, coalesce(c.name, '')
                 from confirmation_proposals p join actors m on m.tenant_id = p.tenant_id and m.actor_id = p.maker
                 left join actors c on c.tenant_id = p.tenant_id and c.actor_id = p.checker"""


async def find_proposal(session: AsyncSession, proposal_id: int) -> ProposalRow | None:
    """Return a proposal by its number."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_PROPOSAL} where p.tenant_id = %s and p.proposal_id = %s", (session.info["tenant_id"], proposal_id)
    )
    row = await cursor.fetchone()
    return None if row is None else ProposalRow(*row)


async def list_proposals(session: AsyncSession, *, most: int) -> list[ProposalRow]:
    """Return proposals, the newest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_PROPOSAL} where p.tenant_id = %s order by p.proposal_id desc limit %s", (session.info["tenant_id"], most)
    )
    return [ProposalRow(*row) for row in await cursor.fetchall()]


async def decide_proposal(session: AsyncSession, one: ProposalRow, *, state: str, checker: int, event_id: int) -> None:
    """Keep what a second person decided; what is approved ends the break."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute(
        """update confirmation_proposals set state = %s, checker = %s, decided_event = %s
            where tenant_id = %s and proposal_id = %s""",
        (state, checker, event_id, tenant, one.proposal_id),
    )
    if state == "approved":
        await connection.execute(
            """update confirmations set state = 'set-aside', reason = '', event_id = %s
                where tenant_id = %s and file_id = %s and place = %s""",
            (event_id, tenant, one.file_id, one.place),
        )
