"""SQL of moves between products: runs that two people stand for, who is ready to move, and what is sold for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from msgspec import Struct
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.service import MOVES
from engine.ledger import service as ledger
from engine.ledger.rules import Entry
from engine.runtime.database import driver


class MoveRunTerms(Struct, frozen=True, kw_only=True):
    """The rule of a move as it was when it was proposed; see `ProductMoveRule`. `rules` are the versions that decide."""

    act: str
    moves_as: str
    keeps: tuple[str, ...]
    pots: Mapping[str, str]
    both_dates: str
    rules: tuple[str, ...]
    undertaking: str = "ends"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRun:
    """A move of one member (`member_id`), or of everyone in `source` (0), and how far it has come: `moved` of `members`."""

    run_no: int
    member_id: int
    source: str
    target: str
    asked_on: date
    state: str
    digest: str
    maker: str
    checker: str
    has_consent: bool
    members: int
    moved: int
    terms: MoveRunTerms


_RUN = """
select r.run_no, r.member_id, r.source, r.target, r.asked_on, r.state, r.digest, r.has_consent, r.members, r.moved, r.terms,
       m.name as maker, coalesce(k.name, '') as checker
  from move_runs r join actors m on m.tenant_id = r.tenant_id and m.actor_id = r.maker
  left join actors k on k.tenant_id = r.tenant_id and k.actor_id = r.checker
"""


def _run(row: RowMapping) -> MoveRun:
    return MoveRun(**{**row, "terms": msgspec.convert(row["terms"], MoveRunTerms)})


async def hold_moves(session: AsyncSession) -> None:
    """Wait until no other transaction proposes a move; keep others waiting until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7215, :t)"), {"t": session.info["tenant_id"]})


async def open_run(session: AsyncSession, source: str, member_id: int) -> MoveRun | None:
    """Return the run that has not ended and would move the member out of a product, theirs or everyone's; of all members, anyone's."""
    found = await session.execute(
        text(f"""{_RUN} where r.source = :s and r.state in ('proposed', 'approved') and (:m = 0 or r.member_id in (0, :m))
                 order by r.run_no limit 1"""),
        {"s": source, "m": member_id},
    )
    row = found.mappings().one_or_none()
    return None if row is None else _run(row)


async def next_number(session: AsyncSession) -> int:
    """Return the number of a run that is proposed now."""
    found = await session.scalar(text("select coalesce(max(run_no), 0) + 1 from move_runs"))
    assert found is not None
    return int(found)


async def add_run(session: AsyncSession, run: MoveRun, *, maker: int, event_id: int) -> None:
    """Add a proposed run."""
    await session.execute(
        text("""insert into move_runs (tenant_id, run_no, member_id, proposed_event, maker, members, asked_on, source, target, has_consent, digest, terms)
                values (:t, :n, :m, :e, :maker, :members, :on, :s, :into, :consent, :digest, cast(:terms as jsonb))"""),
        {
            "t": session.info["tenant_id"], "n": run.run_no, "m": run.member_id, "e": event_id, "maker": maker, "members": run.members,
            "on": run.asked_on, "s": run.source, "into": run.target, "consent": run.has_consent, "digest": run.digest,
            "terms": msgspec.json.encode(run.terms).decode(),
        },
    )  # fmt: skip


