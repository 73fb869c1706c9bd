"""SQL of payouts that a payroll makes, many at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries.paying import PayoutRow, select_payouts
from engine.benefits.rules.paying import NameState, Payload, PayoutState, parts_json
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayout:
    """A payout that is made of a payroll's payment, its document sealed."""

    claim_id: int
    payload: Payload
    sealed: bytes
    account_digest: UUID
    least_match_bp: int
    name_state: NameState
    name_bp: int | None
    not_before: date | None
    rule: str


async def add_payouts(session: AsyncSession, made: Sequence[NewPayout], *, maker: str, made_on: date) -> None:
    """Keep payouts that wait for their names, or leave at once."""
    connection = await driver(session)
    payloads = [one.payload for one in made]
    await connection.execute(
        """insert into payouts (tenant_id, payout_id, member_id, amount, parts, account_digest, least_match_bp, made_on, not_before,
                                name_state, name_bp, product, source, rail, digest, maker, rules, document,
                                inherited_claim, heir_no)
           select %s, p, m, a, x::jsonb, d, l, %s, n, s, b, o, c, r, g, %s, array_remove(array[u], ''), k, ic, ih
             from unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::text[], %s::uuid[], %s::int[], %s::date[], %s::text[], %s::int[],
                         %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bytea[], %s::bigint[], %s::smallint[])
                  v(p, m, a, x, d, l, n, s, b, o, c, r, g, u, k, ic, ih)""",
        (
            session.info["tenant_id"],
            made_on,
            maker,
            [one.payout_id for one in payloads],
            [one.member_id for one in payloads],
            [one.amount for one in payloads],
            [msgspec.json.encode(parts_json(one.parts)).decode() for one in payloads],
            [one.account_digest for one in made],
            [one.least_match_bp for one in made],
            [one.not_before for one in made],
            [one.name_state.value for one in made],
            [one.name_bp for one in made],
            [one.product for one in payloads],
            [one.source for one in payloads],
            [one.account.rail for one in payloads],
            [one.digest() for one in payloads],
            [one.rule for one in made],
            [one.sealed for one in made],
            [one.claim for one in payloads],
            [one.heir for one in payloads],
        ),
    )


async def releasable(
    session: AsyncSession, today: date, rails: Sequence[str], task: str, *, most: int
) -> list[tuple[PayoutRow, str]]:
    """Return payouts of approved payrolls that may leave, with the payroll's checker; held until the session ends.

    Their rail is joined, their account's name agrees or need not be asked for, and no new account cools off. What the `task`
    has put aside stays.
    """
    rows = await select_payouts(
        session,
        """p.state = 'created' and p.name_state in ('agrees', 'not-asked') and (p.not_before is null or p.not_before <= %(today)s)
             and p.rail = any(%(rails)s) and exists (select from payroll_payments y where y.tenant_id = p.tenant_id and y.payout_id = p.payout_id)
             and not exists (select from quarantine q where q.task = %(task)s and q.subject = p.payout_id::text and q.released_at is null)
           order by p.made_at, p.payout_id limit %(most)s for update of p skip locked""",
        {"today": today, "rails": list(rails), "task": task, "most": most},
    )
    connection = await driver(session)
    cursor = await connection.execute(
        """select y.payout_id, r.checker from payroll_payments y join payroll_runs r on r.tenant_id = y.tenant_id and r.run_no = y.run_no
            where y.tenant_id = %s and y.payout_id = any(%s)""",
        (session.info["tenant_id"], [row.payout_id for row in rows]),
    )
    checkers: dict[UUID, str] = dict(await cursor.fetchall())
    return [(row, checkers[row.payout_id]) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What becomes of a payout: approved by an event, to be paid from an account; or refused."""

    payout_id: UUID
    state: PayoutState
    checker: str
    approved_event: int = 0
    account: str = ""
    reference_digest: UUID | None = None


async def decide_payouts(session: AsyncSession, decided: Sequence[Decided]) -> None:
    """Note what becomes of payouts that wait."""
    connection = await driver(session)
    await connection.execute(
        """update payouts p set state = k.state, checker = k.checker, approved_event = k.event, account = k.account, reference_digest = k.digest
             from unnest(%s::uuid[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::uuid[]) k(payout_id, state, checker, event, account, digest)
            where p.tenant_id = %s and p.payout_id = k.payout_id and p.state = 'created'""",
        (
            [one.payout_id for one in decided],
            [one.state.value for one in decided],
            [one.checker for one in decided],
            [one.approved_event for one in decided],
            [one.account for one in decided],
            [one.reference_digest for one in decided],
            session.info["tenant_id"],
        ),
    )
