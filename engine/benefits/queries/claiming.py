"""SQL of claims: what is free to be claimed, what was paid in, and claims themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules import Holding, PaidIn, Promised
from engine.benefits.rules.claiming import Guaranteeing
from engine.benefits.rules.schedules import SchedulePlan
from engine.ledger.rules import EventKind
from engine.runtime.database import driver


class Piece(Struct, frozen=True, kw_only=True):
    """Money of one pot and origin that a claim takes: smallest units, and units of funds if it is in units.

    It becomes the member's, or is forfeited, or goes to the pool that pays a pension.
    """

    pot: str
    origin: str
    minor: int
    is_forfeited: bool = False
    is_pooled: bool = False
    units: Mapping[str, int] = {}


class TaxFacts(Struct, frozen=True, kw_only=True):
    """What tax is worked out from again once units are sold: the ground, and what the pots held as it was decided.

    `charge` smallest units, for the role `charge_to`, are taken of what goes to another scheme. `schedule` is what is paid later, `not_before` the first day on which the choice may be approved, `guarantee` what units
    that are sold are raised to. Of what is added, `from_pool` smallest units are the pension pool's of `pool_role`, as far as
    it had money as it was booked. What is pooled buys an annuity from the `insurer`, where one is named. What was `promised` becomes
    the member's as the claim becomes payable.
    """

    ground: str
    held: int
    on: date
    joined_on: date
    is_pre_tax: bool
    returned: int
    forfeited_to: str = ""
    topped_up_by: str = ""
    schedule: SchedulePlan | None = None
    not_before: date | None = None
    pool_role: str = ""
    from_pool: int = 0
    guarantee: Guaranteeing | None = None
    insurer: str = ""
    charge: int = 0
    charge_to: str = ""
    promised: tuple[Promised, ...] = ()


class Receiving(Struct, frozen=True, kw_only=True):
    """The scheme that savings go to, its account, and its own `reference` of the case; `by_scheme` says that it asks for them."""

    scheme: str
    rail: str
    number: str
    bank: str = ""
    holder: str = ""
    reference: str = ""
    by_scheme: bool = False


class Request(Struct, frozen=True, kw_only=True):
    """What was asked. Of a loan: how many instalments, and of a pledge who lends at which yearly rate; of a cover the day of the event.

    Of a transfer: where the savings go.
    """

    rule: str = ""
    ground: str = ""
    purpose: str = ""
    documents: Mapping[str, str] = {}
    lump_bp: int | None = None
    years: int | None = None
    is_pre_tax: bool = False
    instalments: int | None = None
    lender: str = ""
    percent: str = ""
    happened_on: date | None = None
    receiving: Receiving | None = None


class Estate(Struct, frozen=True, kw_only=True):
    """What a claim of a death is decided from: who inherits by which ground, in which shares by heir, and what lacks.

    `waiting` is what was payable to the member already. `children` are the heirs whose money is held in trust. `prepared_by` are those who had a
    part in it, who may not approve.
    `corpus` says that the account is paid up to a table's corpus, which happens once. `anew` are shares that wait for approval after the money was shared, which happened `rounds` times.
    `keeps_bp` of it may be kept for what went out of a pension after the death, of the pension `kept_for`; `kept` was.
    """

    died_on: date
    choice: str = ""
    basis: str = ""
    shares: Mapping[str, int] = {}
    waiting: tuple[Holding, ...] = ()
    missing: tuple[str, ...] = ()
    prepared_by: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    until: date | None = None
    anew: Mapping[str, int] = {}
    children: tuple[int, ...] = ()
    rounds: int = 0
    corpus: bool = False
    keeps_bp: int = 0
    kept: tuple[Holding, ...] = ()
    kept_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRow:
    """A claim as it is stored; see the table. `paid` is what payouts of it have paid, by a statement."""

    member_id: int
    claim_id: int
    kind: str
    product: str
    rule: str
    state: str
    asked: int
    opened_on: date
    maker: str
    request: Request
    amount: int = 0
    tax: int = 0
    forfeited: int = 0
    top_up: int = 0
    returned: int = 0
    decision: int = 0
    approved_event: int = 0
    sale_event: int = 0
    payable_event: int = 0
    completed_at: datetime | None = None
    due_on: date | None = None
    reason: str = ""
    digest: str = ""
    parts: tuple[Piece, ...] = ()
    facts: TaxFacts | None = None
    checker: str = ""
    paid: int = 0
    estate: Estate | None = None
    closed_event: int = 0


_CLAIM = """
select b.member_id, b.claim_id, b.kind, b.product, b.rule, b.state, b.asked, b.opened_on, m.name as maker, b.request, b.amount, b.tax,
       b.forfeited, b.top_up, b.returned, b.decision, b.approved_event, b.sale_event, b.payable_event, b.completed_at, b.due_on,
       b.reason, b.digest, b.parts, b.facts, b.estate, b.closed_event, coalesce(k.name, '') as checker,
       (select coalesce(sum(p.amount), 0)::bigint from payouts p where p.tenant_id = b.tenant_id and p.member_id = b.member_id
           and (p.source in ('claim:' || b.claim_id, 'transfer:' || b.claim_id) or p.inherited_claim = b.claim_id)
           and p.settled_event <> 0 and p.home_event = 0) as paid
  from benefit_claims b join actors m on m.tenant_id = b.tenant_id and m.actor_id = b.maker
  left join actors k on k.tenant_id = b.tenant_id and k.actor_id = b.checker
