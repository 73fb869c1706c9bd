"""SQL of payouts: what is to be paid, what became of it, and the lines of statements that show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.paying import NameState, Part, PayoutState, parts_json
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class PayoutRow:
    """A payout, its document sealed; `outcome` is its exchange's, "" without one."""

    payout_id: UUID
    member_id: int
    amount: int
    approved_event: int
    settled_event: int
    home_event: int
    made_at: datetime
    least_match_bp: int
    made_on: date
    not_before: date | None
    state: PayoutState
    name_state: NameState
    product: str
    source: str
    rail: str
    account: str
    reason: str
    digest: str
    maker: str
    checker: str
    rules: tuple[str, ...]
    parts: tuple[Part, ...]
    document: bytes
    outcome: str


_COLUMNS = """p.payout_id, p.member_id, p.amount, p.approved_event, p.settled_event, p.home_event, p.made_at, p.least_match_bp,
       p.made_on, p.not_before, p.state, p.name_state, p.product, p.source, p.rail, p.account, p.reason, p.digest, p.maker,
       coalesce(p.checker, ''), p.rules, p.parts, p.document"""
_PAYOUTS = f"""
select {_COLUMNS}, coalesce(e.outcome, '')
  from payouts p left join exchanges e on e.tenant_id = p.tenant_id and e.reference = p.payout_id
"""


def _row(values: Sequence[Any]) -> PayoutRow:
    found = list(values)
    found[10], found[11] = PayoutState(found[10]), NameState(found[11])
    found[20], found[21] = tuple(found[20]), msgspec.convert(found[21], tuple[Part, ...])
    found[22] = bytes(found[22])
    return PayoutRow(*found)


async def select_payouts(session: AsyncSession, where: str, parameters: Mapping[str, object]) -> list[PayoutRow]:
    """Return the tenant's payouts that are so; `where` is the rest of the statement, and no text from outside."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_PAYOUTS} where p.tenant_id = %(t)s and {where}", {"t": session.info["tenant_id"], **parameters}
    )
    return [_row(row) for row in await cursor.fetchall()]


async def lock_source(session: AsyncSession, source: str) -> None:
    """Wait until no other transaction makes a payout of that source."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:key, 7203))"),
        {"key": f"{session.info['tenant_id']}:{source}"},
    )


async def add_payout(
    session: AsyncSession,
    *,
    payout_id: UUID,
    member_id: int,
    amount: int,
    parts: Sequence[Part],
    account_digest: UUID,
    least_match_bp: int,
    made_on: date,
    not_before: date | None,
    name_state: NameState,
    name_bp: int | None,
    product: str,
    source: str,
    rail: str,
    digest: str,
    maker: str,
    rules: Sequence[str],
    document: bytes,
    inherited: tuple[int, int] = (0, 0),
) -> None:
    """Keep a payout that waits for a second person; `inherited` are the claim and the number of an heir."""
    connection = await driver(session)
    await connection.execute(
        """insert into payouts (tenant_id, payout_id, member_id, amount, parts, account_digest, least_match_bp, made_on,
                                not_before, name_state, name_bp, product, source, rail, digest, maker, rules, document, inherited_claim, heir_no)
           values (%s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            session.info["tenant_id"],
            payout_id,
            member_id,
            amount,
            msgspec.json.encode(parts_json(parts)).decode(),
            account_digest,
            least_match_bp,
            made_on,
            not_before,
            name_state,
            name_bp,
            product,
            source,
            rail,
            digest,
            maker,
            list(rules),
            document,
            *inherited,
        ),
    )


async def find_payout(session: AsyncSession, payout_id: UUID, *, lock: bool = False) -> PayoutRow | None:
    """Return a payout; with `lock` nobody else changes it until the transaction ends."""
    found = await select_payouts(
        session, f"p.payout_id = %(id)s {'for update of p' if lock else ''}", {"id": payout_id}
    )
    return next(iter(found), None)


async def find_live(session: AsyncSession, source: str) -> PayoutRow | None:
    """Return the payout of a source that is under way or went out, if there is one."""
    where = "p.source = %(source)s and p.state not in ('refused', 'failed', 'returned')"
    return next(iter(await select_payouts(session, where, {"source": source})), None)


async def list_payouts(
    session: AsyncSession, *, state: PayoutState | None, after: UUID | None, most: int
) -> list[PayoutRow]:
    """Return payouts after another one, oldest first, of one state as it is stored if that is given."""
    return await select_payouts(
        session,
        """(%(state)s::text is null or p.state = %(state)s)
             and (%(after)s::uuid is null or (p.made_at, p.payout_id) > (
                   select a.made_at, a.payout_id from payouts a where a.tenant_id = %(t)s and a.payout_id = %(after)s))
           order by p.made_at, p.payout_id limit %(most)s""",
        {"state": state, "after": after, "most": most},
    )


async def payable_left(
    session: AsyncSession, member_id: int, product: str, kind: str = "payable"
) -> dict[tuple[str, str], int]:
    """Return by (pot, origin) what is payable to a member, or "heirs": due to theirs, and asked for by no payout that waits."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select pot, origin, sum(amount)::bigint from (
             select c.pot, c.origin, b.credits - b.debits as amount
               from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = %(kind)s and c.party = ''
              where b.member_id = %(m)s and c.product = %(product)s
             union all
             select x ->> 0, x ->> 1, -(x ->> 2)::bigint from payouts p cross join jsonb_array_elements(p.parts) x
              where p.tenant_id = %(t)s and p.member_id = %(m)s and p.product = %(product)s and p.state = 'created'
                and (p.heir_no <> 0) = (%(kind)s = 'heirs')
             union all                                                 -- what a death's claim will share among heirs
             select w ->> 'pot', w ->> 'origin', -(w ->> 'minor')::bigint from benefit_claims b
              cross join jsonb_array_elements(b.estate -> 'waiting') w
              where b.member_id = %(m)s and b.product = %(product)s and b.kind = 'death' and b.state in ('decided', 'selling')
                and %(kind)s = 'payable') s
           group by pot, origin""",
        {"t": session.info["tenant_id"], "m": member_id, "product": product, "kind": kind},
    )
    return {(pot, origin): amount for pot, origin, amount in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """What is known of a payee's account: whether it was paid, when it was first named, whether another was paid."""

    was_paid: bool
    named_on: date | None
    other_was_paid: bool


