"""SQL of confirmations: the files they came in, what was said before, and the orders they are of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.fund_orders import OrderConfirmation
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of confirmations whose bytes came before."""

    state: str
    imported_at: datetime


async def find_file(session: AsyncSession, sha256: str) -> KnownFile | None:
    """Return what became of the same bytes before, or None."""
    row = (
        await session.execute(
            text("select state, imported_at from confirmation_files where sha256 = :sha"), {"sha": sha256}
        )
    ).first()
    return None if row is None else KnownFile(row.state, row.imported_at)


async def keep_file(
    session: AsyncSession,
    *,
    counterparty: str,
    name: str,
    sha256: str,
    raw: bytes,
    state: str,
    imported_at: datetime,
    actor: int,
    event_id: int = 0,
    refusal: Mapping[str, object] | None = None,
) -> int:
    """Keep a file as it came; return its number. The bytes of a refused one may come again."""
    number = await session.scalar(
        text("""insert into confirmation_files as f (tenant_id, counterparty, name, sha256, raw, state, imported_at, actor, event_id, refusal)
                values (:t, :counterparty, :name, :sha, :raw, :state, :at, :actor, :event, cast(:refusal as jsonb))
                on conflict (tenant_id, sha256) do update
                  set name = excluded.name, state = excluded.state, event_id = excluded.event_id, refusal = excluded.refusal
                  where f.state = 'refused'
                returning file_id"""),
        {
            "t": session.info["tenant_id"],
            "counterparty": counterparty,
            "name": name,
            "sha": sha256,
            "raw": raw,
            "state": state,
            "at": imported_at,
            "actor": actor,
            "event": event_id,
            "refusal": msgspec.json.encode(refusal or {}).decode(),
        },
    )
    assert number is not None, sha256
    return int(number)


async def add_confirmations(
    session: AsyncSession, file_id: int, counterparty: str, deals: Sequence[OrderConfirmation]
) -> None:
    """Keep what a file says, in its order."""
    connection = await driver(session)
    await connection.execute(
        """insert into confirmations (tenant_id, file_id, counterparty, place, line, reference, deal_ref, side, fund, units, price,
                                      amount, currency, fees, traded_on, settles_on, is_partial)
           select %s, %s, %s, u.* from unnest(%s::int[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[],
             %s::numeric[], %s::bigint[], %s::text[], %s::bigint[], %s::date[], %s::date[], %s::boolean[]) u""",
        (
            session.info["tenant_id"],
            file_id,
            counterparty,
            list(range(1, len(deals) + 1)),
            [one.row for one in deals],
            [one.reference for one in deals],
            [one.deal_ref for one in deals],
            [str(one.side) for one in deals],
            [one.fund_code for one in deals],
            [one.units for one in deals],
            [one.price for one in deals],
            [one.amount.units for one in deals],
            [one.amount.asset.symbol for one in deals],
            [one.fees for one in deals],
            [one.traded_on for one in deals],
            [one.settles_on for one in deals],
            [one.is_partial for one in deals],
        ),
    )


_SAYS = "({0}.reference, {0}.side, {0}.fund, {0}.units, {0}.price, {0}.amount, {0}.currency, {0}.fees, {0}.traded_on, {0}.is_partial)"