"""


PAID_ELSEWHERE = """(select member_id, product, pot, origin, paid_on, minor from opening_history
   union all select member_id, product, pot, origin, paid_on, minor from transfer_history)"""
"""What members paid in elsewhere: in a scheme that was taken over, or in one that their savings came from."""


GRANTED_CLAIM = (
    f"{_CLAIM} where b.state in ('decided', 'selling', 'payable', 'pledged', 'asked') and b.closed_event = 0"
)
"""Claims that were granted and not given up."""


async def find_claim(session: AsyncSession, claim_id: int, *, hold: bool = False) -> ClaimRow | None:
    """Return a claim; with `hold`, nobody else can change it until the session ends."""
    found = await session.execute(
        text(f"{_CLAIM} where b.claim_id = :c {'for update of b' if hold else ''}"), {"c": claim_id}
    )
    row = found.mappings().one_or_none()
    return None if row is None else claim_row(row)


async def hold_claims(session: AsyncSession, claim_ids: Sequence[int]) -> list[ClaimRow]:
    """Return claims by their numbers; nobody else can change them until the session ends."""
    found = await session.execute(
        text(f"{_CLAIM} where b.claim_id = any(:c) order by b.claim_id for update of b"), {"c": list(claim_ids)}
    )
    return [claim_row(row) for row in found.mappings()]


async def list_claims(session: AsyncSession, *, state: str = "", after: int = 0, most: int = 100) -> list[ClaimRow]:
    """Return claims after `after`, the oldest first; of one state if one is given."""
    rows = await session.execute(
        text(f"""{_CLAIM} where b.claim_id > :after and (:state = '' or b.state = :state)
                  order by b.claim_id limit :most"""),
        {"after": after, "state": state, "most": most},
    )
    return [claim_row(row) for row in rows.mappings()]


async def find_claims(session: AsyncSession, claim_ids: Sequence[int]) -> list[ClaimRow]:
    """Return claims, the oldest first."""
    rows = await session.execute(
        text(f"{_CLAIM} where b.claim_id = any(:c) order by b.claim_id"), {"c": list(claim_ids)}
    )
    return [claim_row(row) for row in rows.mappings()]


async def claims_of(session: AsyncSession, member_id: int, products: Sequence[str]) -> list[ClaimRow]:
    """Return a member's claims that were granted and not given up, the oldest first; those of records merged into theirs too."""
    rows = await session.execute(
        text(
            f"{GRANTED_CLAIM} and b.member_id in (select record_id from records_of(:m)) and b.product = any(:p) order by b.claim_id"
        ),
        {"m": member_id, "p": list(products)},
    )
    return [claim_row(row) for row in rows.mappings()]


async def claimed_event(session: AsyncSession, digest: UUID) -> tuple[int, int] | None:
    """Return (claim, digest of its request) of the claim that was opened under a key."""
    found = (
        await session.execute(
            text("""select c.event_id, e.body_digest from claims c
                      join benefit_claims b on b.tenant_id = c.tenant_id and b.claim_id = c.event_id
                      join events e on e.member_id = b.member_id and e.event_id = b.claim_id where c.digest = :d"""),
            {"d": digest},
        )
    ).one_or_none()
    return None if found is None else (found[0], found[1])


async def add_claim(session: AsyncSession, row: ClaimRow, maker: int) -> None:
    """Add a claim."""
    await _write(
        session,
        row,
        maker,
        """insert into benefit_claims (member_id, claim_id, tenant_id, kind, product, rule, state, asked, opened_on, maker, request,
             amount, tax, forfeited, top_up, returned, decision, completed_at, due_on, reason, digest, parts, facts, estate)
           values (%(member_id)s, %(claim_id)s, %(tenant)s, %(kind)s, %(product)s, %(rule)s, %(state)s, %(asked)s, %(opened_on)s, %(maker)s,
             %(request)s, %(amount)s, %(tax)s, %(forfeited)s, %(top_up)s, %(returned)s, %(decision)s, %(completed_at)s, %(due_on)s,
             %(reason)s, %(digest)s, %(parts)s, %(facts)s, %(estate)s)""",
    )