async def account_histories(
    session: AsyncSession, member_id: int, account_digests: Sequence[UUID], heir_no: int = 0
) -> dict[UUID, AccountHistory]:
    """Return what payouts of a member, or of one of their heirs, say of accounts."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select d, coalesce(bool_or(p.account_digest = d and p.state = 'succeeded'), false),
                  min(p.made_on) filter (where p.account_digest = d),
                  coalesce(bool_or(p.account_digest <> d and p.state = 'succeeded'), false)
             from unnest(%s::uuid[]) d left join payouts p on p.tenant_id = %s and p.member_id = %s and p.heir_no = %s
            group by d""",
        (list(account_digests), session.info["tenant_id"], member_id, heir_no),
    )
    return {digest: AccountHistory(*rest) for digest, *rest in await cursor.fetchall()}


async def payout_before(session: AsyncSession, payout_id: UUID) -> UUID | None:
    """Return the member's last payout before this one that went to another account, refused ones left out."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select q.payout_id from payouts p join payouts q on q.tenant_id = p.tenant_id and q.member_id = p.member_id
            where p.tenant_id = %s and p.payout_id = %s and q.made_at < p.made_at and q.state <> 'refused'
              and q.account_digest <> p.account_digest order by q.made_at desc limit 1""",
        (session.info["tenant_id"], payout_id),
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def decide(
    session: AsyncSession,
    payout_id: UUID,
    *,
    state: PayoutState,
    checker: str,
    approved_event: int = 0,
    account: str = "",
    reference_digest: UUID | None = None,
    is_name_seen: bool = False,
) -> None:
    """Note what the second person decided."""
    connection = await driver(session)
    await connection.execute(
        """update payouts set state = %s, checker = %s, approved_event = %s, account = %s, reference_digest = %s, is_name_seen = %s
            where tenant_id = %s and payout_id = %s and state = 'created'""",
        (
            state,
            checker,
            approved_event,
            account,
            reference_digest,
            is_name_seen,
            session.info["tenant_id"],
            payout_id,
        ),
    )


async def note(
    session: AsyncSession,
    payout_id: UUID,
    *,
    state: PayoutState,
    reason: str = "",
    provider_digest: UUID | None = None,
) -> None:
    """Note what became of a payout that is under way; its transaction's digest stays once it is known."""
    connection = await driver(session)
    await connection.execute(
        """update payouts set state = %s, reason = %s, provider_digest = coalesce(%s, provider_digest)
            where tenant_id = %s and payout_id = %s""",
        (state, reason, provider_digest, session.info["tenant_id"], payout_id),
    )


async def note_name(session: AsyncSession, payout_id: UUID, *, name_state: NameState, name_bp: int | None) -> None:
    """Note what came of the check of a name that still waits for it."""
    connection = await driver(session)
    await connection.execute(
        """update payouts set name_state = %s, name_bp = %s
            where tenant_id = %s and payout_id = %s and name_state = 'waiting'""",
        (name_state, name_bp, session.info["tenant_id"], payout_id),
    )


