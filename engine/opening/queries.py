"""SQL of opening balances: staging, comparing with what the manifest says, posting by ranges; and their laws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger import service as ledger
from engine.ledger.rules import Entry, Law
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class OpeningRow:
    """A scheme that is taken over; see the table. `done` of its `ranges` are posted."""

    opening_no: int
    state: str
    source: str
    as_of: date
    digest: str
    members: int
    staged_at: datetime
    staged_by: str
    decided_at: datetime | None
    decided_by: str | None
    pack: int
    approved_event: int
    finished_event: int
    ranges: int
    done: int


@dataclass(frozen=True, slots=True)
class StagedMember:
    """A member to be enrolled, or to be credited as `known_as`, as `opening_members` keeps them."""

    member_id: int
    range_no: int
    row_no: int
    joined_on: date
    first_contribution_on: date | None
    last_withdrawal_on: date | None
    number_index: UUID
    file: str
    product: str
    document: bytes
    known_as: int = 0


@dataclass(frozen=True, slots=True)
class StagedHolding:
    """A row of holdings: whose, by the index of their old number; of which product; in which account; how much, at what cost."""

    row: int
    number_index: UUID
    product: str
    code: int
    amount: int
    cost: int


@dataclass(frozen=True, slots=True)
class StagedPaid:
    """A row of history, as `StagedHolding`."""

    row: int
    number_index: UUID
    product: str
    pot: str
    origin: str
    paid_on: date
    minor: int
    payments: int


_OPENING = """
select o.opening_no, o.state, o.source, o.as_of, o.digest, o.members, o.staged_at, s.name, o.decided_at, d.name, o.pack,
       o.approved_event, o.finished_event,
       (select count(*)::int from opening_ranges r where r.tenant_id = o.tenant_id and r.opening_no = o.opening_no),
       (select count(*)::int from opening_ranges r where r.tenant_id = o.tenant_id and r.opening_no = o.opening_no and r.is_done)
  from openings o join actors s on s.tenant_id = o.tenant_id and s.actor_id = o.staged_by
  left join actors d on d.tenant_id = o.tenant_id and d.actor_id = o.decided_by
