"""SQL of wrong prices: whom a price touched, and putting it right by ranges of members, each range in one transaction."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.queries import correcting_switches as switches
from engine.funds.rules import MOST_MEMBERS_IN_RANGE, Conversion, CorrectionTerms
from engine.kernel.prices import Price
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class Figures:
    """What a correction came to so far, in smallest units: units issued and taken, money paid, owed and borne."""

    issued: int
    taken: int
    paid: int
    owed: int
    borne: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A price that somebody says was wrong, and how far putting it right has come."""

    number: int
    fund_id: int
    fund: str
    unit_scale: int
    price_on: date
    wrong: Price
    right: Price
    wrong_file: int
    is_material: bool
    state: str
    party: str
    reason: str
    digest: str
    terms: CorrectionTerms
    members: int
    maker: str
    checker: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class CorrectionLine:
    """What a wrong price did to one account, and what was done about it: None until it is booked. In smallest units.

    `fund` is the fund whose price it was, or the one that a switch bought with what its sale at that price brought.
    """

    member_id: int
    product: str
    pot: str
    origin: str
    bought: int
    sold: int
    fund: str
    unit_scale: int
    done: Figures | None


async def hold_price(session: AsyncSession, fund: str, price_on: date) -> tuple[int, int, int, Price] | None:
    """Return (fund_id, unit_scale, file_id, price) of the accepted price of a fund and day, the newest of them."""
    row = (
        await session.execute(
            text("""select f.fund_id, f.unit_scale, p.file_id, p.digits, p.scale from funds f
                      join prices p on p.tenant_id = f.tenant_id and p.fund_id = f.fund_id and p.price_on = :day
                     where f.code = :fund and p.state = 'accepted' order by p.file_id desc limit 1"""),
            {"fund": fund, "day": price_on},
        )
    ).one_or_none()
    return None if row is None else (row.fund_id, row.unit_scale, row.file_id, Price(row.digits, row.scale))


async def products_priced(session: AsyncSession, fund_id: int, price_on: date) -> list[str]:
    """Return the products whose orders took the price of a fund and day."""
    rows = await session.scalars(
        text("""select distinct d.product from dealings d
                  join (select dealing_id, fund_id, price_on from orders union all select dealing_id, fund_id, price_on from sale_orders) o
                    on o.dealing_id = d.dealing_id where o.fund_id = :f and o.price_on = :day order by 1"""),
        {"f": fund_id, "day": price_on},
    )
    return list(rows)


async def is_in_progress(session: AsyncSession, fund_id: int, price_on: date) -> bool:
    """Return whether an order has taken the price of a fund and day and is not finished."""
    return bool(
        await session.scalar(
            text("""select exists (select from orders where fund_id = :f and price_on = :day and state <> 'priced')
                        or exists (select from sale_orders where fund_id = :f and price_on = :day and state <> 'priced')"""),
            {"f": fund_id, "day": price_on},
        )
    )


async def open_correction(session: AsyncSession, fund_id: int, price_on: date) -> int | None:
    """Return the number of the correction of a fund's price of a day that is not finished, if there is one."""
    found: int | None = await session.scalar(
        text("""select correction_no from price_corrections
                 where fund_id = :f and price_on = :day and state in ('proposed', 'approved')"""),
        {"f": fund_id, "day": price_on},
    )
    return found


@dataclass(frozen=True, slots=True)
class NewCorrection:
    """A correction as it is proposed."""

    fund_id: int
    price_on: date
    wrong_file: int
    wrong: Price
    right: Price
    is_material: bool
    party: str
    reason: str
    terms: CorrectionTerms
    maker: int


async def add_correction(session: AsyncSession, new: NewCorrection) -> int:
    """Add a proposal; return its number. The caller holds the tenant's prices."""
    found = await session.scalar(
        text("""insert into price_corrections (tenant_id, correction_no, fund_id, price_on, wrong_file, wrong_digits, wrong_scale,
                       right_digits, right_scale, is_material, party, reason, terms, maker)
                select :t, coalesce(max(correction_no), 0) + 1, :f, :day, :file, :wd, :ws, :rd, :rs, :material, :party, :reason,
                       cast(:terms as jsonb), :maker from price_corrections
                returning correction_no"""),
        {
            "t": session.info["tenant_id"],
            "f": new.fund_id,
            "day": new.price_on,
            "file": new.wrong_file,
            "wd": new.wrong.digits,
            "ws": new.wrong.scale,
            "rd": new.right.digits,
            "rs": new.right.scale,
            "material": new.is_material,
            "party": new.party,
            "reason": new.reason,
            "terms": msgspec.json.encode(new.terms).decode(),
            "maker": new.maker,
        },
    )
    return int(found or 0)


