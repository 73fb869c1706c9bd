"""SQL of savings that go to other schemes, and of those that come from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.transfers import Brought, Carried, CarriedPayment
from engine.runtime.database import driver


async def bound_by(session: AsyncSession, member_id: int, product: str, *, but: int, is_unitised: bool) -> str:
    """Return what of a member must end before their savings go; "" for nothing. The claim `but` does not count."""
    reason = await session.scalar(
        text("""select case
                  when exists (select from benefit_claims b where b.member_id = :m and b.product = :p and b.claim_id <> :but
                                  and b.closed_event = 0 and b.state in ('open', 'decided', 'selling', 'pledged', 'asked')) then 'claim'
                  when exists (select from loans l where l.member_id = :m and l.product = :p and l.ended_event = 0) then 'loan'
                  when exists (select from pension_schedules s where s.member_id = :m and s.product = :p and s.is_running) then 'pension'
                  when exists (select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = :p and c.kind = 'selling'
                                where b.member_id = :m and b.credits > b.debits) then 'sale'
                  when :u and exists (select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = :p and c.kind = 'cash'
                                       where b.member_id = :m and b.credits > b.debits) then 'dealing'
                  else '' end"""),
        {"m": member_id, "p": product, "but": but, "u": is_unitised},
    )
    return str(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutRow:
    """Savings that left for another scheme, as they are stored; smallest units. Of their payout, whether it is under way or settled."""

    member_id: int
    claim_id: int
    amount: int
    ended_event: int
    receipt: int
    dated_on: date
    joined_on: date
    product: str
    state: str
    acknowledgement: str
    parts: tuple[Carried, ...]
    payments: tuple[CarriedPayment, ...]
    is_paying: bool = False
    is_settled: bool = False


_OUT = """
select o.member_id, o.claim_id, o.amount, o.ended_event, o.receipt, o.dated_on, o.joined_on, o.product, o.state, o.acknowledgement, o.parts, o.payments,
       p.payout_id is not null as is_paying, coalesce(p.settled_event, 0) <> 0 as is_settled
  from transfers_out o left join payouts p on p.tenant_id = o.tenant_id and p.source = 'transfer:' || o.claim_id
   and p.state not in ('refused', 'failed', 'returned')
"""


async def add_out(session: AsyncSession, row: OutRow) -> None:
    """Keep what left for another scheme."""
    connection = await driver(session)
    encode = msgspec.json.encode
    await connection.execute(
        """insert into transfers_out (member_id, claim_id, amount, tenant_id, dated_on, joined_on, product, parts, payments)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            row.member_id,
            row.claim_id,
            row.amount,
            session.info["tenant_id"],
            row.dated_on,
            row.joined_on,
            row.product,
            encode(row.parts).decode(),
            encode(row.payments).decode(),
        ),
    )


async def find_out(session: AsyncSession, claim_id: int, *, hold: bool = False) -> OutRow | None:
    """Return what left by a claim; with `hold`, nobody else can change it until the session ends."""
    found = await session.execute(
        text(f"{_OUT} where o.claim_id = :c {'for update of o' if hold else ''}"), {"c": claim_id}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _out(row)


async def outs_of(session: AsyncSession, claim_ids: Sequence[int]) -> dict[int, OutRow]:
    """Return what left by claims, by claim."""
    rows = await session.execute(text(f"{_OUT} where o.claim_id = any(:c)"), {"c": list(claim_ids)})
    return {row["claim_id"]: _out(row) for row in rows.mappings()}


async def list_claims_of_transfers(session: AsyncSession, *, after: int, most: int) -> list[int]:
    """Return the claims by which savings go to other schemes, after a claim, the oldest first."""
    rows = await session.scalars(
        text("""select claim_id from benefit_claims where kind = 'transfer' and claim_id > :after
                 order by claim_id limit :most"""),
        {"after": after, "most": most},
    )
    return list(rows)


async def end_out(
    session: AsyncSession, claim_id: int, *, state: str, event_id: int, receipt: int = 0, acknowledgement: str = ""
) -> None:
    """Write how a transfer ended."""
    await session.execute(
        text("""update transfers_out set state = :s, ended_event = :e, receipt = :r,
                       acknowledgement = case when :a = '' then acknowledgement else :a end where claim_id = :c"""),
        {"c": claim_id, "s": state, "e": event_id, "r": receipt, "a": acknowledgement},
    )


async def returned_to(session: AsyncSession, claim_id: int) -> str:
    """Return the channel whose account the last payout of a claim came back into; "" where none went out and came back."""
    found = await session.scalar(
        text("""select p.account from payouts p where p.source = 'transfer:' || cast(:c as bigint) and p.state = 'returned'
                 order by p.made_at desc limit 1"""),
        {"c": claim_id},
    )
    return found or ""


async def sold_into(session: AsyncSession, member_id: int, sale_event: int) -> int | None:
    """Return the code of the collection account that the money of a member's sold units came into; None without one."""
    found = await session.scalar(
        text("""select t.debit from sales s
                  join sale_orders o on o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
                  join transfers t on t.member_id = -s.tenant_id and t.event_id = o.settled_event
                 where s.member_id = :m and s.event_id = :e and o.settled_event <> 0 order by s.fund_id limit 1"""),
        {"m": member_id, "e": sale_event},
    )
    return None if found is None else int(found)


def _out(row: RowMapping) -> OutRow:
    return OutRow(
        **{
            **row,
            "parts": msgspec.convert(row["parts"], tuple[Carried, ...]),
            "payments": msgspec.convert(row["payments"], tuple[CarriedPayment, ...]),
        }
    )


# -- savings that come


@dataclass(frozen=True, slots=True, kw_only=True)
class InRow:
    """Savings that another scheme advised, as they are stored; smallest units, in this scheme's pots."""

    member_id: int
    advice_id: int
    amount: int
    product: str
    sender: str
    reference: str
    advised_on: date
    joined_there: date
    joined_on: date
    state: str
    digest: str
    sha256: str
    rule: str
    maker: str
    brought: Brought
    checker: str = ""
    posted_event: int = 0
    receipt: int = 0


_IN = """
select i.member_id, i.advice_id, i.amount, i.posted_event, i.receipt, i.advised_on, i.joined_there, i.joined_on, i.product, i.sender, i.reference,
       i.state, i.digest, i.sha256, i.rule, i.brought, m.name as maker, coalesce(k.name, '') as checker
  from transfers_in i join actors m on m.tenant_id = i.tenant_id and m.actor_id = i.maker
  left join actors k on k.tenant_id = i.tenant_id and k.actor_id = i.checker
"""


async def hold_reference(session: AsyncSession, sender: str, reference: str) -> None:
    """Wait until no other transaction takes an advice of that sender and reference."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 7211))"),
        {"key": f"{session.info['tenant_id']}:{sender}:{reference}"},
    )


async def find_advised(session: AsyncSession, sender: str, reference: str) -> InRow | None:
    """Return the savings that a sender advised by a reference, unless that was rejected or given up."""
    rows = await session.execute(
        text(f"{_IN} where i.sender = :s and i.reference = :r and i.state not in ('rejected', 'withdrawn')"),
        {"s": sender, "r": reference},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _in(row)


async def add_in(session: AsyncSession, row: InRow, *, maker: int) -> None:
    """Keep what was advised."""
    connection = await driver(session)
    await connection.execute(
        """insert into transfers_in (member_id, advice_id, amount, tenant_id, maker, advised_on, joined_there, joined_on, product, sender,
             reference, digest, sha256, rule, brought) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            row.member_id,
            row.advice_id,
            row.amount,
            session.info["tenant_id"],
            maker,
            row.advised_on,
            row.joined_there,
            row.joined_on,
            row.product,
            row.sender,
            row.reference,
            row.digest,
            row.sha256,
            row.rule,
            msgspec.json.encode([row.brought.parts, row.brought.payments]).decode(),
        ),
    )


