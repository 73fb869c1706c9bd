"""SQL of state money: who is entitled to what, claims and their lines, receipts, and how they are shared."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.rules.matching import MatchScale
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import driver
from engine.tenancy.rules.books import Stretch


@dataclass(frozen=True, slots=True)
class MatchClaim:
    """A claim, in smallest units: `total` is what its lines ask for (`asked`) less what they give back (`given_back`) and was `forfeited`.

    `received` is what its funder paid so far, `shared` what of that, and of what was given back, members have.
    """

    claim_no: int
    product: str
    funder: str
    rule: str
    year_from: date
    year_until: date
    prepared_on: date
    state: str
    digest: str
    lines: int
    total: int
    asked: int
    given_back: int
    received: int
    shared: int
    maker: str
    checker: str
    forfeited: int = 0

    @property
    def rules(self) -> list[str]:
        """Return the rules of matches that it was counted by."""
        return self.rule.split(" ")


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """A line of a claim: what a scheme year of a member earned more (or less) than was claimed before, in smallest units."""

    member_id: int
    year_from: date
    member_class: str
    saved: int
    entitled: int
    minor: int


@dataclass(frozen=True, slots=True)
class Shared:
    """What sharing a receipt came to, in smallest units: given to members, taken back, owed back without money."""

    members: int
    given: int
    taken: int
    uncovered: int


_CLAIM = """
select m.claim_no, m.product, m.funder, m.rule, m.year_from, m.year_until, m.prepared_on, m.state, m.digest, m.lines, m.total,
       m.asked, m.given_back, m.received, m.shared, a.name as maker, coalesce(b.name, '') as checker, m.forfeited
  from match_claims m join actors a on a.tenant_id = m.tenant_id and a.actor_id = m.maker
  left join actors b on b.tenant_id = m.tenant_id and b.actor_id = m.checker
"""


async def hold_claims(session: AsyncSession, product: str) -> None:
    """Let nobody else prepare or share a claim of the product until the session ends."""
    await session.execute(
        text("select pg_advisory_xact_lock(hashtextextended('match:' || :t || ':' || :p, 0))"),
        {"t": str(session.info["tenant_id"]), "p": product},
    )


async def find_claim(session: AsyncSession, claim_no: int) -> MatchClaim | None:
    """Return a claim, or None."""
    row = (await session.execute(text(f"{_CLAIM} where m.claim_no = :n"), {"n": claim_no})).one_or_none()
    return None if row is None else MatchClaim(*row)


async def list_claims(session: AsyncSession, *, most: int) -> list[MatchClaim]:
    """Return the newest claims, newest first."""
    rows = await session.execute(text(f"{_CLAIM} order by m.claim_no desc limit :most"), {"most": most})
    return [MatchClaim(*row) for row in rows]


async def claimed_years(session: AsyncSession) -> list[tuple[str, date]]:
    """Return (product, first day) of each scheme year that was claimed for, by product and year."""
    rows = await session.execute(
        text("select distinct product, year_from from match_claims where state <> 'rejected' order by 1, 2")
    )
    return [(row.product, row.year_from) for row in rows]


async def prepared_claim(session: AsyncSession, product: str) -> int | None:
    """Return the number of the product's claim that waits for a second person, or None."""
    found: int | None = await session.scalar(
        text("select claim_no from match_claims where product = :p and state = 'prepared'"), {"p": product}
    )
    return found