async def come_home(
    session: AsyncSession, rows: Sequence[tuple[UUID, int]], *, state: PayoutState, reason: str = ""
) -> None:
    """Note the events (payout, event) by which payouts' money came home."""
    connection = await driver(session)
    await connection.execute(
        """update payouts p set home_event = k.event_id, state = %s, reason = %s
             from unnest(%s::uuid[], %s::bigint[]) k(payout_id, event_id)
            where p.tenant_id = %s and p.payout_id = k.payout_id""",
        (state, reason, [one for one, _ in rows], [one for _, one in rows], session.info["tenant_id"]),
    )


async def unchecked(session: AsyncSession, *, most: int) -> list[PayoutRow]:
    """Return payouts whose account's name waits to be checked and whose check was not begun, locked, the oldest first."""
    return await select_payouts(
        session,
        """p.name_state = 'waiting' and p.state = 'created' and not p.is_check_begun
           order by p.made_at limit %(most)s for update of p skip locked""",
        {"most": most},
    )


async def begin_checks(session: AsyncSession, payout_ids: Sequence[UUID]) -> None:
    """Note that the checks of these payouts' names were begun."""
    connection = await driver(session)
    await connection.execute(
        "update payouts set is_check_begun = true where tenant_id = %s and payout_id = any(%s)",
        (session.info["tenant_id"], list(payout_ids)),
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A payout, and the waiting line of its account's statement that shows it gone, or come back."""

    payout: PayoutRow
    statement_id: int
    line_no: int
    value_date: date


_SEEN = f"""
select {_COLUMNS}, '', l.statement_id, l.line_no, l.value_date
  from unmatched_lines u
  join statement_lines l using (tenant_id, statement_id, line_no)
  join statements s using (tenant_id, statement_id)
 cross join lateral (
   select payout_id from payouts where tenant_id = u.tenant_id and reference_digest in (l.reference_digest, l.other_digest)
   union
   select payout_id from payouts where tenant_id = u.tenant_id and provider_digest in (l.reference_digest, l.other_digest)) k
  join payouts p on p.tenant_id = u.tenant_id and p.payout_id = k.payout_id and p.account = s.account
"""


async def seen_gone(session: AsyncSession, *, most: int) -> list[Seen]:
    """Return payouts in transit, locked, each with the first waiting line that shows exactly its amount gone."""
    return await _seen(
        session,
        "where l.amount = -p.amount and p.approved_event <> 0 and p.settled_event = 0 and p.home_event = 0",
        most,
    )


async def seen_returned(session: AsyncSession, *, most: int) -> list[Seen]:
    """Return payouts that went, locked, each with the first waiting line that shows exactly its amount come back."""
    return await _seen(session, "where l.amount = p.amount and p.settled_event <> 0 and p.home_event = 0", most)


async def _seen(session: AsyncSession, where: str, most: int) -> list[Seen]:
    connection = await driver(session)
    cursor = await connection.execute(
        f"{_SEEN} {where} order by l.statement_id, l.line_no, p.payout_id limit %s for update of p", (most,)
    )
    found: dict[UUID, Seen] = {}
    lines: set[tuple[int, int]] = set()
    for *values, statement_id, line_no, value_date in await cursor.fetchall():
        row = _row(values)
        if row.payout_id not in found and (statement_id, line_no) not in lines:
            found[row.payout_id] = Seen(row, statement_id, line_no, value_date)
            lines.add((statement_id, line_no))
    return list(found.values())


async def settle(session: AsyncSession, rows: Sequence[tuple[UUID, int]]) -> None:
    """Note the events (payout, event) by which a statement showed payouts gone; they succeeded, whatever was said before."""
    connection = await driver(session)
    await connection.execute(
        """update payouts p set settled_event = k.event_id, state = 'succeeded', reason = ''
             from unnest(%s::uuid[], %s::bigint[]) k(payout_id, event_id)
            where p.tenant_id = %s and p.payout_id = k.payout_id""",
        ([one for one, _ in rows], [one for _, one in rows], session.info["tenant_id"]),
    )


async def note_many(session: AsyncSession, rows: Sequence[tuple[UUID, PayoutState, str]]) -> None:
    """Note (payout, state, reason) of payouts that are under way."""
    connection = await driver(session)
    await connection.execute(
        """update payouts p set state = k.state, reason = k.reason
             from unnest(%s::uuid[], %s::text[], %s::text[]) k(payout_id, state, reason)
            where p.tenant_id = %s and p.payout_id = k.payout_id""",
        (*([row[i] for row in rows] for i in range(3)), session.info["tenant_id"]),
    )
