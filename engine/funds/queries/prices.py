"""SQL of funds, of the files that price them, and of prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import UnitScaleChanged
from engine.funds.rules import Fund
from engine.kernel.prices import Price
from engine.ledger import service as ledger
from engine.runtime.database import driver


async def hold_prices(session: AsyncSession) -> None:
    """Wait until no other transaction writes or takes prices of the tenant; keep others waiting until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7101, :t)"), {"t": session.info["tenant_id"]})


async def intern_funds(session: AsyncSession, funds: Sequence[Fund]) -> dict[str, int]:
    """Return the number of each fund by its code, adding those that are new together with the asset of their units.

    Raises:
        UnitScaleChanged: the books count a fund's units to another number of decimals.
    """
    wanted = {fund.code: fund.unit_scale for fund in funds}
    found = await _funds(session, sorted(wanted))
    if found.keys() != wanted.keys():
        await session.execute(text("select pg_advisory_xact_lock(7102, :t)"), {"t": session.info["tenant_id"]})
        for code in sorted(wanted.keys() - (await _funds(session, sorted(wanted))).keys()):
            await ledger.open_asset(session, code, wanted[code], kind="units")
            await session.execute(
                text("""insert into funds (tenant_id, fund_id, code, unit_scale)
                        select :t, coalesce(max(fund_id), 0) + 1, :code, :scale from funds"""),
                {"t": session.info["tenant_id"], "code": code, "scale": wanted[code]},
            )
        found = await _funds(session, sorted(wanted))
    for code, (_, kept) in found.items():
        if kept != wanted[code]:
            raise UnitScaleChanged(fund=code, kept=kept, wanted=wanted[code])
    return {code: number for code, (number, _) in found.items()}


async def _funds(session: AsyncSession, codes: Sequence[str]) -> dict[str, tuple[int, int]]:
    rows = await session.execute(
        text("select code, fund_id, unit_scale from funds where code = any(:codes)"), {"codes": list(codes)}
    )
    return {row.code: (row.fund_id, row.unit_scale) for row in rows}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A price file that came before."""

    file_id: int
    state: str
    received_at: datetime


async def find_file(session: AsyncSession, sha256: str) -> StoredFile | None:
    """Return the file of those bytes, if it came before."""
    row = (
        await session.execute(
            text("select file_id, state, received_at from price_files where sha256 = :sha"), {"sha": sha256}
        )
    ).first()
    return None if row is None else StoredFile(*row)


async def keep_file(
    session: AsyncSession,
    *,
    name: str,
    sha256: str,
    raw: bytes,
    state: str,
    day: date | None,
    received_at: datetime,
    event_id: int,
    accepted: int,
    refused: Sequence[Mapping[str, object]],
) -> int:
    """Keep a file as it came, and what became of it; return its number. The bytes of a refused file may come again."""
    number = await session.scalar(
        text("""insert into price_files as f (tenant_id, name, sha256, raw, state, day, received_at, event_id, accepted, refused)
                values (:t, :name, :sha, :raw, :state, :day, :at, :event, :accepted, cast(:refused as jsonb))
                on conflict (tenant_id, sha256) do update
                  set name = excluded.name, state = excluded.state, day = excluded.day, event_id = excluded.event_id,
                      accepted = excluded.accepted, refused = excluded.refused where f.state = 'refused'
                returning file_id"""),
        {
            "t": session.info["tenant_id"],
            "name": name,
            "sha": sha256,
            "raw": raw,
            "state": state,
            "day": day,
            "at": received_at,
            "event": event_id,
            "accepted": accepted,
            "refused": msgspec.json.encode(refused).decode(),
        },
    )
    return int(number)


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What is known of a fund around a day: the price of that day, the last accepted one, and whether orders went past it."""

    state: str | None
    price: Price | None
    last: Price | None
    last_on: date | None
    is_late: bool


async def neighbourhoods(session: AsyncSession, fund_ids: Sequence[int], day: date) -> dict[int, Neighbourhood]:
    """Return, by fund, what a price of `day` meets. `last` is the nearest accepted price before the day, else after it.

    `is_late`: an order for which a price of the day may count has taken one further from its cut-off already.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.fund_id, p.state, p.digits, p.scale, l.digits, l.scale, l.price_on, exists (
                  select from (select tenant_id, dealing_id, fund_id, price_on from orders
                               union all select tenant_id, dealing_id, fund_id, price_on from sale_orders) o
                    join dealings d using (tenant_id, dealing_id)
                   where o.fund_id = w.fund_id
                     and case d.priced_by when 'historic' then o.price_on < %(day)s and d.cut_off_on > %(day)s
                              when 'forward' then o.price_on > %(day)s and d.cut_off_on <= %(day)s
                              else o.price_on > %(day)s and d.cut_off_on < %(day)s end)
             from unnest(%(funds)s::int[]) w(fund_id)
             left join lateral (select state, digits, scale from prices where fund_id = w.fund_id and price_on = %(day)s
                and state in ('accepted', 'held') order by file_id desc limit 1) p on true
             left join lateral (
               (select 1 as far, digits, scale, price_on from prices
                 where fund_id = w.fund_id and state = 'accepted' and price_on < %(day)s order by price_on desc, file_id desc limit 1)
               union all
               (select 2, digits, scale, price_on from prices
                 where fund_id = w.fund_id and state = 'accepted' and price_on > %(day)s order by price_on, file_id desc limit 1)
               order by far limit 1) l on true""",
        {"day": day, "funds": list(fund_ids)},
    )
    return {
        fund: Neighbourhood(state, _price(digits, scale), _price(last_digits, last_scale), last_on, is_late)
        for fund, state, digits, scale, last_digits, last_scale, last_on, is_late in await cursor.fetchall()
    }