# What each member's year is entitled to by `engine.contributions.rules.matching.decide_match`, told apart from what was claimed
# for it before; of records that were merged together. Of what was asked and never paid, the rest is asked again only where the pack says so.
_LINES = """
with scale as (
  select * from unnest(%(classes)s::text[], %(thresholds)s::bigint[], %(up_to)s::bigint[], %(shares)s::bigint[], %(flats)s::bigint[], %(mosts)s::bigint[])
    with ordinality s(class, threshold, up_to, share_bp, flat, most, n)),
who as materialized (
  select s.member_id, s.joined_on,
         coalesce((select a.value from member_attributes a where a.member_id = s.member_id and a.attribute = 'class' and a.as_of <= %(class_on)s
                      and (a.expires_on is null or a.expires_on > %(class_on)s) order by a.as_of desc, a.event_id desc limit 1),
                  nullif(s.person_class, ''), 'any') as class
    from memberships s where s.product = %(product)s and s.joined_on < %(until)s
     and not exists (select from merged_records g where g.member_id = s.member_id)
     and (%(joined_from)s::date is null or s.joined_on >= %(joined_from)s) and (%(joined_until)s::date is null or s.joined_on <= %(joined_until)s)),
saved as (
  select coalesce(g.into_id, e.member_id) as member_id, sum(t.amount * x.sign) filter (where %(net)s or x.sign > 0)::bigint as minor
    from events e join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
    cross join lateral (values (t.credit, 1), (t.debit, -1)) x(code, sign)
    join chart c on c.tenant_id = t.tenant_id and c.code = x.code and c.kind = 'cash' and c.product = %(product)s and c.origin = 'own'
    left join merged_records g on g.member_id = e.member_id
   where e.kind in (10, 12, 13) and e.business_date >= %(since)s and e.business_date < %(until)s and e.member_id > 0 group by 1),
earlier as (
  select member_id, count(*) as years from (
    select distinct coalesce(g.into_id, l.member_id) as member_id, l.year_from from match_claim_lines l join match_claims m using (tenant_id, claim_no)
      left join merged_records g on g.member_id = l.member_id
     where m.product = %(product)s and m.state <> 'rejected' and l.year_from < %(since)s and l.entitled > 0) y group by 1),
claimed as (
  select coalesce(g.into_id, l.member_id) as member_id, sum(case when m.state = 'settled' and %(again)s
                               then coalesce((select sum(s.minor - s.uncovered) from match_shares s where s.member_id = l.member_id
                                               and s.claim_no = l.claim_no and s.year_from = l.year_from), 0)
                               else l.minor end)::bigint as minor
    from match_claim_lines l join match_claims m using (tenant_id, claim_no) left join merged_records g on g.member_id = l.member_id
   where m.product = %(product)s and m.state <> 'rejected' and l.year_from = %(since)s group by 1),
entitled as (
  select w.member_id, s.class, coalesce(v.minor, 0) as saved,
         case when s.class is null then 'no-class' when %(years)s > 0 and coalesce(y.years, 0) >= %(years)s then 'years-used'
              when coalesce(v.minor, 0) < s.threshold then 'below-threshold' when coalesce(v.minor, 0) > s.up_to then 'above-limit'
              else 'no-match' end as nothing,
         case when s.class is null or (%(years)s > 0 and coalesce(y.years, 0) >= %(years)s) or coalesce(v.minor, 0) < s.threshold or coalesce(v.minor, 0) > s.up_to then 0
              when s.flat >= 0 then s.flat
              when %(cap_first)s then least(rounded_ratio(least(coalesce(v.minor, 0)::numeric * s.share_bp, s.most::numeric * 10000), 10000, %(rounding)s), s.most)
              else least(rounded_ratio(coalesce(v.minor, 0)::numeric * s.share_bp, 10000, %(rounding)s), s.most) end as minor
    from who w left join saved v using (member_id) left join earlier y using (member_id)
    left join lateral (select * from scale where scale.class in (w.class, 'any') order by n limit 1) s on true),
due as materialized (
  select e.member_id, coalesce(e.class, '') as class, e.saved, e.minor as entitled, e.nothing, coalesce(c.minor, 0) as before,
         case when %(leaves)s then greatest(e.minor, coalesce(c.minor, 0)) else e.minor end as due
    from entitled e left join claimed c using (member_id)),
zeros as (
  insert into zero_results (member_id, decision_id, basis, tenant_id, subject, reason)
  select member_id, %(decision)s, saved, %(t)s, class, case when due > 0 then 'claimed-before' else nothing end from due where due = before)
insert into match_claim_lines (member_id, minor, entitled, saved, tenant_id, claim_no, year_from, class)
select member_id, due - before, entitled, saved, %(t)s, %(claim)s, %(since)s, class from due where due <> before
"""