@dataclass(frozen=True, slots=True)
class Repricing:
    """The conversions at the wrong price and at the right one: what money buys, what units bring."""

    bought_wrong: Conversion
    bought_right: Conversion
    sold_wrong: Conversion
    sold_right: Conversion

    def given(self) -> dict[str, int]:
        """Return the eight numbers as statements name them."""
        named = {"bw": self.bought_wrong, "br": self.bought_right, "sw": self.sold_wrong, "sr": self.sold_right}
        return {
            f"{name}{part}": number
            for name, one in named.items()
            for part, number in (("m", one.multiplier), ("d", one.divisor))
        }


async def accounts_touched(session: AsyncSession, fund_id: int, price_on: date) -> list[tuple[str, str, str]]:
    """Return the (product, pot, origin) of the accounts that dealt at the price of a fund and day."""
    rows = await session.execute(
        text("""select c.product, c.pot, c.origin from chart c where c.code in (
                  select a.code from orders o join allocations a on a.dealing_id = o.dealing_id and a.fund_id = o.fund_id
                   where o.fund_id = :f and o.price_on = :day
                  union select s.code from sale_orders o join sales s on s.dealing_id = o.dealing_id and s.fund_id = o.fund_id
                   where o.fund_id = :f and o.price_on = :day) group by 1, 2, 3 order by 1, 2, 3"""),
        {"f": fund_id, "day": price_on},
    )
    return [tuple(row) for row in rows]


async def count_lines(
    session: AsyncSession,
    number: int,
    fund_id: int,
    price_on: date,
    repricing: Repricing,
    codes: Sequence[tuple[str, str, str, int, int]],
) -> tuple[int, str]:
    """Lay down what the wrong price did to every account, in ranges of at most 10,000 members; return members and a digest.

    `codes` are (product, pot, origin, units code, cash code). Accounts that either price serves the same are left out.
    """
    connection = await driver(session)
    given = {
        "t": session.info["tenant_id"], "n": number, "f": fund_id, "day": price_on, **repricing.given(),
        "products": [one[0] for one in codes], "pots": [one[1] for one in codes], "origins": [one[2] for one in codes],
        "units": [one[3] for one in codes], "cash": [one[4] for one in codes],
    }  # fmt: skip
    for statement in ("drop table if exists repriced_legs", switches.LEGS, switches.BUYS):
        await connection.execute(statement, given)
    await connection.execute(
        """with own as (
             select * from unnest(%(products)s::text[], %(pots)s::text[], %(origins)s::text[], %(units)s::int[], %(cash)s::int[])
                           u(product, pot, origin, units_code, cash_code)),
           bought as (
             select a.member_id, own.units_code,
                    sum(floor_units(a.amount, %(brm)s, %(brd)s) - floor_units(a.amount, %(bwm)s, %(bwd)s))::bigint as bought, 0::bigint as sold
               from orders o join allocations a on a.dealing_id = o.dealing_id and a.fund_id = o.fund_id
               join chart c on c.tenant_id = %(t)s and c.code = a.code
               join own on (own.product, own.pot, own.origin) = (c.product, c.pot, c.origin)
              where o.fund_id = %(f)s and o.price_on = %(day)s group by 1, 2),
           sold as (
             select s.member_id, own.units_code, 0::bigint as bought,
                    sum(floor_units(s.units, %(srm)s, %(srd)s) - floor_units(s.units, %(swm)s, %(swd)s))::bigint as sold
               from sale_orders o join sales s on s.dealing_id = o.dealing_id and s.fund_id = o.fund_id
               join chart c on c.tenant_id = %(t)s and c.code = s.code
               join own on (own.product, own.pot, own.origin) = (c.product, c.pot, c.origin)
              where o.fund_id = %(f)s and o.price_on = %(day)s
                and (s.member_id, s.event_id, s.code) not in (select member_id, event_id, code from repriced_legs) group by 1, 2),
           touched as (
             select member_id, units_code, sum(bought)::bigint as bought, sum(sold)::bigint as sold
               from (select * from bought union all select * from sold) x group by 1, 2)
           insert into correction_lines (member_id, bought, sold, tenant_id, correction_no, units_code, cash_code)
           select member_id, bought, sold, %(t)s, %(n)s, units_code, own.cash_code from touched join own using (units_code)
            where bought <> 0 or sold <> 0""",
        given,
    )
    cursor = await connection.execute(
        """with numbered as (
             select member_id, format('%%s:%%s:%%s:%%s', member_id, units_code, bought, sold) as line, units_code,
                    (dense_rank() over (order by member_id) - 1) / %(most)s + 1 as range_no
               from (select member_id, units_code, bought, sold from correction_lines where correction_no = %(n)s
                     union all select member_id, units_code, units, money from correction_switches where correction_no = %(n)s) laid)
           insert into correction_ranges (tenant_id, correction_no, range_no, first_member, last_member, members, digest)
           select %(t)s, %(n)s, range_no, min(member_id), max(member_id), count(distinct member_id),
                  encode(sha256(string_agg(line, ',' order by member_id, units_code)::bytea), 'hex')
             from numbered group by range_no returning range_no, members, digest""",
        {**given, "most": MOST_MEMBERS_IN_RANGE},
    )
    ranges = sorted(await cursor.fetchall())
    whole = hashlib.sha256("".join(digest for _, _, digest in ranges).encode()).hexdigest()
    return sum(members for _, members, _ in ranges), whole