async def save_claim(session: AsyncSession, row: ClaimRow, *, checker: int = 0) -> None:
    """Write how far a claim has come; a checker once known stays."""
    await _write(
        session,
        row,
        checker,
        """update benefit_claims set state = %(state)s, rule = %(rule)s, request = %(request)s, amount = %(amount)s, tax = %(tax)s,
             forfeited = %(forfeited)s, top_up = %(top_up)s, returned = %(returned)s, decision = %(decision)s,
             approved_event = %(approved_event)s, sale_event = %(sale_event)s, payable_event = %(payable_event)s,
             completed_at = %(completed_at)s, due_on = %(due_on)s, reason = %(reason)s, digest = %(digest)s, parts = %(parts)s,
             facts = %(facts)s, estate = %(estate)s, closed_event = %(closed_event)s, checker = case when %(maker)s = 0 then checker else %(maker)s end
            where member_id = %(member_id)s and claim_id = %(claim_id)s""",
    )


async def _write(session: AsyncSession, row: ClaimRow, actor: int, sql: str) -> None:
    connection = await driver(session)
    encode = msgspec.json.encode
    values = {name: getattr(row, name) for name in row.__slots__}
    values |= {
        "tenant": session.info["tenant_id"],
        "maker": actor,
        "request": encode(row.request).decode(),
        "parts": encode(row.parts).decode(),
        "facts": "{}" if row.facts is None else encode(row.facts).decode(),
        "estate": "{}" if row.estate is None else encode(row.estate).decode(),
    }
    await connection.execute(sql.encode(), values)


async def selling_claims(session: AsyncSession) -> list[tuple[int, int]]:
    """Return the claims whose units are being sold, as (member_id, claim)."""
    rows = await session.execute(
        text("select member_id, claim_id from benefit_claims where state = 'selling' order by claim_id")
    )
    return [(row.member_id, row.claim_id) for row in rows]


async def paid_in(session: AsyncSession, member_id: int, products: Sequence[str], on: date) -> tuple[PaidIn, ...]:
    """Return what was paid into a member's pots of the products, by day; of a funder also what was given back.

    What was paid in a scheme that was taken over, or that savings came from, is among it, as that scheme said it.
    """
    rows = await session.execute(
        text(f"""select h.paid_on, h.pot, h.origin, h.minor, false as undone, 0::bigint as event_id, 0 as line
                  from {PAID_ELSEWHERE} h where h.member_id in (select record_id from records_of(:m)) and h.product = any(:p) and h.paid_on <= :on
                union all
                select e.business_date, c.pot, c.origin, (t.amount * x.sign)::bigint,
                       exists (select from corrections k where k.corrects_member = e.member_id and k.corrects_event = e.event_id),
                       e.event_id, t.line
                  from transfers t join events e on e.event_id = t.event_id and e.member_id in (t.member_id, :house)
                 cross join lateral (values (t.credit, 1), (t.debit, -1)) x(code, sign)
                  join chart c on c.tenant_id = t.tenant_id and c.code = x.code and c.kind = 'cash' and c.product = any(:p)
                 where t.member_id in (select record_id from records_of(:m)) and e.business_date <= :on and (e.kind = any(:received) and x.sign = 1 or e.kind = :shared)
                 order by paid_on, event_id, line, pot, origin"""),
        {
            "m": member_id,
            "house": -session.info["tenant_id"],
            "p": list(products),
            "on": on,
            "received": [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)],
            "shared": int(EventKind.MATCH_SHARED),
        },
    )
    return tuple(PaidIn(*row[:5]) for row in rows)


@dataclass(frozen=True, slots=True)
class LastPrice:
    """A fund's last accepted price, exact, and the decimals of its units."""

    digits: int
    scale: int
    unit_scale: int


async def last_prices(session: AsyncSession, funds: Sequence[str], on: date) -> dict[str, LastPrice]:
    """Return the last accepted price of each fund by a day; funds without one are left out."""
    rows = await session.execute(
        text("""select f.code, p.digits, p.scale, f.unit_scale from funds f cross join lateral (
                  select digits, scale from prices p where p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.state = 'accepted'
                     and p.price_on <= :on order by p.price_on desc, p.file_id desc limit 1) p where f.code = any(:funds)"""),
        {"funds": list(funds), "on": on},
    )
    return {row.code: LastPrice(row.digits, row.scale, row.unit_scale) for row in rows}


def claim_row(row: Mapping[str, Any] | RowMapping) -> ClaimRow:
    """Return a claim as it is stored."""
    facts, estate = row["facts"], row["estate"]
    return ClaimRow(
        **{
            **row,
            "request": msgspec.convert(row["request"], Request),
            "parts": tuple(msgspec.convert(row["parts"], list[Piece])),
            "facts": msgspec.convert(facts, TaxFacts) if facts else None,
            "estate": msgspec.convert(estate, Estate) if estate else None,
        }
    )