"""


async def list_openings(session: AsyncSession, *, most: int) -> list[OpeningRow]:
    """Return the openings of the tenant, the newest first."""
    rows = await session.execute(text(f"{_OPENING} order by o.opening_no desc limit :most"), {"most": most})
    return [OpeningRow(*row) for row in rows]


async def find_opening(session: AsyncSession, opening_no: int, *, hold: bool = False) -> OpeningRow | None:
    """Return an opening; with `hold`, nobody else can decide on it until the session ends."""
    row = (
        await session.execute(
            text(f"{_OPENING} where o.opening_no = :n {'for update of o' if hold else ''}"), {"n": opening_no}
        )
    ).one_or_none()
    return None if row is None else OpeningRow(*row)


async def opening_of(session: AsyncSession, digest: str) -> OpeningRow | None:
    """Return the opening of those files that was not rejected."""
    row = (
        await session.execute(text(f"{_OPENING} where o.digest = :d and o.state <> 'rejected'"), {"d": digest})
    ).one_or_none()
    return None if row is None else OpeningRow(*row)


async def hold_staging(session: AsyncSession) -> None:
    """Let nobody else stage an opening until the session ends."""
    await session.execute(text("select pg_advisory_xact_lock(7103, :t)"), {"t": session.info["tenant_id"]})


async def add_opening(
    session: AsyncSession, *, digest: str, source: str, as_of: date, members: int, at: datetime, actor: int, pack: int, manifest: object
) -> int:  # fmt: skip
    """Add an opening; return its number."""
    number = await session.scalar(
        text("""insert into openings (tenant_id, opening_no, state, digest, source, as_of, members, staged_at, staged_by, pack, manifest)
                select :t, coalesce(max(opening_no), 0) + 1, 'staged', :digest, :source, :as_of, :members, :at, :actor, :pack,
                       cast(:manifest as jsonb) from openings returning opening_no"""),
        {
            "t": session.info["tenant_id"], "digest": digest, "source": source, "as_of": as_of, "members": members, "at": at,
            "actor": actor, "pack": pack, "manifest": msgspec.json.encode(manifest).decode(),
        },
    )  # fmt: skip
    assert number is not None
    return int(number)


async def add_members(session: AsyncSession, opening_no: int, members: Sequence[StagedMember]) -> None:
    """Stage members."""
    connection = await driver(session)
    await connection.execute(
        """insert into opening_members (tenant_id, opening_no, member_id, range_no, row_no, joined_on, first_contribution_on,
                                        last_withdrawal_on, number_index, file, product, document, known_as)
           select %s, %s, * from unnest(%b::bigint[], %b::int[], %b::int[], %b::date[], %b::date[], %b::date[], %b::uuid[],
                                        %b::text[], %b::text[], %b::bytea[], %b::bigint[])""",
        (
            session.info["tenant_id"],
            opening_no,
            *([getattr(one, name) for one in members] for name in StagedMember.__slots__),
        ),
    )


async def add_holdings(
    session: AsyncSession, opening_no: int, rows: Sequence[StagedHolding]
) -> list[tuple[int, str, str]]:
    """Stage holdings; return (row, field, member's product) of those that cannot be: "old_number", "product" or "repeated"."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with given as (
             select g.*, m.member_id, m.product as own,
                    row_number() over (partition by m.member_id, g.code order by g.row_no) as nth
               from unnest(%(rows)b::int[], %(indexes)b::uuid[], %(products)b::text[], %(codes)b::int[], %(amounts)b::bigint[], %(costs)b::bigint[])
                    g(row_no, number_index, product, code, amount, cost)
               left join opening_members m on m.tenant_id = %(t)s and m.opening_no = %(n)s and m.number_index = g.number_index),
           kept as (
             insert into opening_holdings (tenant_id, opening_no, member_id, code, amount, cost)
             select %(t)s, %(n)s, member_id, code, amount, cost from given where own = product and nth = 1
             on conflict do nothing returning member_id, code)
           select g.row_no, case when g.member_id is null then 'old_number' when g.own <> g.product then 'product' else 'repeated' end,
                  coalesce(g.own, '')
             from given g left join kept k on k.member_id = g.member_id and k.code = g.code and g.nth = 1
            where k.member_id is null order by g.row_no""",
        {
            "t": session.info["tenant_id"], "n": opening_no, "rows": [one.row for one in rows],
            "indexes": [one.number_index for one in rows], "products": [one.product for one in rows],
            "codes": [one.code for one in rows], "amounts": [one.amount for one in rows], "costs": [one.cost for one in rows],
        },
    )  # fmt: skip
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def add_history(session: AsyncSession, opening_no: int, rows: Sequence[StagedPaid]) -> list[tuple[int, str, str]]:
    """Stage history; returns as `add_holdings`."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with given as (
             select g.*, m.member_id, m.product as own,
                    row_number() over (partition by m.member_id, g.pot, g.origin, g.paid_on order by g.row_no) as nth
               from unnest(%(rows)b::int[], %(indexes)b::uuid[], %(products)b::text[], %(pots)b::text[], %(origins)b::text[],
                           %(days)b::date[], %(amounts)b::bigint[], %(payments)b::int[])
                    g(row_no, number_index, product, pot, origin, paid_on, minor, payments)
               left join opening_members m on m.tenant_id = %(t)s and m.opening_no = %(n)s and m.number_index = g.number_index),
           kept as (
             insert into opening_history (tenant_id, opening_no, member_id, paid_on, product, pot, origin, minor, payments)
             select %(t)s, %(n)s, member_id, paid_on, product, pot, origin, minor, payments from given where own = product and nth = 1
             on conflict do nothing returning member_id, paid_on, pot, origin)
           select g.row_no, case when g.member_id is null then 'old_number' when g.own <> g.product then 'product' else 'repeated' end,
                  coalesce(g.own, '')
             from given g left join kept k
               on k.member_id = g.member_id and k.paid_on = g.paid_on and k.pot = g.pot and k.origin = g.origin and g.nth = 1
            where k.member_id is null order by g.row_no""",
        {
            "t": session.info["tenant_id"], "n": opening_no, "rows": [one.row for one in rows],
            "indexes": [one.number_index for one in rows], "products": [one.product for one in rows], "pots": [one.pot for one in rows],
            "origins": [one.origin for one in rows], "days": [one.paid_on for one in rows], "amounts": [one.minor for one in rows],
            "payments": [one.payments for one in rows],
        },
    )  # fmt: skip
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def held(session: AsyncSession, opening_no: int) -> dict[int, tuple[int, int]]:
    """Return what members of an opening hold in all, by account code: (amount, cost)."""
    rows = await session.execute(
        text(
            """select code, sum(amount)::bigint, sum(cost)::bigint from opening_holdings where opening_no = :n group by code"""
        ),
        {"n": opening_no},
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def paid(session: AsyncSession, opening_no: int) -> dict[tuple[str, str, str], int]:
    """Return what members of an opening paid in all, by product, pot and origin."""
    rows = await session.execute(
        text(
            """select product, pot, origin, sum(minor)::bigint from opening_history where opening_no = :n group by 1, 2, 3"""
        ),
        {"n": opening_no},
    )
    return {(row[0], row[1], row[2]): row[3] for row in rows}


async def add_controls(session: AsyncSession, opening_no: int, rows: Sequence[tuple[int, int, int]]) -> None:
    """Keep what stands against members' holdings: (code, code of the opening account, amount)."""
    await session.execute(
        text("""insert into opening_controls (tenant_id, opening_no, code, opening_code, amount)
                select :t, :n, * from unnest(cast(:codes as int[]), cast(:openings as int[]), cast(:amounts as bigint[]))"""),
        {
            "t": session.info["tenant_id"], "n": opening_no, "codes": [row[0] for row in rows],
            "openings": [row[1] for row in rows], "amounts": [row[2] for row in rows],
        },
    )  # fmt: skip