async def propose(session: AsyncSession, number: int, *, members: int, digest: str, event_id: int) -> None:
    """Note what a proposal comes to."""
    await session.execute(
        text(
            """update price_corrections set members = :m, digest = :d, proposed_event = :e where correction_no = :n"""
        ),
        {"m": members, "d": digest, "e": event_id, "n": number},
    )


async def decide(session: AsyncSession, number: int, *, state: str, checker: int, event_id: int) -> None:
    """Note what a second person decided."""
    await session.execute(
        text("update price_corrections set state = :s, checker = :c, decided_event = :e where correction_no = :n"),
        {"s": state, "c": checker, "e": event_id, "n": number},
    )


async def finish(session: AsyncSession, number: int, event_id: int) -> None:
    """Note that all of a correction is booked."""
    await session.execute(
        text("update price_corrections set state = 'done', finished_event = :e where correction_no = :n"),
        {"e": event_id, "n": number},
    )


async def add_right_price(
    session: AsyncSession, one: Correction, *, file_id: int, maker: int, checker: int, event_id: int
) -> None:
    """Put the right price beside the wrong one; from now on it counts."""
    await session.execute(
        text("""insert into prices (tenant_id, fund_id, price_on, file_id, digits, scale, state, maker, checker, event_id, decided_event, corrects)
                values (:t, :f, :day, :file, :digits, :scale, 'accepted', :maker, :checker, :e, :e, :wrong)"""),
        {
            "t": session.info["tenant_id"],
            "f": one.fund_id,
            "day": one.price_on,
            "file": file_id,
            "digits": one.right.digits,
            "scale": one.right.scale,
            "maker": maker,
            "checker": checker,
            "e": event_id,
            "wrong": one.wrong_file,
        },
    )


