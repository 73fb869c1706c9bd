"""SQL of claims after a death: who may inherit, what each was given, and which deaths nobody has claimed after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.paying import Part, parts_json
from engine.ledger.rules import EventKind
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True, kw_only=True)
class HeirRow:
    """Somebody who may inherit; the document, sealed, says who they are. `gone` says why they do not inherit."""

    heir_no: int
    named_as: str
    share_bp: int
    is_spouse: bool
    gone: str
    documents: Mapping[str, str]
    document: bytes
    maker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """What an heir was given of a claim, smallest units; `paid` by payouts that are not home, `asked` by those that wait."""

    heir_no: int
    amount: int
    released: int
    earned: int
    overpaid: int
    shared_on: date
    is_trust: bool
    parts: tuple[Part, ...]
    released_parts: tuple[Part, ...]
    paid_parts: tuple[Part, ...] = ()
    paid: int = 0
    asked: int = 0
    payouts: int = 0
    in_transit: int = 0

    @property
    def in_trust(self) -> int:
        """Return what is held in trust."""
        return self.amount - self.released if self.is_trust else 0

    @property
    def due(self) -> int:
        """Return what may be paid and is asked for by no payout."""
        return self.amount - self.in_trust - self.paid - self.asked


async def heirs_of(session: AsyncSession, member_id: int, product: str) -> list[HeirRow]:
    """Return who may inherit a membership, by number."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select h.heir_no, h.named_as, h.share_bp, h.is_spouse, h.gone, h.documents, h.document, a.name
             from heirs h join actors a on a.tenant_id = h.tenant_id and a.actor_id = h.maker
            where h.member_id = %s and h.product = %s order by h.heir_no""",
        (member_id, product),
    )
    return [
        HeirRow(
            heir_no=row[0],
            named_as=row[1],
            share_bp=row[2],
            is_spouse=row[3],
            gone=row[4],
            documents=row[5],
            document=bytes(row[6]),
            maker=row[7],
        )
        for row in await cursor.fetchall()
    ]


async def add_heirs(
    session: AsyncSession, member_id: int, product: str, rows: Sequence[HeirRow], *, maker: int
) -> None:
    """Write people who may inherit."""
    connection = await driver(session)
    await connection.execute(
        """insert into heirs (member_id, tenant_id, product, maker, heir_no, named_as, share_bp, is_spouse, documents, document)
           select %s, %s, %s, %s, w.* from unnest(%b::smallint[], %b::text[], %b::smallint[], %b::bool[], %b::jsonb[], %b::bytea[]) w""",
        (
            member_id,
            session.info["tenant_id"],
            product,
            maker,
            [one.heir_no for one in rows],
            [one.named_as for one in rows],
            [one.share_bp for one in rows],
            [one.is_spouse for one in rows],
            [msgspec.json.encode(one.documents).decode() for one in rows],
            [one.document for one in rows],
        ),
    )


async def exclude_heirs(
    session: AsyncSession,
    member_id: int,
    product: str,
    heirs: Sequence[int],
    *,
    gone: str,
    maker: int,
    died_on: date | None = None,
) -> None:
    """Note why people do not inherit, and of one who lived after the member when they died."""
    connection = await driver(session)
    await connection.execute(
        "update heirs set gone = %s, maker = %s, died_on = %s where member_id = %s and product = %s and heir_no = any(%s)",
        (gone, maker, died_on, member_id, product, list(heirs)),
    )


async def document_heir(
    session: AsyncSession, member_id: int, product: str, heir_no: int, documents: Mapping[str, str], *, maker: int
) -> None:
    """Add documents, as SHA-256 by kind, of somebody who may inherit."""
    connection = await driver(session)
    await connection.execute(
        """update heirs set documents = documents || %s::jsonb, maker = %s
            where member_id = %s and product = %s and heir_no = %s""",
        (msgspec.json.encode(documents).decode(), maker, member_id, product, heir_no),
    )


async def add_inheritances(
    session: AsyncSession, member_id: int, claim_id: int, rows: Sequence[Inheritance], *, maker: int
) -> None:
    """Write what heirs were given of a claim."""
    connection = await driver(session)
    await connection.execute(
        """insert into inheritances (member_id, claim_id, tenant_id, maker, heir_no, amount, shared_on, is_trust, parts)
           select %s, %s, %s, %s, w.* from unnest(%b::smallint[], %b::bigint[], %b::date[], %b::bool[], %b::jsonb[]) w""",
        (
            member_id,
            claim_id,
            session.info["tenant_id"],
            maker,
            [one.heir_no for one in rows],
            [one.amount for one in rows],
            [one.shared_on for one in rows],
            [one.is_trust for one in rows],
            [_json(one.parts) for one in rows],
        ),
    )


async def save_inheritance(session: AsyncSession, member_id: int, claim_id: int, row: Inheritance) -> None:
    """Write what has changed of what an heir was given."""
    connection = await driver(session)
    await connection.execute(
        """update inheritances set amount = %s, released = %s, earned = %s, overpaid = %s, parts = %s::jsonb, released_parts = %s::jsonb
            where member_id = %s and claim_id = %s and heir_no = %s""",
        (
            row.amount,
            row.released,
            row.earned,
            row.overpaid,
            _json(row.parts),
            _json(row.released_parts),
            member_id,
            claim_id,
            row.heir_no,
        ),
    )


async def inheritances_of(session: AsyncSession, member_id: int, claim_id: int) -> dict[int, Inheritance]:
    """Return what heirs were given of a claim, by their number, with what payouts have made of it."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select i.heir_no, i.amount, i.released, i.earned, i.overpaid, i.shared_on, i.is_trust, i.parts, i.released_parts,
                  p.parts, p.paid, p.asked, p.payouts, p.in_transit
             from inheritances i cross join lateral (
               select coalesce(sum(amount) filter (where approved_event <> 0 and home_event = 0), 0)::bigint as paid,
                      coalesce(sum(amount) filter (where state = 'created'), 0)::bigint as asked, count(*) as payouts,
                      coalesce(sum(amount) filter (where approved_event <> 0 and home_event = 0 and settled_event = 0), 0)::bigint as in_transit,
                      coalesce(jsonb_agg(parts) filter (where approved_event <> 0 and home_event = 0), '[]') as parts
                 from payouts p where p.tenant_id = i.tenant_id and p.member_id = i.member_id
                  and p.inherited_claim = i.claim_id and p.heir_no = i.heir_no) p
            where i.member_id = %s and i.claim_id = %s order by i.heir_no""",
        (member_id, claim_id),
    )
    return {row[0]: _inheritance(row) for row in await cursor.fetchall()}


def _inheritance(row: Sequence[Any]) -> Inheritance:
    return Inheritance(
        heir_no=row[0],
        amount=row[1],
        released=row[2],
        earned=row[3],
        overpaid=row[4],
        shared_on=row[5],
        is_trust=row[6],
        parts=msgspec.convert(row[7], tuple[Part, ...]),
        released_parts=msgspec.convert(row[8], tuple[Part, ...]),
        paid_parts=tuple(msgspec.convert(part, Part) for parts in row[9] for part in parts),
        paid=row[10],
        asked=row[11],
        payouts=row[12],
        in_transit=row[13],
    )


async def releases(session: AsyncSession, member_id: int, claim_id: int, heir_no: int) -> list[tuple[date, int]]:
    """Return (day, smallest units) of what was released of a child's money, the first first; what it earned is not counted."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select business_date, (body ->> 'amount')::bigint - (body ->> 'earned')::bigint from events
            where member_id = %s and kind = %s and body ->> 'claim' = %s and body ->> 'heir' = %s order by event_id""",
        (member_id, int(EventKind.TRUST_RELEASED), str(claim_id), str(heir_no)),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def unclaimed_deaths(
    session: AsyncSession, *, in_funds: Sequence[str], most: int, member_id: int | None = None
) -> list[tuple[int, str]]:
    """Return (member, product) of confirmed deaths whose account holds something and whose claim nobody has opened or ended.

    So with those who had a pension for life and whose account is empty, until one claim of their death was opened.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct b.member_id, c.product from death_notices d
             join balances b on b.member_id = d.member_id and b.credits > b.debits
             join chart c on c.tenant_id = b.tenant_id and c.code = b.code
            where d.tenant_id = %s and d.state = 'confirmed' and (%s::bigint is null or d.member_id = %s)
              and (c.kind = 'units' or c.kind = 'payable' and c.party = '' or c.kind = 'cash' and c.product <> all(%s))
              and not exists (select from benefit_claims k where k.member_id = b.member_id and k.product = c.product and k.kind = 'death'
                                 and k.state <> 'payable' and k.closed_event = 0)
           union
           select s.member_id, s.product from death_notices d join pension_schedules s on s.member_id = d.member_id
            where d.tenant_id = %s and d.state = 'confirmed' and (%s::bigint is null or d.member_id = %s) and s.instalments = 0
              and not exists (select from benefit_claims k where k.member_id = s.member_id and k.product = s.product and k.kind = 'death'
                                 and k.closed_event = 0)
            order by 1, 2 limit %s""",
        (
            *[session.info["tenant_id"], member_id, member_id, list(in_funds)],
            session.info["tenant_id"],
            member_id,
            member_id,
            most,
        ),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def claims_of_the_living(session: AsyncSession, *, most: int) -> list[tuple[int, int]]:
    """Return (member, claim) of deaths whose claims are not closed, and that are confirmed no more."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select k.member_id, k.claim_id from benefit_claims k
            where k.tenant_id = %s and k.kind = 'death' and k.closed_event = 0 and k.state in ('open', 'decided', 'payable', 'continued')
              and not exists (select from death_notices d where d.member_id = k.member_id and d.state in ('confirmed', 'reversal-proposed'))
            order by k.claim_id limit %s""",
        (session.info["tenant_id"], most),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def closed_with_home_money(session: AsyncSession, *, most: int) -> list[int]:
    """Return the closed claims of which a payout came home since."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct i.claim_id from inheritances i
            where i.tenant_id = %s and i.overpaid > (
              select coalesce(sum(p.amount), 0) from payouts p where p.tenant_id = i.tenant_id and p.member_id = i.member_id
                 and p.inherited_claim = i.claim_id and p.heir_no = i.heir_no and p.approved_event <> 0 and p.home_event = 0)
            order by 1 limit %s""",
        (session.info["tenant_id"], most),
    )
    return [row[0] for row in await cursor.fetchall()]


async def collected_by_sale(session: AsyncSession, member_id: int, sale_event: int) -> int | None:
    """Return the code of the collection account that a sale's money came into."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select t.debit from sales s
             join sale_orders o on o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
             join transfers t on t.event_id = o.settled_event and t.member_id = -s.tenant_id
            where s.member_id = %s and s.event_id = %s order by 1 limit 1""",
        (member_id, sale_event),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def set_shares(session: AsyncSession, member_id: int, product: str, shares: Mapping[int, int]) -> None:
    """Write new shares, in basis points, of people who may inherit."""
    connection = await driver(session)
    await connection.execute(
        """update heirs h set share_bp = w.share_bp from unnest(%b::smallint[], %b::smallint[]) w(heir_no, share_bp)
            where h.member_id = %s and h.product = %s and h.heir_no = w.heir_no""",
        (list(shares), list(shares.values()), member_id, product),
    )


async def own_claims(session: AsyncSession, member_id: int, product: str, states: Sequence[str]) -> list[int]:
    """Return the claims that a member made in a product themselves and that stand so."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select claim_id from benefit_claims where member_id = %s and product = %s and kind not in ('death', 'cover') and state = any(%s)
            order by claim_id""",
        (member_id, product, list(states)),
    )
    return [row[0] for row in await cursor.fetchall()]


async def last_death_claim(session: AsyncSession, member_id: int, product: str) -> tuple[int | None, int]:
    """Return the last claim of a member's death in a product that was shared out, and how many claims of it there were."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select max(claim_id) filter (where state = 'payable' and closed_event = 0), count(*) from benefit_claims
            where member_id = %s and product = %s and kind = 'death'""",
        (member_id, product),
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def death_claim_under_way(session: AsyncSession, member_id: int, product: str) -> int | None:
    """Return the claim of a member's death in a product that is not ended."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select claim_id from benefit_claims where member_id = %s and product = %s and kind = 'death'
              and state in ('open', 'decided', 'selling')""",
        (member_id, product),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


def _json(parts: Sequence[Part]) -> str:
    return msgspec.json.encode(parts_json(parts)).decode()


async def was_corpus_given(session: AsyncSession, member_id: int, product: str) -> bool:
    """Return whether a claim of a member's death was paid up to a table's corpus."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select exists (select from benefit_claims where member_id = %s and product = %s and kind = 'death'
              and state in ('selling', 'payable') and closed_event = 0 and (estate ->> 'corpus')::boolean)""",
        (member_id, product),
    )
    row = await cursor.fetchone()
    return bool(row and row[0])