async def meet_earlier(session: AsyncSession, file_id: int) -> None:
    """Compare what a new file says with what its manager said of the same deals before.

    The same again is `repeated`; another word for what was confirmed is a break; else the new word supersedes the old.
    """
    connection = await driver(session)
    new = "select c.* from confirmations c where c.file_id = %(file)s and c.state = 'waiting'"
    earlier = f"""
      select n.place, e.file_id, e.place as earlier_place, e.state, {_SAYS.format("e")} = {_SAYS.format("n")} as is_same
        from ({new}) n join lateral (
          select * from confirmations b where b.counterparty = n.counterparty and b.deal_ref = n.deal_ref and b.file_id < n.file_id
             and b.state in ('waiting', 'part', 'confirmed', 'break', 'set-aside')
           order by (b.state = 'confirmed') desc, b.file_id desc limit 1) e on true"""
    await connection.execute(
        f"""with earlier as materialized ({earlier}),
            told as (
              update confirmations c set state = case when e.is_same then 'repeated' else 'break' end,
                     reason = case when e.is_same then '' else 'confirmed-otherwise' end
                from earlier e where c.file_id = %(file)s and c.place = e.place and (e.is_same or e.state = 'confirmed'))
            update confirmations c set state = 'superseded', reason = ''
              from earlier e where c.file_id = e.file_id and c.place = e.earlier_place and not e.is_same and e.state <> 'confirmed'""",
        {"file": file_id},
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A confirmation that is to be judged, beside the order of its reference; what is of no order is None."""

    file_id: int
    place: int
    line: int
    reference: str
    deal_ref: str
    side: str
    fund: str
    units: Decimal
    price: Decimal
    amount: int
    currency: str
    fees: int
    traded_on: date
    settles_on: date | None
    is_partial: bool
    counterparty: str
    state: str
    reason: str
    order_file: int | None
    sent_to: str | None
    sent_side: str | None
    dealing_id: int | None
    product: str | None
    cut_off_on: date | None
    fund_id: int | None
    sent_fund: str | None
    unit_scale: int | None
    ordered: int | None
    price_on: date | None
    digits: int | None
    scale: int | None
    booked_units: int | None
    booked_amount: int | None
    is_confirmed: bool
    is_placed: bool


async def candidates(session: AsyncSession) -> list[Candidate]:
    """Return what waits to be judged and what else was said of the same orders and can still change, by order and as it came."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with open as materialized (select distinct reference from confirmations where state in ('waiting', 'part'))
           select c.file_id, c.place, c.line, c.reference, c.deal_ref, c.side, c.fund, c.units, c.price, c.amount, c.currency,
                  c.fees, c.traded_on, c.settles_on, c.is_partial, c.counterparty, c.state, c.reason,
                  s.file_id, x.counterparty, s.side, s.dealing_id, d.product, d.cut_off_on, s.fund_id, f.code, f.unit_scale,
                  coalesce(o.amount, r.units), coalesce(o.price_on, r.price_on), coalesce(o.digits, r.digits),
                  coalesce(o.scale, r.scale), coalesce(o.units_confirmed, r.units), coalesce(o.amount, r.amount_confirmed),
                  coalesce(s.confirmed_event <> 0, false),
                  exists (select from orders p where p.reference = c.reference)
                    or exists (select from sale_orders p where p.reference = c.reference)
             from open join confirmations c using (reference)
             left join order_sendings s on s.tenant_id = c.tenant_id and s.reference = c.reference and not s.is_released
             left join order_files x on x.tenant_id = s.tenant_id and x.file_id = s.file_id
             left join dealings d on d.tenant_id = s.tenant_id and d.dealing_id = s.dealing_id
             left join funds f on f.tenant_id = s.tenant_id and f.fund_id = s.fund_id
             left join orders o on s.side = 'subscribe' and o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
             left join sale_orders r on s.side = 'redeem' and r.tenant_id = s.tenant_id and r.dealing_id = s.dealing_id and r.fund_id = s.fund_id
            where c.state in ('waiting', 'part')
               or (c.state = 'break' and c.reason not in ('already-confirmed', 'confirmed-otherwise') and s.confirmed_event = 0)
            order by c.reference, c.file_id, c.place"""
    )
    return [Candidate(*row) for row in await cursor.fetchall()]


async def stated(
    session: AsyncSession, side: str, dealing_id: int, fund_id: int, *, price_on: date, price: Decimal
) -> tuple[Decimal, int] | None:
    """Return the units and the money that an order's manager says it dealt at a price, where it said so whole, once, and first."""
    rows = (
        await session.execute(
            text("""select c.units, c.amount from order_sendings s
                      join order_files x on x.tenant_id = s.tenant_id and x.file_id = s.file_id
                      join confirmations c on c.tenant_id = s.tenant_id and c.reference = s.reference and c.counterparty = x.counterparty
                     where s.dealing_id = :d and s.fund_id = :f and s.side = :side and not s.is_released
                       and c.state = 'waiting' and not c.is_partial and c.price = :price and c.traded_on = :on limit 2"""),
            {"d": dealing_id, "f": fund_id, "side": side, "price": price, "on": price_on},
        )
    ).all()
    return (rows[0].units, rows[0].amount) if len(rows) == 1 else None


async def unrecorded_breaks(session: AsyncSession, file_id: int) -> list[tuple[int, int, str, str]]:
    """Return (file, place, reference, reason) of the breaks of a file that no event tells of."""
    rows = await session.execute(
        text("""select file_id, place, reference, reason from confirmations
                 where file_id = :file and state = 'break' and event_id = 0 order by place"""),
        {"file": file_id},
    )
    return [(row.file_id, row.place, row.reference, row.reason) for row in rows]


async def note_verdicts(session: AsyncSession, rows: Sequence[tuple[int, int, str, str, int]]) -> None:
    """Note (file, place, state, reason, event) of confirmations that were judged."""
    connection = await driver(session)
    await connection.execute(
        """update confirmations c set state = v.state, reason = v.reason, event_id = v.event_id
             from unnest(%s::bigint[], %s::int[], %s::text[], %s::text[], %s::bigint[]) v(file_id, place, state, reason, event_id)
            where c.file_id = v.file_id and c.place = v.place""",
        tuple([row[i] for row in rows] for i in range(5)),
    )


async def confirm_orders(session: AsyncSession, rows: Sequence[tuple[int, int, int, str, int]]) -> None:
    """Note (file, dealing, fund, side, event) of orders that their managers confirmed."""
    connection = await driver(session)
    await connection.execute(
        """update order_sendings s set confirmed_event = v.event_id
             from unnest(%s::int[], %s::int[], %s::int[], %s::text[], %s::bigint[]) v(file_id, dealing_id, fund_id, side, event_id)
            where s.file_id = v.file_id and s.dealing_id = v.dealing_id and s.fund_id = v.fund_id and s.side = v.side""",
        tuple([row[i] for row in rows] for i in range(5)),
    )


async def count_states(session: AsyncSession, file_id: int) -> dict[str, int]:
    """Return how many of a file's confirmations are in each state."""
    rows = await session.execute(
        text("select state, count(*)::int as n from confirmations where file_id = :file group by state"),
        {"file": file_id},
    )
    return {row.state: row.n for row in rows}


@dataclass(frozen=True, slots=True)
class ConfirmationRow:
    """A confirmation as it is kept; the amount in smallest units."""

    file_id: int
    place: int
    line: int
    file: str
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
    imported_at: datetime


async def list_confirmations(
    session: AsyncSession, *, state: str | None, file_id: int | None, after: tuple[int, int], most: int
) -> list[ConfirmationRow]:
    """Return confirmations after (file, place), as they came."""
    rows: Any = await session.execute(
        text("""select c.file_id, c.place, c.line, f.name, c.counterparty, c.reference, c.deal_ref, c.side, c.fund, c.units, c.price,
                       c.amount, c.currency, c.traded_on, c.state, c.reason, f.imported_at
                  from confirmations c join confirmation_files f using (tenant_id, file_id)
                 where (cast(:state as text) is null or c.state = :state) and (cast(:file as bigint) is null or c.file_id = :file)
                   and (c.file_id, c.place) > (:after_file, :after_place) order by c.file_id, c.place limit :most"""),
        {"state": state, "file": file_id, "after_file": after[0], "after_place": after[1], "most": most},
    )
    return [ConfirmationRow(*row) for row in rows]
