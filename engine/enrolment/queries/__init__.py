"""SQL of enrolment: what was answered before, and which products members are in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.queries import deaths, identifiers, undertakings, verifications
from engine.enrolment.rules import KnownAgain, RegisterWord
from engine.ledger.rules import Law
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class EarlierEnrolment:
    """An enrolment that holds a claim."""

    member_id: int
    body_digest: int


async def earlier_enrolments(session: AsyncSession, claims: Sequence[UUID]) -> dict[UUID, EarlierEnrolment]:
    """Return the enrolments that hold those claims, committed or this transaction's own."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select c.digest, m.member_id, e.body_digest
             from unnest(%b::uuid[]) w(digest)
            cross join lateral (select digest, event_id from claims where digest = w.digest limit 1) c
            cross join lateral (
              select member_id, enrolled_event from members where enrolled_event = c.event_id limit 1) m
            cross join lateral (
              select body_digest from events where member_id = m.member_id and event_id = m.enrolled_event limit 1) e""",
        (list(claims),),
    )
    return {row[0]: EarlierEnrolment(row[1], row[2]) for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Membership:
    """A member's place in a product: `joined_on` is what rules count from, `from_on` when they came into this one.

    The rest is what joining decided: the entry age (None where none is kept), by when something is outstanding (None:
    nothing is), the class of people and the level of how well the member is known ("" where the product has none).
    """

    member_id: int
    product: str
    joined_on: date
    from_on: date
    group_code: str
    entry_age: int | None = None
    completes_on: date | None = None
    person_class: str = ""
    level: str = ""


async def memberships(session: AsyncSession, member_ids: Sequence[int]) -> dict[int, tuple[Membership, ...]]:
    """Return the products each of those members is in, by joining date and code; of who went to another scheme, those they were in last."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select s.member_id, s.product, s.joined_on, s.from_on, s.group_code, s.entry_age, s.completes_on, s.person_class, s.level
             from unnest(%b::bigint[]) w(member_id) join memberships s on s.member_id = w.member_id
            where s.moved_to = '' or s.moved_to = s.product and exists (select from handed_members h where h.member_id = s.member_id)
            order by s.member_id, s.joined_on, s.product""",
        (list(member_ids),),
    )
    found: dict[int, tuple[Membership, ...]] = {}
    for row in await cursor.fetchall():
        found[row[0]] = (*found.get(row[0], ()), Membership(*row))
    return found


async def was_ever_in(session: AsyncSession, member_id: int, product: str) -> bool:
    """Return whether a member is in a product, or was and moved on."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select exists (select from memberships where member_id = %s and product = %s)", (member_id, product)
    )
    (found,) = (await cursor.fetchall())[0]
    return bool(found)


async def products_behind(session: AsyncSession, member_id: int, product: str) -> list[str]:
    """Return the product and those whose place with this member it has taken, whole, by moves: their history is its own."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with recursive behind as (
             select %(product)s::text as product
             union
             select s.product from memberships s join behind b on s.moved_to = b.product where s.member_id = %(m)s)
           select product from behind order by product""",
        {"product": product, "m": member_id},
    )
    return [row[0] for row in await cursor.fetchall()]


async def add_memberships(session: AsyncSession, joined: Sequence[tuple[Membership, int]]) -> None:
    """Add memberships with the events that made them."""
    connection = await driver(session)
    await connection.execute(
        """insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code,
                                    entry_age, completes_on, person_class, level)
           select w.member_id, w.event_id, %s, w.joined_on, w.from_on, w.product, w.group_code,
                  w.entry_age, w.completes_on, w.person_class, w.level
             from unnest(%b::bigint[], %b::bigint[], %b::date[], %b::date[], %b::text[], %b::text[],
                         %b::smallint[], %b::date[], %b::text[], %b::text[])
                  w(member_id, event_id, joined_on, from_on, product, group_code, entry_age, completes_on, person_class, level)""",
        (
            session.info["tenant_id"],
            [one.member_id for one, _ in joined],
            [event_id for _, event_id in joined],
            [one.joined_on for one, _ in joined],
            [one.from_on for one, _ in joined],
            [one.product for one, _ in joined],
            [one.group_code for one, _ in joined],
            [one.entry_age for one, _ in joined],
            [one.completes_on for one, _ in joined],
            [one.person_class for one, _ in joined],
            [one.level for one, _ in joined],
        ),
    )


async def antedate(session: AsyncSession, member_id: int, product: str, joined_on: date) -> None:
    """Let a member have joined a product on a day, if they joined it later."""
    connection = await driver(session)
    await connection.execute(
        "update memberships set joined_on = %s where member_id = %s and product = %s and joined_on > %s",
        (joined_on, member_id, product, joined_on),
    )


async def antedate_many(session: AsyncSession, joined: Sequence[tuple[int, str, date]]) -> None:
    """Let each (member, product) have joined on a day, where they joined later."""
    connection = await driver(session)
    await connection.execute(
        """update memberships s set joined_on = w.joined_on from unnest(%b::bigint[], %b::text[], %b::date[]) w(member_id, product, joined_on)
            where s.member_id = w.member_id and s.product = w.product and s.joined_on > w.joined_on""",
        ([row[0] for row in joined], [row[1] for row in joined], [row[2] for row in joined]),
    )