_CORRECTIONS = """
select c.correction_no, c.fund_id, f.code, f.unit_scale, c.price_on, c.wrong_digits, c.wrong_scale, c.right_digits, c.right_scale,
       c.wrong_file, c.is_material, c.state, c.party, c.reason, c.digest, c.terms, c.members, m.name as maker, coalesce(k.name, '') as checker,
       r.issued, r.taken, r.paid, r.owed, r.borne
  from price_corrections c join funds f on f.tenant_id = c.tenant_id and f.fund_id = c.fund_id
  join actors m on m.tenant_id = c.tenant_id and m.actor_id = c.maker
  left join actors k on k.tenant_id = c.tenant_id and k.actor_id = c.checker
 cross join lateral (
       select coalesce(sum(issued), 0)::bigint as issued, coalesce(sum(taken), 0)::bigint as taken, coalesce(sum(paid), 0)::bigint as paid,
              coalesce(sum(owed), 0)::bigint as owed, coalesce(sum(borne + made_whole), 0)::bigint as borne
         from (select issued, taken, paid, owed, borne, made_whole from correction_results r where r.correction_no = c.correction_no
               union all select 0, 0, 0, owed, borne, made_whole from correction_switch_results r where r.correction_no = c.correction_no) x) r
"""


def _correction(row: Sequence[object]) -> Correction:
    number, fund_id, fund, scale, on, wd, ws, rd, rs, file, material, state, party, reason, digest, terms, *rest = row
    members, maker, checker, *figures = rest
    return Correction(
        number, fund_id, fund, scale, on, Price(wd, ws), Price(rd, rs), file, material, state, party, reason, digest,  # type: ignore[arg-type]
        msgspec.convert(terms, CorrectionTerms), members, maker, checker, Figures(*figures),  # type: ignore[arg-type]
    )  # fmt: skip


async def find_correction(session: AsyncSession, number: int, *, hold: bool = False) -> Correction | None:
    """Return a correction; held, nobody else can decide on it or finish it until the session ends."""
    if hold:
        await session.execute(text("select from price_corrections where correction_no = :n for update"), {"n": number})
    row = (await session.execute(text(f"{_CORRECTIONS} where c.correction_no = :n"), {"n": number})).one_or_none()
    return None if row is None else _correction(row)


async def list_corrections(session: AsyncSession, *, most: int) -> list[Correction]:
    """Return the newest corrections, the newest first."""
    rows = await session.execute(text(f"{_CORRECTIONS} order by c.correction_no desc limit :most"), {"most": most})
    return [_correction(row) for row in rows]


async def approved_corrections(session: AsyncSession) -> list[int]:
    """Return the numbers of the corrections that are approved and not booked to the end."""
    rows = await session.scalars(
        text("select correction_no from price_corrections where state = 'approved' order by 1")
    )
    return list(rows)


async def lines_of(
    session: AsyncSession, number: int, *, after: tuple[int, int] = (0, 0), most: int
) -> list[tuple[int, CorrectionLine]]:
    """Return lines of a correction by member and account, each with its units code, beyond (member_id, units code)."""
    rows = await session.execute(
        text("""select l.units_code, l.member_id, c.product, c.pot, c.origin, l.bought, l.sold, c.fund, f.unit_scale,
                       l.issued, l.taken, l.paid, l.owed, l.borne
                  from (select l.tenant_id, l.member_id, l.units_code, l.bought, l.sold, r.issued, r.taken, r.paid, r.owed, r.borne + r.made_whole as borne
                          from correction_lines l
                          left join correction_results r on r.member_id = l.member_id and r.correction_no = l.correction_no and r.units_code = l.units_code
                         where l.correction_no = :n
                        union all
                        select l.tenant_id, l.member_id, l.units_code, l.units, l.money, r.issued, r.taken, r.issued * 0, r.owed, r.borne + r.made_whole
                          from correction_switches l
                          left join correction_switch_results r on r.member_id = l.member_id and r.correction_no = l.correction_no and r.units_code = l.units_code
                         where l.correction_no = :n) l
                  join chart c on c.tenant_id = l.tenant_id and c.code = l.units_code join funds f on f.tenant_id = l.tenant_id and f.code = c.fund
                 where (l.member_id, l.units_code) > (:m, :c) order by l.member_id, l.units_code limit :most"""),
        {"n": number, "m": after[0], "c": after[1], "most": most},
    )
    return [
        (row[0], CorrectionLine(*row[1:9], None if row[9] is None else Figures(*row[9:])))  # type: ignore[call-arg]
        for row in rows
    ]


async def every_line(session: AsyncSession, number: int, *, at_once: int) -> AsyncIterator[list[CorrectionLine]]:
    """Yield all lines of a correction, `at_once` at a time."""
    after = (0, 0)
    while found := await lines_of(session, number, after=after, most=at_once):
        yield [line for _, line in found]
        after = (found[-1][1].member_id, found[-1][0])