async def find_run(session: AsyncSession, run_no: int, *, hold: bool = False) -> MoveRun | None:
    """Return a run; with `hold`, nobody else can decide or carry it on until the session ends."""
    found = await session.execute(
        text(f"{_RUN} where r.run_no = :n {'for update of r' if hold else ''}"), {"n": run_no}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _run(row)


async def list_runs(session: AsyncSession, *, most: int) -> list[MoveRun]:
    """Return the newest runs, newest first."""
    rows = await session.execute(text(f"{_RUN} order by r.run_no desc limit :most"), {"most": most})
    return [_run(row) for row in rows.mappings()]


async def approved_runs(session: AsyncSession) -> list[int]:
    """Return the numbers of approved runs that are not done."""
    rows = await session.execute(text("select run_no from move_runs where state = 'approved' order by run_no"))
    return [row.run_no for row in rows]


async def decide_run(session: AsyncSession, run_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person approved or rejected a run."""
    await session.execute(
        text("update move_runs set state = :s, checker = :c, decided_event = :e where run_no = :n"),
        {"n": run_no, "s": state, "c": checker, "e": event_id},
    )


async def note_moved(session: AsyncSession, run_no: int, moved: int, *, is_done: bool) -> None:
    """Add to how many members a run has moved; note it as done once nobody is left."""
    await session.execute(
        text(
            "update move_runs set moved = moved + :moved, state = case when :done then 'done' else state end where run_no = :n"
        ),
        {"n": run_no, "moved": moved, "done": is_done},
    )


async def count_members(session: AsyncSession, product: str) -> int:
    """Return how many members are in a product."""
    found = await session.scalar(
        text("select count(*) from memberships where product = :p and moved_to = ''"), {"p": product}
    )
    return int(found or 0)


async def members_in(session: AsyncSession, product: str, *, member_id: int, after: int, most: int) -> list[int]:
    """Return the next members of a product after one, or the one alone while they are in it, by number."""
    rows = await session.execute(
        text("""select member_id from memberships where product = :p and moved_to = '' and member_id > :after
                   and (:m = 0 or member_id = :m) order by member_id limit :most"""),
        {"p": product, "m": member_id, "after": after, "most": most},
    )
    return [row.member_id for row in rows]


async def homeless_pots(session: AsyncSession, product: str, member_id: int, pots: Sequence[str]) -> dict[str, int]:
    """Return what lies in pots of a product that are not among `pots`, of a member or of all who are in it, by pot; units count as such."""
    rows = await session.execute(
        text("""select c.pot, sum(b.credits - b.debits)::bigint as amount from memberships s
                  join balances b on b.member_id = s.member_id and b.credits > b.debits
                  join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind in ('cash', 'units') and c.product = s.product
                 where s.product = :p and s.moved_to = '' and (:m = 0 or s.member_id = :m) and c.pot <> all(:pots)
                 group by c.pot order by 1"""),
        {"p": product, "m": member_id, "pots": list(pots)},
    )
    return {row.pot: row.amount for row in rows}


async def funds_held(session: AsyncSession, product: str, member_id: int) -> set[str]:
    """Return the funds of which a member, or anyone who is in a product, holds units there."""
    rows = await session.execute(
        text("""select distinct c.fund from memberships s
                  join balances b on b.member_id = s.member_id and b.credits > b.debits
                  join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind in ('units', 'selling') and c.product = s.product
                 where s.product = :p and s.moved_to = '' and (:m = 0 or s.member_id = :m)"""),
        {"p": product, "m": member_id},
    )
    return {row.fund for row in rows}


async def hold_money(session: AsyncSession, member_ids: Sequence[int], product: str) -> None:
    """Let nobody else move what members hold in a product until the session ends."""
    connection = await driver(session)
    await connection.execute(
        """select count(*) from (
             select from unnest(%b::bigint[]) w(member_id) join balances b on b.member_id = w.member_id
               join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %s and c.kind in ('cash', 'units', 'selling', 'payable')
              order by b.member_id, b.code for no key update of b) held""",
        (sorted(member_ids), product),
    )


async def bound_members(
    session: AsyncSession, member_ids: Sequence[int], product: str, pots: Sequence[str]
) -> set[int]:
    """Return those who cannot move yet: a claim, a pension or a loan is not over, units are being sold, a payment is taken back, or money is in a pot without a place."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.member_id from unnest(%(m)s::bigint[]) w(member_id)
            where exists (select from benefit_claims b where b.member_id = w.member_id and b.product = %(p)s and b.closed_event = 0
                             and b.state in ('open', 'decided', 'selling'))
               or exists (select from pension_schedules s where s.member_id = w.member_id and s.product = %(p)s and s.is_running)
               or exists (select from reversals r where r.member_id = w.member_id and r.state = 'selling')
               or exists (select from loans l where l.member_id = w.member_id and l.product = %(p)s and l.ended_event = 0)
               or exists (select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(p)s
                           where b.member_id = w.member_id and b.credits > b.debits
                             and (c.kind = 'selling' and c.party <> %(party)s or c.kind in ('cash', 'units') and c.pot <> all(%(pots)s)))""",
        {"m": list(member_ids), "p": product, "pots": list(pots), "party": MOVES},
    )
    return {row[0] for row in await cursor.fetchall()}


# Payments of members into a product, their records merged into them too, and the receipt by which the money of each came.
_PAID_IN = """
with paid_in as (
  select w.member_id, e.member_id as payer, e.event_id,
         case e.kind when 10 then e.member_id else coalesce(nullif(s.of_member, 0), -e.tenant_id) end as first_member,
         case e.kind when 10 then e.event_id else coalesce(nullif(s.of_event, 0), (e.body ->> 'resolves')::bigint) end as first_event
    from unnest(%(m)s::bigint[]) w(member_id) cross join lateral records_of(w.member_id) r
    join events e on e.member_id = r.record_id and e.kind in (10, 12)
    left join suspense s on e.kind = 12 and s.tenant_id = e.tenant_id and s.event_id = (e.body ->> 'resolves')::bigint
   where exists (select from transfers t join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'cash' and c.product = %(p)s
                  where t.member_id = e.member_id and t.event_id = e.event_id))
"""


async def unsettled_members(session: AsyncSession, member_ids: Sequence[int], product: str) -> set[int]:
    """Return those of whose product in funds something is on its way: cash not dealt, units not sold, or the money of sold ones not come."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select w.member_id from unnest(%(m)s::bigint[]) w(member_id)
            where exists (select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = %(p)s
                             and c.kind in ('cash', 'selling') where b.member_id = w.member_id and b.credits > b.debits)
               or exists (select from sales s join chart c on c.tenant_id = s.tenant_id and c.code = s.code and c.product = %(p)s and c.party = %(party)s
                            left join sale_orders o on o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
                           where s.member_id = w.member_id and coalesce(o.settled_event, 0) = 0
                             and not coalesce(o.state = 'priced' and o.amount_confirmed = 0, false))""",
        {"m": list(member_ids), "p": product, "party": MOVES},
    )
    return {row[0] for row in await cursor.fetchall()}


async def put_up(
    session: AsyncSession, member_ids: Sequence[int], codes: Mapping[int, tuple[int, int]]
) -> frozenset[int]:
    """Lay out as `units_put_up`, of this transaction, all units that members hold by code; return whose they are.

    `codes` are, by the code of units, (the code they are sold from, the number of their fund).
    """
    connection = await driver(session)
    await connection.execute(
        """create temporary table if not exists units_put_up (
             member_id bigint, units_code int, selling_code int, fund_id int, units bigint) on commit drop"""
    )
    await connection.execute("truncate units_put_up")
    cursor = await connection.execute(
        """with up as (
             insert into units_put_up
             select b.member_id, b.code, k.selling, k.fund_id, b.credits - b.debits from unnest(%b::bigint[]) w(member_id)
               join balances b on b.member_id = w.member_id and b.credits > b.debits
               join unnest(%b::int[], %b::int[], %b::int[]) k(code, selling, fund_id) on k.code = b.code returning member_id)
           select distinct member_id from up""",
        (list(member_ids), list(codes), [one for one, _ in codes.values()], [fund for _, fund in codes.values()]),
    )
    return frozenset(row[0] for row in await cursor.fetchall())


async def write_put_up(session: AsyncSession, event_id: int, entry: Entry) -> None:
    """Write the event of units that were put up by `event_id`."""
    await ledger.write_gathered_event(session, event_id, entry)


async def next_event(session: AsyncSession) -> int:
    """Return the number of an event that a statement over many members will write."""
    found = await session.scalar(text("select next_batch_id()"))
    assert found is not None
    return int(found)


async def collected_by(session: AsyncSession, member_ids: Sequence[int], product: str) -> dict[int, int]:
    """Return the code of the collection account that the money of units sold for a move came into, by member; the last sale's."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct on (s.member_id) s.member_id, t.debit from unnest(%b::bigint[]) w(member_id)
             join sales s on s.member_id = w.member_id
             join chart c on c.tenant_id = s.tenant_id and c.code = s.code and c.product = %s and c.party = %s
             join sale_orders o on o.tenant_id = s.tenant_id and o.dealing_id = s.dealing_id and o.fund_id = s.fund_id
             join transfers t on t.member_id = -s.tenant_id and t.event_id = o.settled_event
            order by s.member_id, s.event_id desc, s.fund_id""",
        (list(member_ids), product, MOVES),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def unshown_members(session: AsyncSession, member_ids: Sequence[int], product: str) -> set[int]:
    """Return those of whose payments into a product in cash one stands that no statement has shown yet."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""{_PAID_IN}
           select distinct member_id from paid_in p
            where not exists (select from matches m where m.member_id = p.first_member and m.event_id = p.first_event)
              and not exists (select from corrections x where x.corrects_member = p.payer and x.corrects_event = p.event_id)""",
        {"m": list(member_ids), "p": product},
    )
    return {row[0] for row in await cursor.fetchall()}


async def accounts_paid_by(session: AsyncSession, member_ids: Sequence[int], product: str) -> dict[int, int]:
    """Return, by member, the code of the collection account that their last payment into a product in cash came by.

    Who has none, whose money is interest or was taken over, gets the account that holds most.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        f"""{_PAID_IN},
        last as (
          select distinct on (p.member_id) p.member_id, t.debit as code from paid_in p
            join transfers t on t.member_id = p.first_member and t.event_id = p.first_event
            join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'collections' order by p.member_id, p.event_id desc),
        fullest as (
          select c.code from chart c join (select code, debits - credits as held from control_totals union all select code, debits - credits from control_deltas) s
              on s.code = c.code where c.kind = 'collections' group by c.code order by sum(s.held) desc, c.code limit 1)
        select w.member_id, coalesce(last.code, fullest.code) from unnest(%(m)s::bigint[]) w(member_id) left join last using (member_id) cross join fullest""",
        {"m": list(member_ids), "p": product},
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def came_by(session: AsyncSession, member_id: int, event_id: int) -> list[tuple[str, str, str, int]]:
    """Return what a move gave a member, as (pot, origin, fund, amount); the fund is "" of cash."""
    rows = await session.execute(
        text("""select c.pot, c.origin, c.fund, sum(t.amount)::bigint as amount from transfers t
                  join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind in ('cash', 'units')
                 where t.member_id = :m and t.event_id = :e group by 1, 2, 3 order by 1, 2, 3"""),
        {"m": member_id, "e": event_id},
    )
    return [(row.pot, row.origin, row.fund, row.amount) for row in rows]


@dataclass(frozen=True, slots=True)
class Left:
    """A way that members moved, and the pots that theirs became."""

    source: str
    target: str
    pots: Mapping[str, str]


async def ways_with_late_money(session: AsyncSession) -> list[Left]:
    """Return the ways by which members moved to whose old product something came since."""
    rows = await session.execute(
        text("""select distinct p.source, p.target, p.pots from product_moves p
                  join memberships s on s.member_id = p.member_id and s.product = p.source and s.moved_to = p.target
                  join balances b on b.member_id = p.member_id and b.credits > b.debits
                  join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.product = p.source and c.pot = any(select jsonb_object_keys(p.pots))
                   and (c.kind, c.party) in (('cash', ''), ('units', '')) order by 1, 2""")
    )
    return [Left(row.source, row.target, row.pots) for row in rows]


async def with_late_money(
    session: AsyncSession, way: Left, codes: Sequence[int], *, after: int, most: int
) -> list[int]:
    """Return the next members after one who moved that way and to whom something came there since, by number."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct s.member_id from memberships s join balances b on b.member_id = s.member_id and b.credits > b.debits and b.code = any(%s)
            where s.member_id > %s and s.product = %s and s.moved_to = %s and exists (select from product_moves p where p.member_id = s.member_id and p.source = s.product
                                                                    and p.target = s.moved_to and p.pots = %s::jsonb)
            order by 1 limit %s""",
        (list(codes), after, way.source, way.target, msgspec.json.encode(way.pots).decode(), most),
    )
    return [row[0] for row in await cursor.fetchall()]