def _price(digits: int | None, scale: int | None) -> Price | None:
    return None if digits is None or scale is None else Price(digits, scale)


async def add_prices(
    session: AsyncSession,
    rows: Sequence[tuple[int, Price, str, str, int]],
    *,
    price_on: date,
    file_id: int,
    maker: int,
) -> None:
    """Add (fund_id, price, state, held_for, event_id) of one file and day."""
    connection = await driver(session)
    await connection.execute(
        """insert into prices (tenant_id, price_on, file_id, maker, fund_id, digits, scale, state, held_for, event_id)
           select %s, %s, %s, %s, * from unnest(%s::int[], %s::bigint[], %s::smallint[], %s::text[], %s::text[], %s::bigint[])""",
        (
            session.info["tenant_id"],
            price_on,
            file_id,
            maker,
            [row[0] for row in rows],
            [row[1].digits for row in rows],
            [row[1].scale for row in rows],
            [row[2] for row in rows],
            [row[3] for row in rows],
            [row[4] for row in rows],
        ),
    )


@dataclass(frozen=True, slots=True)
class StoredPrice:
    """A price as it stands, with who proposed it."""

    fund_id: int
    fund: str
    price_on: date
    file_id: int
    price: Price
    state: str
    held_for: str
    maker: str
    file: str


_PRICES = """
select p.fund_id, f.code, p.price_on, p.file_id, p.digits, p.scale,
       case when exists (select from prices n where n.fund_id = p.fund_id and n.price_on = p.price_on and n.corrects = p.file_id)
            then 'corrected' else p.state end as state, p.held_for, a.name, pf.name
  from prices p
  join funds f on f.tenant_id = p.tenant_id and f.fund_id = p.fund_id
  join actors a on a.tenant_id = p.tenant_id and a.actor_id = p.maker
  join price_files pf on pf.tenant_id = p.tenant_id and pf.file_id = p.file_id
"""


def _stored(row: Sequence[object]) -> StoredPrice:
    fund_id, fund, price_on, file_id, digits, scale, state, held_for, maker, file = row
    return StoredPrice(fund_id, fund, price_on, file_id, Price(digits, scale), state, held_for, maker, file)  # type: ignore[arg-type]


async def undecided_price(session: AsyncSession, fund: str, price_on: date) -> StoredPrice | None:
    """Return the price of a fund and day that most needs a decision: the held one, else the accepted, else the last rejected."""
    row = (
        await session.execute(
            text(f"""{_PRICES} where f.code = :fund and p.price_on = :day
                     order by array_position(array['held', 'accepted', 'rejected'], p.state), p.file_id desc limit 1"""),
            {"fund": fund, "day": price_on},
        )
    ).first()
    return None if row is None else _stored(row)


async def decide_price(session: AsyncSession, price: StoredPrice, *, state: str, checker: int, event_id: int) -> None:
    """Accept or reject a held price."""
    await session.execute(
        text("""update prices set state = :state, checker = :checker, decided_event = :event
                 where fund_id = :fund and price_on = :day and file_id = :file and state = 'held'"""),
        {
            "state": state,
            "checker": checker,
            "event": event_id,
            "fund": price.fund_id,
            "day": price.price_on,
            "file": price.file_id,
        },
    )


async def list_prices(
    session: AsyncSession, *, fund: str | None, first: date | None, last: date | None, state: str | None, most: int
) -> list[StoredPrice]:
    """Return prices from `first` to `last`, the newest day first."""
    rows = await session.execute(
        text(f"""{_PRICES} where (cast(:fund as text) is null or f.code = :fund)
                    and (cast(:first as date) is null or p.price_on >= :first)
                    and (cast(:last as date) is null or p.price_on <= :last)
                    and (cast(:state as text) is null or p.state = :state)
                  order by p.price_on desc, f.code, p.file_id desc limit :most"""),
        {"fund": fund, "first": first, "last": last, "state": state, "most": most},
    )
    return [_stored(row) for row in rows]


async def priced_days(session: AsyncSession, fund_id: int, *, after: date, until: date) -> frozenset[date]:
    """Return the days with an accepted price of the fund."""
    rows = await session.scalars(
        text("""select price_on from prices
                 where fund_id = :fund and state = 'accepted' and price_on > :after and price_on <= :until"""),
        {"fund": fund_id, "after": after, "until": until},
    )
    return frozenset(rows)