async def ranges_left(session: AsyncSession, number: int) -> list[int]:
    """Return the numbers of a correction's ranges that are not booked."""
    rows = await session.scalars(
        text("select range_no from correction_ranges where correction_no = :n and not is_done order by 1"),
        {"n": number},
    )
    return list(rows)


async def funds_switched_into(session: AsyncSession, number: int) -> list[str]:
    """Return the funds that switches bought with what their sales at a correction's price brought."""
    rows = await session.scalars(
        text("""select distinct c.fund from correction_switches l join chart c on c.tenant_id = l.tenant_id and c.code = l.units_code
                 where l.correction_no = :n order by 1"""),
        {"n": number},
    )
    return list(rows)


async def hold_range(session: AsyncSession, number: int, range_no: int) -> tuple[int, int] | None:
    """Return the first and last member of a range that is not booked, which nobody else can do then; else None."""
    row = (
        await session.execute(
            text("""select first_member, last_member from correction_ranges
                     where correction_no = :n and range_no = :r and not is_done for update"""),
            {"n": number, "r": range_no},
        )
    ).one_or_none()
    return None if row is None else (row.first_member, row.last_member)


@dataclass(frozen=True, slots=True)
class CorrectionCodes:
    """The control accounts that a correction is booked over; `receivable` by product.

    `others` are, by fund that switches bought, its units issued and its own account of corrections.
    """

    issued: int
    correction: int
    compensation: int
    receivable: dict[str, int]
    others: dict[str, tuple[int, int]]


_HOLD = """
select count(*) from (
  select from balances b join correction_lines l on l.correction_no = %(n)s and l.member_id = b.member_id and b.code in (l.units_code, l.cash_code)
   where l.member_id between %(first)s and %(last)s order by b.member_id, b.code for no key update of b) held
"""
# As `put_right`: units bought too many first, then units for money that was paid too much, then what is left.
_RESULTS = """
insert into correction_results (member_id, issued, taken, paid, owed, borne, made_whole, tenant_id, correction_no, units_code)
select member_id, issued, taken + for_money, paid, case when is_asked then gone else 0 end, case when is_asked then 0 else gone end,
       case when %(party)s then ceil(issued::numeric * %(srm)s / %(srd)s)::bigint + paid else 0 end, %(t)s, %(n)s, units_code
  from (select *, gone >= coalesce(%(limit)s::bigint, 9223372036854775807) as is_asked
          from (select *, (ceil((surplus - taken)::numeric * %(srm)s / %(srd)s) + excess)::bigint - floor_units(for_money, %(srm)s, %(srd)s) as gone
                  from (select *, least(held + issued - taken, floor_units(excess, %(brm)s, %(brd)s)) as for_money
                          from (select l.member_id, l.units_code, h.held, greatest(l.bought, 0) as issued, greatest(-l.bought, 0) as surplus,
                                       greatest(l.sold, 0) as paid, greatest(-l.sold, 0) as excess, least(greatest(-l.bought, 0), h.held) as taken
                                  from correction_lines l
                                 cross join lateral (select coalesce((select b.credits - b.debits from balances b
                                        where b.member_id = l.member_id and b.code = l.units_code), 0) as held) h
                                 where l.correction_no = %(n)s and l.member_id between %(first)s and %(last)s) touched) two) three) four
"""
_MOVES = """select exists (select from correction_results where correction_no = %(n)s and member_id between %(first)s and %(last)s
             and (issued > 0 or taken > 0 or paid > 0 or owed > 0 or borne > 0 or made_whole > 0))
             or exists (select from correction_switches where correction_no = %(n)s and member_id between %(first)s and %(last)s)"""