async def find_in(session: AsyncSession, advice_id: int, *, hold: bool = False) -> InRow | None:
    """Return what was advised; with `hold`, nobody else can change it until the session ends."""
    rows = await session.execute(
        text(f"{_IN} where i.advice_id = :a {'for update of i' if hold else ''}"), {"a": advice_id}
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _in(row)


async def list_in(session: AsyncSession, *, after: int, most: int) -> list[InRow]:
    """Return what was advised after an advice, the oldest first."""
    rows = await session.execute(
        text(f"{_IN} where i.advice_id > :after order by i.advice_id limit :most"), {"after": after, "most": most}
    )
    return [_in(row) for row in rows.mappings()]


async def decide_in(session: AsyncSession, advice_id: int, *, state: str, checker: int = 0) -> None:
    """Write what was decided of an advice; a checker once known stays."""
    await session.execute(
        text("""update transfers_in set state = :s, checker = case when :k = 0 then checker else :k end
                 where advice_id = :a"""),
        {"a": advice_id, "s": state, "k": checker},
    )


async def post_in(session: AsyncSession, row: InRow, *, event_id: int, receipt: int) -> None:
    """Write by which event savings came in, out of which payment, and what of them was paid in elsewhere."""
    await session.execute(
        text("update transfers_in set state = 'posted', posted_event = :e, receipt = :r where advice_id = :a"),
        {"a": row.advice_id, "e": event_id, "r": receipt},
    )
    payments = row.brought.payments
    connection = await driver(session)
    await connection.execute(
        """insert into transfer_history (member_id, event_id, minor, tenant_id, paid_on, product, pot, origin)
           select %s, %s, h.minor, %s, h.paid_on, %s, h.pot, h.origin
             from unnest(%s::bigint[], %s::date[], %s::text[], %s::text[]) h(minor, paid_on, pot, origin)""",
        (
            row.member_id,
            event_id,
            session.info["tenant_id"],
            row.product,
            [one.amount for one in payments],
            [one.paid_on for one in payments],
            [one.pot for one in payments],
            [one.origin for one in payments],
        ),
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A payment in suspense of exactly an amount that was advised."""

    advice_id: int
    reference: str
    receipt: int


async def candidates(session: AsyncSession) -> list[Candidate]:
    """Return the payments in suspense that may belong to savings that were advised, the oldest first."""
    rows = await session.execute(
        text("""select i.advice_id, i.reference, s.event_id from transfers_in i
                  join suspense s on s.tenant_id = i.tenant_id and s.amount = i.amount and s.of_event = 0
                 where i.state = 'approved'
                   and not exists (select from suspense_resolutions r where r.tenant_id = s.tenant_id and r.event_id = s.event_id)
                   and not exists (select from suspense_refunds f where f.tenant_id = s.tenant_id and f.event_id = s.event_id and f.home_event = 0)
                   and not exists (select from corrections x where x.tenant_id = s.tenant_id and x.corrects_event = s.event_id and x.corrects_member = -s.tenant_id)
                 order by s.event_id, i.advice_id""")
    )
    return [Candidate(row.advice_id, row.reference, row.event_id) for row in rows]


def _in(row: RowMapping) -> InRow:
    parts, payments = row["brought"]
    brought = Brought(
        msgspec.convert(parts, tuple[Carried, ...]), msgspec.convert(payments, tuple[CarriedPayment, ...])
    )
    given: dict[str, Any] = {**row, "brought": brought}
    return InRow(**given)