async def controls(session: AsyncSession, opening_no: int) -> list[tuple[int, int, int]]:
    """Return what `add_controls` kept."""
    rows = await session.execute(
        text("select code, opening_code, amount from opening_controls where opening_no = :n order by code"),
        {"n": opening_no},
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def control_scales(session: AsyncSession, opening_no: int) -> list[tuple[int, int, int]]:
    """Return (account code, decimals of what it counts, smallest units) of what `add_controls` kept."""
    rows = await session.execute(
        text("""select o.code, a.scale, o.amount from opening_controls o
                  join assets a on a.tenant_id = o.tenant_id and a.asset_id = o.code >> 12
                 where o.opening_no = :n order by o.code"""),
        {"n": opening_no},
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def add_ranges(session: AsyncSession, opening_no: int) -> None:
    """Lay out the ranges of the staged members."""
    await session.execute(
        text("""insert into opening_ranges (tenant_id, opening_no, range_no, members)
                select tenant_id, opening_no, range_no, count(*) from opening_members where opening_no = :n group by 1, 2, 3"""),
        {"n": opening_no},
    )


async def decide_opening(
    session: AsyncSession, opening_no: int, *, state: str, actor: int, at: datetime, event_id: int
) -> None:
    """Note what a second person decided."""
    await session.execute(
        text("""update openings set state = :state, decided_by = :actor, decided_at = :at,
                       approved_event = case when :state = 'approved' then :event else 0 end where opening_no = :n"""),
        {"n": opening_no, "state": state, "actor": actor, "at": at, "event": event_id},
    )


async def members_of(session: AsyncSession, opening_no: int) -> list[int]:
    """Return the members of an opening who are to be enrolled."""
    rows = await session.execute(
        text("select member_id from opening_members where opening_no = :n and known_as = 0"), {"n": opening_no}
    )
    return [row[0] for row in rows]


async def forget(session: AsyncSession, opening_no: int, range_no: int | None = None) -> None:
    """Destroy what is personal in the staged members of a range, or of all."""
    await session.execute(
        text("""update opening_members set document = null, number_index = null
                 where opening_no = :n and (cast(:r as int) is null or range_no = :r)"""),
        {"n": opening_no, "r": range_no},
    )


async def open_ranges(session: AsyncSession, opening_no: int) -> list[int]:
    """Return the ranges that are not done."""
    rows = await session.execute(
        text("select range_no from opening_ranges where opening_no = :n and not is_done order by range_no"),
        {"n": opening_no},
    )
    return [row[0] for row in rows]


async def hold_range(
    session: AsyncSession, opening_no: int, range_no: int
) -> list[tuple[int, date, int, bytes]] | None:
    """Return (member, joined on, known as, document) of a range that is not done, which nobody else can do then; else None."""
    found = await session.scalar(
        text("select members from opening_ranges where opening_no = :n and range_no = :r and not is_done for update"),
        {"n": opening_no, "r": range_no},
    )
    if found is None:
        return None
    connection = await driver(session)
    cursor = await connection.execute(
        """select member_id, joined_on, known_as, document from opening_members
            where opening_no = %s and range_no = %s order by member_id""",
        (opening_no, range_no),
        binary=True,
    )
    return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


_POST = """
with held as materialized (
  select case when m.known_as = 0 then m.member_id else m.known_as end as member_id, h.code, h.amount, o.code as opening,
         row_number() over (order by h.member_id, h.code) as line
    from opening_members m join opening_holdings h on h.member_id = m.member_id
    join chart o on o.tenant_id = h.tenant_id and o.kind = 'opening' and o.code / 4096 = h.code / 4096
   where m.opening_no = %(n)s and m.range_no = %(r)s),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(e)s, amount, %(t)s, opening, code, line from held),
credited as (
  insert into balances as b (member_id, code, tenant_id, debits, credits)
  select member_id, code, %(t)s, 0, amount from held order by member_id, code
  on conflict (member_id, code) do update set credits = b.credits + excluded.credits),
-- Of members who are here already what they paid in there counts as that of savings that came from another scheme.
paid as (
  insert into transfer_history (member_id, event_id, minor, tenant_id, paid_on, product, pot, origin)
  select m.known_as, %(e)s, h.minor, %(t)s, h.paid_on, h.product, h.pot, h.origin from opening_members m
    join opening_history h on h.member_id = m.member_id where m.opening_no = %(n)s and m.range_no = %(r)s and m.known_as <> 0),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(e)s, opening, sum(amount)::bigint, 0 from held group by opening)
select count(*)::int, count(distinct member_id)::int from held
"""


async def post_range(
    session: AsyncSession, opening_no: int, range_no: int, entry: Entry, facts: Mapping[str, object]
) -> int:
    """Post what a range's members held, as one event of the house: opening account to members. Returns the event, 0 if none."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select next_batch_id() where exists (
             select from opening_members m where m.opening_no = %s and m.range_no = %s
                and (exists (select from opening_holdings h where h.member_id = m.member_id)
                     or m.known_as <> 0 and exists (select from opening_history h where h.member_id = m.member_id)))""",
        (opening_no, range_no),
    )
    row = await cursor.fetchone()
    event = 0 if row is None else int(row[0])
    if event:
        cursor = await connection.execute(
            _POST, {"n": opening_no, "r": range_no, "e": event, "t": session.info["tenant_id"]}
        )
        lines = await cursor.fetchone()
        assert lines is not None
        body = {**facts, "members": lines[1], "holdings": lines[0]}
        await ledger.write_gathered_event(session, event, msgspec.structs.replace(entry, body=body))
    await session.execute(
        text("update opening_ranges set is_done = true, event_id = :e where opening_no = :n and range_no = :r"),
        {"n": opening_no, "r": range_no, "e": event},
    )
    return event


async def agreed_texts(session: AsyncSession, opening_no: int) -> frozenset[tuple[str, str]]:
    """Return (consent, version) of the texts that the manifest of an opening lets stand."""
    rows = await session.execute(
        text("""select t ->> 'consent', t ->> 'version' from openings o
                 cross join jsonb_array_elements(coalesce(o.manifest -> 'texts', '[]')) t where o.opening_no = :n"""),
        {"n": opening_no},
    )
    return frozenset((row[0], row[1]) for row in rows)


async def with_cash(session: AsyncSession, event_id: int) -> list[int]:
    """Return the members whom an event gave money."""
    rows = await session.execute(
        text("""select distinct t.member_id from transfers t
                  join chart c on c.tenant_id = t.tenant_id and c.code = t.credit and c.kind = 'cash' where t.event_id = :e"""),
        {"e": event_id},
    )
    return [row[0] for row in rows]


async def finish_opening(session: AsyncSession, opening_no: int, event_id: int) -> None:
    """Note an opening as finished."""
    await session.execute(
        text("update openings set state = 'finished', finished_event = :e where opening_no = :n"),
        {"n": opening_no, "e": event_id},
    )


LAWS: tuple[Law, ...] = (
    Law(
        "openings-are-the-old-books",
        "every member of a range that is posted opened with exactly what the old books said, by pot, origin and fund",
        """
        with posted as (
          select r.event_id, r.opening_no, r.range_no from opening_ranges r where r.is_done),
        due as (
          select case when m.known_as = 0 then m.member_id else m.known_as end as member_id, h.code, h.amount, p.event_id from posted p
            join opening_members m on m.opening_no = p.opening_no and m.range_no = p.range_no
            join opening_holdings h on h.member_id = m.member_id),
        booked as (
          select t.member_id, t.credit as code, sum(t.amount) as amount, t.event_id from posted p
            join transfers t on t.event_id = p.event_id where p.event_id <> 0 group by 1, 2, 4)
        select format('member %s, account %s', to_hex(member_id), code), coalesce(d.amount, 0)::text, coalesce(b.amount, 0)::text
          from due d full join booked b using (member_id, code, event_id) where d.amount is distinct from b.amount
        """,
    ),
    Law(
        "the-opening-account-ends-at-zero",
        "the opening account holds what stands against ranges that are not posted yet, and nothing once all are",
        """
        with booked as (
          select c.code, sum(case when t.credit = c.code then t.amount else -t.amount end) as amount
            from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'opening' group by 1),
        waiting as (
          select c.code, sum(h.amount) as amount from openings o
            join opening_ranges r on r.opening_no = o.opening_no and not r.is_done
            join opening_members m on m.opening_no = r.opening_no and m.range_no = r.range_no
            join opening_holdings h on h.member_id = m.member_id
            join chart c on c.kind = 'opening' and c.code / 4096 = h.code / 4096
           where o.state = 'approved' group by 1)
        select format('opening account %s', code), coalesce(w.amount, 0)::text, coalesce(b.amount, 0)::text
          from booked b full join waiting w using (code) where coalesce(b.amount, 0) <> coalesce(w.amount, 0)
        """,
    ),
    Law(
        "openings-are-decided-by-two",
        "whoever approved opening balances is not who staged them, and every member of a posted range is enrolled",
        """
        select format('opening %s', opening_no), 'two people', 'one' from openings where decided_by = staged_by and state <> 'rejected'
        union all
        select format('member %s', to_hex(m.member_id)), 'enrolled', 'not' from opening_members m
          join opening_ranges r on r.opening_no = m.opening_no and r.range_no = m.range_no and r.is_done
         where not exists (select from members e where e.member_id = case when m.known_as = 0 then m.member_id else m.known_as end)
        """,
    ),
)