async def end_empty(session: AsyncSession, claim_no: int) -> None:
    """End a claim that has no line: nobody decides on it."""
    await session.execute(text("update match_claims set state = 'empty' where claim_no = :n"), {"n": claim_no})


async def begin_claim(
    session: AsyncSession,
    *,
    product: str,
    funder: str,
    rule: str,
    year: tuple[date, date],
    today: date,
    maker: int,
    event_id: int,
) -> int:
    """Begin a claim without lines; return its number."""
    number = await session.scalar(
        text("""insert into match_claims (tenant_id, claim_no, product, funder, rule, year_from, year_until, prepared_on, maker, prepared_event)
                select :t, coalesce(max(claim_no), 0) + 1, :p, :f, :r, :since, :until, :today, :maker, :event from match_claims
                returning claim_no"""),
        {
            "t": session.info["tenant_id"], "p": product, "f": funder, "r": rule, "since": year[0], "until": year[1],
            "today": today, "maker": maker, "event": event_id,
        },
    )  # fmt: skip
    assert number is not None
    return int(number)


async def has_joined(session: AsyncSession, product: str, stretch: Stretch) -> bool:
    """Return whether somebody joined the product on a day of a stretch."""
    return bool(
        await session.scalar(
            text("select exists (select from memberships where product = :p and joined_on between :since and :until)"),
            {"p": product, "since": stretch.joined_from or date.min, "until": stretch.joined_until or date.max},
        )
    )


async def add_lines(
    session: AsyncSession, claim_no: int, product: str, scale: MatchScale, *, claims_again: bool, decision: int
) -> int:
    """Add to a claim what every member's scheme year is entitled to beyond what was claimed for it; return how many lines.

    Whom it gives nothing is noted with the reason, under the claim's `decision`.

    Where one `claims_again`, what a claim asked for and was not paid counts as never claimed once the claim is settled.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        _LINES,
        {
            "t": session.info["tenant_id"], "claim": claim_no, "product": product,
            "classes": [one.member_class for one in scale.steps], "thresholds": [one.threshold for one in scale.steps],
            "up_to": [one.saved_up_to for one in scale.steps], "shares": [one.share_bp for one in scale.steps],
            "flats": [one.flat for one in scale.steps], "mosts": [one.most for one in scale.steps],
            "since": scale.since, "until": scale.until, "class_on": scale.class_on, "net": scale.is_net, "years": scale.years,
            "joined_from": scale.joined_from, "joined_until": scale.joined_until, "cap_first": scale.caps_before_rounding,
            "rounding": scale.rounding, "leaves": scale.leaves_reversals, "again": claims_again,
            "decision": decision,
        },
    )  # fmt: skip
    return cursor.rowcount


async def sum_lines(session: AsyncSession, claim_no: int, digest: str) -> None:
    """Note on a claim how many lines it has, what they come to, and the digest of its file."""
    await session.execute(
        text("""update match_claims m set lines = s.n, total = s.asked - s.back, asked = s.asked, given_back = s.back, digest = :d
                  from (select count(*)::int as n, coalesce(sum(greatest(minor, 0)), 0)::bigint as asked,
                               coalesce(sum(greatest(-minor, 0)), 0)::bigint as back from match_claim_lines where claim_no = :n) s
                 where m.claim_no = :n"""),
        {"n": claim_no, "d": digest},
    )


async def forfeit(session: AsyncSession, claim_no: int, forfeited: int, digest: str) -> None:
    """Note how much of what members forfeited pays part of a claim: its funder pays so much less."""
    await session.execute(
        text("update match_claims set forfeited = :f, total = total - :f, digest = :d where claim_no = :n"),
        {"f": forfeited, "d": digest, "n": claim_no},
    )


async def claim_lines(session: AsyncSession, claim_no: int) -> AsyncIterator[ClaimLine]:
    """Yield a claim's lines by member."""
    connection = await driver(session)
    async with connection.cursor(name="match_lines") as cursor:
        await cursor.execute(
            """select member_id, year_from, class, saved, entitled, minor from match_claim_lines
                where claim_no = %s order by member_id, year_from""",
            (claim_no,),
        )
        async for row in cursor:
            yield ClaimLine(*row)