_BOOK = f"""
with done as materialized (
  select r.*, l.cash_code, c.product from correction_results r
    join correction_lines l on l.member_id = r.member_id and l.correction_no = r.correction_no and l.units_code = r.units_code
    join chart c on c.tenant_id = r.tenant_id and c.code = r.units_code
   where r.correction_no = %(n)s and r.member_id between %(first)s and %(last)s),
owing as (select * from unnest(%(products)s::text[], %(receivables)s::int[]) o(product, code)),
{switches.BOOKED}
rows as materialized (
  select member_id, %(issued)s as debit, units_code as credit, issued as amount from done where issued > 0
  union all select member_id, units_code, %(issued)s, taken from done where taken > 0
  union all select member_id, %(correction)s, cash_code, paid from done where paid > 0
  union all select %(house)s, o.code, %(correction)s, sum(d.owed)::bigint from done d join owing o using (product) where d.owed > 0 group by 2
  union all select %(house)s, %(compensation)s, %(correction)s, sum(borne + made_whole)::bigint from done having sum(borne + made_whole) > 0
  union all select * from switch_rows),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, amount, %(t)s, debit, credit, row_number() over (order by member_id, debit, credit, amount) from rows),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, code, sum(debits)::bigint, sum(credits)::bigint
    from (select debit as code, amount as debits, 0::bigint as credits from rows where debit & 2048 = 0
          union all select credit, 0, amount from rows where credit & 2048 = 0) x group by code)
select coalesce(sum(issued), 0)::bigint, coalesce(sum(taken), 0)::bigint, coalesce(sum(paid), 0)::bigint, coalesce(sum(owed), 0)::bigint,
       coalesce(sum(borne + made_whole), 0)::bigint
  from (select issued, taken, paid, owed, borne, made_whole from done union all select 0, 0, 0, owed, borne, made_whole from switched) all_of_it
"""
# An account may be given units and give some back: first what it is given, so that it never goes below zero.
_CREDIT = """
insert into balances as b (member_id, code, tenant_id, debits, credits)
select t.member_id, t.credit, %(t)s, 0, sum(t.amount)::bigint from transfers t
 where t.event_id = %(event)s and t.member_id <> %(house)s and t.member_id between %(first)s and %(last)s and t.credit & 2048 <> 0
 group by 1, 2 order by 1, 2
on conflict (member_id, code) do update set credits = b.credits + excluded.credits
"""
_DEBIT = """
update balances b set debits = b.debits + o.amount
  from (select t.member_id, t.debit as code, sum(t.amount)::bigint as amount from transfers t
         where t.event_id = %(event)s and t.member_id <> %(house)s and t.member_id between %(first)s and %(last)s and t.debit & 2048 <> 0
         group by 1, 2) o
 where b.member_id = o.member_id and b.code = o.code
"""


async def book_range(
    session: AsyncSession,
    one: Correction,
    range_no: int,
    members: tuple[int, int],
    repricing: Repricing,
    codes: CorrectionCodes,
) -> tuple[int, Figures]:
    """Do what puts a range right; return the event, whose writing is the caller's, and what it came to. 0 where nothing moves.

    Balances are held, in the order of their keys; none goes below zero.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    given: dict[str, object] = {
        "t": tenant, "house": -tenant, "n": one.number, "first": members[0], "last": members[1], "range": range_no,
        "party": one.terms.made_whole_by == "party", "limit": one.terms.pursued_from, **repricing.given(),
        "issued": codes.issued, "correction": codes.correction, "compensation": codes.compensation,
        "products": list(codes.receivable), "receivables": list(codes.receivable.values()), "others": list(codes.others),
        "others_issued": [issued for issued, _ in codes.others.values()], "others_correction": [own for _, own in codes.others.values()],
    }  # fmt: skip
    for statement in (_HOLD, switches.HOLD, _RESULTS, switches.RESULTS):
        await connection.execute(statement, given)
    cursor = await connection.execute(f"select next_batch_id() where ({_MOVES})", given)
    row = await cursor.fetchone()
    event, figures = 0 if row is None else int(row[0]), Figures(0, 0, 0, 0, 0)
    if event:
        given["event"] = event
        cursor = await connection.execute(_BOOK, given)
        booked = await cursor.fetchone()
        assert booked is not None
        await connection.execute(_CREDIT, given)
        await connection.execute(_DEBIT, given)
        figures = Figures(*booked)
    await connection.execute(
        "update correction_ranges set is_done = true, event_id = %s where correction_no = %s and range_no = %s",
        (event, one.number, range_no),
    )
    return event, figures