async def carry_joinings(session: AsyncSession, member_ids: Sequence[int], source: str, target: str) -> None:
    """Keep in the product that members moved into what joining the one they left decided, where it has nothing of its own."""
    connection = await driver(session)
    await connection.execute(
        """update memberships n set entry_age = o.entry_age, completes_on = o.completes_on,
                                    person_class = o.person_class, level = o.level
             from unnest(%b::bigint[]) w(member_id) join memberships o on o.member_id = w.member_id and o.product = %s
            where n.member_id = w.member_id and n.product = %s and n.entry_age is null""",
        (list(member_ids), source, target),
    )


async def with_money_on_its_way(session: AsyncSession, member_ids: Sequence[int], product: str) -> set[int]:
    """Return those whose cash of the product is in a dealing that is not priced: its order is made of it."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct a.member_id from unnest(%b::bigint[]) w(member_id)
             join allocations a on a.member_id = w.member_id
             join dealings d on d.tenant_id = a.tenant_id and d.dealing_id = a.dealing_id
             left join orders o on o.tenant_id = a.tenant_id and o.dealing_id = a.dealing_id and o.fund_id = a.fund_id
            where d.product = %s and o.state is distinct from 'priced'""",
        (list(member_ids), product),
    )
    return {row[0] for row in await cursor.fetchall()}


async def move_members(
    session: AsyncSession,
    member_ids: Sequence[int],
    codes: Sequence[tuple[int, int]],
    *,
    source: str,
    target: str,
    facts: Mapping[str, object],
    is_late: bool,
    recorded_at: datetime,
    business_date: date,
    actor: int,
    pack: int,
    decision: int,
) -> dict[int, int]:
    """Move members' balances from codes to codes, and their memberships with them unless `is_late`; return the event of each."""
    if not member_ids:
        return {}
    connection = await driver(session)
    cursor = await connection.execute(
        "select * from move_members(%s, %s, %s, %s, %s, %s, %b::bigint[], %b::int[], %b::int[], %s, %s, %s, %s)",
        (
            session.info["tenant_id"],
            recorded_at,
            business_date,
            actor,
            pack,
            decision,
            list(member_ids),
            [one for one, _ in codes],
            [other for _, other in codes],
            source,
            target,
            msgspec.json.encode(facts).decode(),
            is_late,
        ),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class MoveInto:
    """A move of a member into a product: what of the product left counts on (`keeps`), and what its pots became."""

    event_id: int
    moved_on: date
    source: str
    target: str
    keeps: frozenset[str]
    pots: Mapping[str, str]


async def moves_of(session: AsyncSession, member_id: int) -> list[MoveInto]:
    """Return a member's moves between products, the first first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select event_id, moved_on, source, target, keeps, pots from product_moves
            where member_id in (select record_id from records_of(%s)) order by event_id""",
        (member_id,),
    )
    return [
        MoveInto(event, on, source, target, frozenset(keeps), pots)
        for event, on, source, target, keeps, pots in await cursor.fetchall()
    ]


async def merge_memberships(session: AsyncSession, *, goes: int, stays: int, event_id: int, on: date) -> None:
    """Give the record that stays the places of the one that goes: the earlier joining counts, with what it decided.

    The places of the one that goes end in the same product, where the other's go on. What registers said of it is said of the other.
    """
    connection = await driver(session)
    for statement in (
        """insert into memberships as n (member_id, since_event, tenant_id, joined_on, from_on, product, group_code, moved_to,
                                         entry_age, completes_on, person_class, level)
           select %(stays)s, %(event)s, tenant_id, joined_on, %(on)s, product, group_code, moved_to, entry_age, completes_on, person_class, level
             from memberships where member_id = %(goes)s
           on conflict (member_id, product) do update set
             entry_age = case when excluded.joined_on < n.joined_on then coalesce(excluded.entry_age, n.entry_age) else n.entry_age end,
             joined_on = least(n.joined_on, excluded.joined_on),
             completes_on = case when n.completes_on is null or excluded.completes_on is null then null else greatest(n.completes_on, excluded.completes_on) end,
             person_class = coalesce(nullif(n.person_class, ''), excluded.person_class), level = coalesce(nullif(n.level, ''), excluded.level),
             since_event = case when n.moved_to <> '' and excluded.moved_to = '' then excluded.since_event else n.since_event end,
             moved_to = case when '' in (n.moved_to, excluded.moved_to) then '' else n.moved_to end""",
        "update memberships set moved_to = product where member_id = %(goes)s and moved_to = ''",
        """insert into member_attributes (tenant_id, member_id, event_id, as_of, expires_on, attribute, value, source)
           select tenant_id, %(stays)s, event_id, as_of, expires_on, attribute, value, source from member_attributes
            where member_id = %(goes)s on conflict do nothing""",
    ):
        await connection.execute(statement, {"goes": goes, "stays": stays, "event": event_id, "on": on})