async def decide_claim(session: AsyncSession, claim_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person sent or rejected a prepared claim."""
    await session.execute(
        text("""update match_claims set state = :s, checker = :c, decided_event = :e
                 where claim_no = :n and state = 'prepared'"""),
        {"n": claim_no, "s": state, "c": checker, "e": event_id},
    )


async def hold_claim(session: AsyncSession, claim_no: int) -> MatchClaim | None:
    """Return a claim that nobody else can change until the session ends, or None."""
    await session.execute(text("select from match_claims where claim_no = :n for update"), {"n": claim_no})
    return await find_claim(session, claim_no)


async def add_receipt(session: AsyncSession, claim_no: int, *, event_id: int, amount: int, code: int) -> None:
    """Note what the funder paid for a claim, into which collection account."""
    await session.execute(
        text(
            """insert into match_receipts (tenant_id, claim_no, event_id, amount, code) values (:t, :n, :e, :a, :c)"""
        ),
        {"t": session.info["tenant_id"], "n": claim_no, "e": event_id, "a": amount, "c": code},
    )
    await session.execute(
        text("update match_claims set received = received + :a where claim_no = :n"), {"a": amount, "n": claim_no}
    )


async def unshared_receipts(session: AsyncSession, claim_no: int) -> list[tuple[int, int, int, bool]]:
    """Return (event, amount, code, is on a statement) of a claim's receipts that were not shared, oldest first."""
    rows = await session.execute(
        text("""select r.event_id, r.amount, r.code,
                       exists (select from matches m where m.member_id = -r.tenant_id and m.event_id = r.event_id) as is_matched
                  from match_receipts r where r.claim_no = :n and r.shared_event = 0 order by r.event_id"""),
        {"n": claim_no},
    )
    return [(row.event_id, row.amount, row.code, row.is_matched) for row in rows]


# What is open of every line; what is given back is given back at once, and adds to what is there to share.
_OPEN = """
create temporary table match_open on commit drop as
select l.member_id, l.year_from, l.minor - coalesce((select sum(s.minor - s.uncovered) from match_shares s
         where s.member_id = l.member_id and s.claim_no = l.claim_no and s.year_from = l.year_from), 0)::bigint as minor
  from match_claim_lines l where l.claim_no = %(claim)s
"""
# In proportion, each part rounded down, what is left to the largest remainders; or the oldest year first. Never more than asked.
_PARTS = """
create temporary table match_parts on commit drop as
with there as (
  select least(%(amount)s + coalesce(sum(greatest(-minor, 0)), 0), coalesce(sum(greatest(minor, 0)), 0)) as amount,
         coalesce(sum(greatest(minor, 0)), 0) as asked from match_open),
rated as (
  select o.member_id, o.year_from, o.minor,
         case when %(pro_rata)s then div(o.minor::numeric * t.amount, t.asked)
              else greatest(least(o.minor, t.amount - (sum(o.minor) over oldest - o.minor)), 0) end as part,
         case when %(pro_rata)s then o.minor::numeric * t.amount - div(o.minor::numeric * t.amount, t.asked) * t.asked else 0 end as rest,
         t.amount as whole
    from match_open o cross join there t where o.minor > 0
  window oldest as (order by o.year_from, o.member_id))
select member_id, year_from,
       (part + case when row_number() over (order by rest desc, year_from, member_id) <= whole - sum(part) over () and rest > 0 then 1 else 0 end)::bigint as minor
  from rated
union all
select member_id, year_from, minor from match_open where minor < 0
"""
_BOOK = """
with pots as (
  select split, code, bp, is_odd, n from unnest(%(splits)s::int[], %(codes)s::int[], %(bps)s::int[], %(odd)s::boolean[]) with ordinality p(split, code, bp, is_odd, n)),
given as (
  select m.member_id, p.code, p.n, p.is_odd, m.minor, div(m.minor::numeric * p.bp, 10000)::bigint as part,
         mod(m.minor::numeric * p.bp, 10000) as rest
    from (select member_id, sum(minor)::bigint as minor from match_parts where minor > 0 group by 1) m
    left join memberships s on s.member_id = m.member_id and s.product = %(product)s
    left join unnest(%(days)s::date[], %(split_of)s::int[]) d(joined_on, split) on d.joined_on = s.joined_on
    join pots p on p.split = coalesce(d.split, 0)),
credited as materialized (
  select member_id, code, part + case
           when bool_or(is_odd) over w then case when is_odd then minor - sum(part) over w else 0 end
           when row_number() over (partition by member_id order by rest desc, n) <= minor - sum(part) over w then 1 else 0 end as minor
    from given window w as (partition by member_id)),
wanted as (
  select member_id, -sum(minor)::bigint as minor from match_parts where minor < 0 group by 1),
held as materialized (
  select b.member_id, b.code, b.credits - b.debits as free, w.minor as wanted,
         sum(b.credits - b.debits) over (partition by b.member_id order by b.code) - (b.credits - b.debits) as before
    from wanted w join balances b on b.member_id = w.member_id and b.code = any(%(codes)s)),
taken as materialized (
  select member_id, code, least(free, wanted - before)::bigint as minor from held where before < wanted and free > 0),
owed as materialized (
  select w.member_id, w.minor - coalesce(sum(t.minor), 0)::bigint as minor from wanted w left join taken t using (member_id)
   group by w.member_id, w.minor having w.minor > coalesce(sum(t.minor), 0)),
rows as materialized (
  select member_id, code, minor, row_number() over (order by member_id, code, sign) as line, sign
    from (select member_id, code, minor, 1 as sign from credited where minor > 0
          union all select member_id, code, minor, -1 from taken) r),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(event)s, minor, %(t)s, case sign when 1 then %(receivable)s else code end, case sign when 1 then code else %(receivable)s end, line from rows
  union all
  select %(house)s, %(event)s, sum(minor)::bigint, %(t)s, %(overpaid)s, %(receivable)s, 0 from owed having sum(minor) > 0),
opened as (
  insert into balances as b (member_id, code, tenant_id, debits, credits)
  select member_id, code, %(t)s, 0, sum(minor)::bigint from rows where sign = 1 group by 1, 2 order by 1, 2
  on conflict (member_id, code) do update set credits = b.credits + excluded.credits returning 1),
closed as (
  update balances b set debits = b.debits + t.minor from taken t where b.member_id = t.member_id and b.code = t.code returning 1),
noted as (
  insert into match_shares (member_id, event_id, minor, uncovered, tenant_id, claim_no, year_from)
  select p.member_id, %(event)s, case when p.minor > 0 then p.minor else p.minor + coalesce(o.minor, 0) end, case when p.minor < 0 then coalesce(o.minor, 0) else 0 end,
         %(t)s, %(claim)s, p.year_from
    from match_parts p left join owed o using (member_id) where p.minor <> 0),
sums as (
  select coalesce(sum(minor) filter (where sign = 1), 0)::bigint as given, coalesce(sum(minor) filter (where sign = -1), 0)::bigint as taken,
         count(distinct member_id)::int as members, (select coalesce(sum(minor), 0)::bigint from owed) as uncovered from rows),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(event)s, x.code, x.debits, x.credits from sums s
   cross join lateral (values (%(receivable)s, s.given, s.taken + s.uncovered), (%(overpaid)s, s.uncovered, 0::bigint)) x(code, debits, credits)
   where x.debits + x.credits > 0)
select members, given, taken, uncovered from sums
"""


@dataclass(frozen=True, slots=True)
class Split:
    """How state money is split among pots: the members' accounts, one a pot, its basis points, and whether it takes what rounding leaves."""

    codes: tuple[int, ...]
    share_bps: tuple[int, ...]
    odd: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a receipt is shared: by each member's split among pots, `odd_pot` taking what rounding leaves; and how it is booked.

    `splits` are the ways to split, by number from 0; `split_of` says which is whose, by the day of joining `product`.
    """

    product: str
    splits: tuple[Split, ...]
    split_of: Mapping[date, int]
    is_pro_rata: bool
    receivable: int
    overpaid: int
    day: date
    actor: int
    pack: int
    decision: int
    facts: dict[str, object]


async def share_receipt(
    session: AsyncSession, claim: MatchClaim, receipt: int, amount: int, how: Sharing
) -> tuple[int, Shared]:
    """Share a receipt of a claim among its lines as one event of the house; return the event and what it came to.

    The caller holds the claim. Whatever the claim gives back is taken first, as far as members have state money.
    """
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    cursor = await connection.execute("select next_batch_id()")
    row = await cursor.fetchone()
    assert row is not None
    given = {
        "t": tenant, "house": -tenant, "event": int(row[0]), "claim": claim.claim_no, "amount": amount, "pro_rata": how.is_pro_rata,
        "splits": [number for number, one in enumerate(how.splits) for _ in one.codes],
        "codes": [code for one in how.splits for code in one.codes],
        "bps": [bp for one in how.splits for bp in one.share_bps], "odd": [is_odd for one in how.splits for is_odd in one.odd],
        "product": how.product, "days": list(how.split_of), "split_of": list(how.split_of.values()),
        "receivable": how.receivable, "overpaid": how.overpaid,
    }  # fmt: skip
    await connection.execute(_OPEN, given)
    await connection.execute(_PARTS, given)
    await connection.execute("analyze match_parts")
    await connection.execute(
        """select count(*) from (select from balances where member_id in (select member_id from match_parts) and code = any(%(codes)s)
             order by member_id, code for no key update) h""",
        given,
    )
    cursor = await connection.execute(_BOOK, given)
    booked = await cursor.fetchone()
    assert booked is not None
    shared = Shared(*booked)
    facts = {**how.facts, "claim": claim.claim_no, "receipt": str(receipt), "members": shared.members, "given": str(shared.given),
             "taken": str(shared.taken), "uncovered": str(shared.uncovered)}  # fmt: skip
    entry = Entry(
        member_id=-tenant,
        kind=EventKind.MATCH_SHARED,
        business_date=how.day,
        actor=how.actor,
        pack=how.pack,
        decision=how.decision,
        body=facts,
    )
    await ledger.write_gathered_event(session, int(row[0]), entry)
    await connection.execute(
        "update match_receipts set shared_event = %(event)s where event_id = %(receipt)s", {**given, "receipt": receipt}
    )
    await connection.execute(
        "update match_claims set shared = shared + %s, state = 'settled' where claim_no = %s",
        (shared.given, claim.claim_no),
    )
    return int(row[0]), shared


async def joining_days(session: AsyncSession, claim_no: int, product: str) -> list[date]:
    """Return the days on which the members of a claim's lines joined its product."""
    rows = await session.execute(
        text("""select distinct s.joined_on from match_claim_lines l join memberships s on s.member_id = l.member_id and s.product = :p
                 where l.claim_no = :n order by 1"""),
        {"n": claim_no, "p": product},
    )
    return [row.joined_on for row in rows]


async def members_shared_with(session: AsyncSession, event_id: int) -> Sequence[int]:
    """Return the members with whom an event shared state money."""
    rows = await session.execute(
        text("select distinct member_id from match_shares where event_id = :e and minor > 0 order by 1"),
        {"e": event_id},
    )
    return [row.member_id for row in rows]


async def unsent_claims(session: AsyncSession, funder: str, since: date) -> list[int]:
    """Return the numbers of a funder's claims, let go and prepared on or after a day, whose files are not staged to leave."""
    rows = await session.scalars(
        text("""select claim_no from match_claims
                 where tenant_id = :t and funder = :funder and state = 'sent' and prepared_on >= :since
                   and claim_no::text not in (select about from outgoing_files
                                               where tenant_id = :t and kind = 'match-claim' and state <> 'rejected')
                 order by claim_no"""),
        {"t": session.info["tenant_id"], "funder": funder, "since": since},
    )
    return [int(one) for one in rows]