async def end_memberships(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """End all places of members who go to another scheme, each in its own product."""
    connection = await driver(session)
    await connection.execute(
        "update memberships set moved_to = product where member_id = any(%b::bigint[]) and moved_to = ''",
        (list(member_ids),),
    )


async def add_attributes(
    session: AsyncSession, rows: Sequence[tuple[int, int, date, date | None, str, str, str]]
) -> None:
    """Add words of registers: (member_id, event_id, as_of, expires_on, attribute, value, source)."""
    connection = await driver(session)
    await connection.execute(
        """insert into member_attributes (tenant_id, member_id, event_id, as_of, expires_on, attribute, value, source)
           select %s, * from unnest(%b::bigint[], %b::bigint[], %b::date[], %b::date[], %b::text[], %b::text[], %b::text[])""",
        (session.info["tenant_id"], *([row[n] for row in rows] for n in range(7))),
    )


async def known_again(session: AsyncSession, asked: Sequence[tuple[int, str, date]]) -> list[KnownAgain]:
    """Return what is known of (member_id, product) on a day, in the order asked: by one statement, however many."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select s.entry_age, s.completes_on, coalesce(s.level, ''), said.words
             from unnest(%b::bigint[], %b::text[], %b::date[]) with ordinality w(member_id, product, on_day, n)
             left join memberships s on s.member_id = w.member_id and s.product = w.product
            cross join lateral (
              select coalesce(jsonb_object_agg(a.attribute, jsonb_build_array(a.value, a.as_of, a.expires_on)), '{}') as words
                from (select distinct on (attribute) attribute, value, as_of, expires_on from member_attributes m
                       where m.member_id = w.member_id and m.as_of <= w.on_day order by attribute, as_of desc, event_id desc) a) said
            order by w.n""",
        ([one for one, _, _ in asked], [product for _, product, _ in asked], [on for _, _, on in asked]),
    )
    return [
        KnownAgain(
            entry_age=row[0],
            completes_on=row[1],
            level=row[2],
            words={attribute: _word(*word) for attribute, word in row[3].items()},
        )
        for row in await cursor.fetchall()
    ]


def _word(value: str, as_of: str, expires_on: str | None) -> RegisterWord:
    day = date.fromisoformat(as_of)
    return RegisterWord(value, day, day, date.fromisoformat(expires_on) if expires_on else None)


LAWS: tuple[Law, ...] = (
    *verifications.LAWS,
    *identifiers.LAWS,
    *deaths.LAWS,
    *undertakings.LAWS,
    Law(
        "memberships-are-whole",
        "every member is in a product since the event that says so, who moved on is in the product they moved to, and a merged record, and who went to another scheme, in none",
        """select m.member_id::text, 'a product'::text, 'none'::text from members m
            where not exists (select from merged_records g where g.member_id = m.member_id)
              and not exists (select from handed_members h where h.member_id = m.member_id)
              and not exists (select from memberships s where s.member_id = m.member_id and s.moved_to = '')
           union all
           select s.member_id::text, s.moved_to, 'not in it' from memberships s
            where s.moved_to <> '' and not exists (
              select from memberships n where n.member_id = s.member_id and n.product = s.moved_to)
           union all
           select s.member_id::text, 'an event of joining or moving', 'none' from memberships s
             left join events e on e.member_id = s.member_id and e.event_id = s.since_event
            where e.kind is null or e.kind not in (1, 5, 6, 270)
           union all
           select s.member_id::text, 'no product', s.product from memberships s
            where s.moved_to = '' and (exists (select from merged_records g where g.member_id = s.member_id)
                                       or exists (select from handed_members h where h.member_id = s.member_id))""",
    ),
    Law(
        "who-moved-on-holds-nothing-there",
        "of the units that a member had in a product as they moved out of it, none is left there",
        """select p.member_id::text, '0'::text, sum(case when t.credit = c.code then t.amount else -t.amount end)::text
             from product_moves p join chart c on c.tenant_id = p.tenant_id and c.kind = 'units' and c.product = p.source
             join transfers t on t.member_id = p.member_id and t.event_id <= p.event_id and c.code in (t.debit, t.credit)
            group by p.member_id, p.event_id, c.code having sum(case when t.credit = c.code then t.amount else -t.amount end) <> 0""",
    ),
    Law(
        "moves-are-their-events",
        "every move of a member is one event, which took nothing from and gave nothing to anyone else, and each event is a move",
        """select format('member %s', coalesce(p.member_id, e.member_id)), coalesce(p.event_id::text, 'no move'), coalesce(e.event_id::text, 'no event')
             from product_moves p full join (select member_id, event_id from events where kind = 6) e using (member_id, event_id)
            where p.member_id is null or e.member_id is null
           union all
           select format('event %s', t.event_id), 'within the member''s own accounts', format('%s to %s', d.kind, k.kind)
             from product_moves p join transfers t on t.member_id = p.member_id and t.event_id = p.event_id
             join chart d on d.code = t.debit join chart k on k.code = t.credit
            where t.debit & 2048 = 0 or t.credit & 2048 = 0 or d.product <> p.source or k.product <> p.target""",
    ),
)
