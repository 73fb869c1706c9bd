"""SQL of mergers: proposals, who is ready, handing over by ranges, closing rounds, their files; and the laws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Law
from engine.mergers.rules import MergerReceipt, MergerTerms, Place
from engine.runtime.database import driver

_PAID = [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.SUSPENSE_RESOLVED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merger:
    """A merger as two people stand for it; `checker` is "" until it is decided."""

    merger_no: int
    state: str
    digest: str
    effective_on: date
    maker: str
    checker: str
    terms: MergerTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round of a merger: the first hands everybody over, later ones what came late."""

    merger_no: int
    round_no: int
    state: str
    members: int
    closed_on: date | None
    digest: str
    receipt: MergerReceipt | None


_MERGER = """
select r.merger_no, r.state, r.digest, r.effective_on, m.name as maker, coalesce(k.name, '') as checker, r.terms
  from mergers r join actors m on m.tenant_id = r.tenant_id and m.actor_id = r.maker
  left join actors k on k.tenant_id = r.tenant_id and k.actor_id = r.checker
"""
_ROUND = "select merger_no, round_no, state, members, closed_on, digest, receipt from hand_overs"


def _merger(row: RowMapping) -> Merger:
    return Merger(**{**row, "terms": msgspec.convert(row["terms"], MergerTerms)})


def _round(row: RowMapping) -> Round:
    receipt = row["receipt"]
    return Round(**{**row, "receipt": msgspec.convert(receipt, MergerReceipt) if receipt else None})


async def hold_mergers(session: AsyncSession) -> None:
    """Wait until no other transaction proposes a merger or begins a round; keep others waiting until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7217, :t)"), {"t": session.info["tenant_id"]})


async def standing(session: AsyncSession) -> Merger | None:
    """Return the merger that was not rejected; None where the scheme goes nowhere."""
    found = await session.execute(text(f"{_MERGER} where r.state <> 'rejected'"))
    row = found.mappings().one_or_none()
    return None if row is None else _merger(row)


async def find_merger(session: AsyncSession, merger_no: int, *, hold: bool = False) -> Merger | None:
    """Return a merger; with `hold`, nobody else can decide on it until the session ends."""
    found = await session.execute(
        text(f"{_MERGER} where r.merger_no = :n {'for update of r' if hold else ''}"), {"n": merger_no}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _merger(row)


async def list_mergers(session: AsyncSession) -> list[Merger]:
    """Return all mergers, newest first: at most one that was not rejected."""
    rows = await session.execute(text(f"{_MERGER} order by r.merger_no desc limit 100"))
    return [_merger(row) for row in rows.mappings()]


async def add_merger(
    session: AsyncSession, *, digest: str, terms: MergerTerms, maker: int, event_id: int
) -> int:  # fmt: skip
    """Add a proposed merger; return its number."""
    number = await session.scalar(
        text("""insert into mergers (tenant_id, merger_no, proposed_event, maker, effective_on, into_scheme, source, digest, terms)
                select :t, coalesce(max(merger_no), 0) + 1, :e, :maker, :on, :into, :source, :digest, cast(:terms as jsonb) from mergers
                returning merger_no"""),
        {
            "t": session.info["tenant_id"], "e": event_id, "maker": maker, "on": terms.effective_on, "into": terms.into_scheme,
            "source": terms.source, "digest": digest, "terms": msgspec.json.encode(terms).decode(),
        },
    )  # fmt: skip
    assert number is not None
    return int(number)


async def decide_merger(session: AsyncSession, merger_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note what a second person decided."""
    await session.execute(
        text("update mergers set state = :s, checker = :c, decided_event = :e where merger_no = :n"),
        {"n": merger_no, "s": state, "c": checker, "e": event_id},
    )


# -- rounds


async def rounds(session: AsyncSession, merger_no: int) -> list[Round]:
    """Return the rounds of a merger, the first first."""
    rows = await session.execute(text(f"{_ROUND} where merger_no = :n order by round_no"), {"n": merger_no})
    return [_round(row) for row in rows.mappings()]


async def find_round(session: AsyncSession, merger_no: int, round_no: int, *, hold: bool = False) -> Round | None:
    """Return a round; with `hold`, nobody else can change it until the session ends."""
    found = await session.execute(
        text(f"{_ROUND} where merger_no = :n and round_no = :r {'for update' if hold else ''}"),
        {"n": merger_no, "r": round_no},
    )
    row = found.mappings().one_or_none()
    return None if row is None else _round(row)


async def begin_round(session: AsyncSession, merger_no: int, round_no: int) -> None:
    """Begin a round."""
    await session.execute(
        text("insert into hand_overs (tenant_id, merger_no, round_no) values (:t, :n, :r)"),
        {"t": session.info["tenant_id"], "n": merger_no, "r": round_no},
    )


async def close_round(
    session: AsyncSession, merger_no: int, round_no: int, *, members: int, on: date, event_id: int
) -> None:
    """Close a round: nobody is handed over in it any more."""
    await session.execute(
        text("""update hand_overs set state = 'closed', members = :m, closed_on = :on, closed_event = :e
                 where merger_no = :n and round_no = :r"""),
        {"n": merger_no, "r": round_no, "m": members, "on": on, "e": event_id},
    )


async def file_round(session: AsyncSession, merger_no: int, round_no: int, digest: str) -> None:
    """Note that the files of a round are made, and what stands for them."""
    await session.execute(
        text("update hand_overs set state = 'filed', digest = :d where merger_no = :n and round_no = :r"),
        {"n": merger_no, "r": round_no, "d": digest},
    )


async def end_round(
    session: AsyncSession, merger_no: int, round_no: int, receipt: MergerReceipt, *, event_id: int
) -> None:
    """Note that the other scheme has taken a round in, as its receipt says."""
    await session.execute(
        text("""update hand_overs set state = 'taken-in', taken_in_event = :e, receipt = cast(:receipt as jsonb)
                 where merger_no = :n and round_no = :r"""),
        {"n": merger_no, "r": round_no, "e": event_id, "receipt": msgspec.json.encode(receipt).decode()},
    )


# -- who is ready

_GOING = """
select m.member_id from members m
 where m.tenant_id = %(t)s and m.member_id > %(after)s
   and (m.status = 'active'
        or m.status = 'handed-over' and exists (
             select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind in ('cash', 'units') and c.party = ''
              where b.member_id = m.member_id and b.credits > b.debits))
 order by m.member_id limit %(most)s
"""


async def going(session: AsyncSession, *, after: int, most: int) -> list[int]:
    """Return the next members after one who are to be handed over, or to whom something came since they were, by number."""
    connection = await driver(session)
    cursor = await connection.execute(_GOING, {"t": session.info["tenant_id"], "after": after, "most": most})
    return [row[0] for row in await cursor.fetchall()]


async def hold_money(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Let nobody else move what members hold until the session ends."""
    connection = await driver(session)
    await connection.execute(
        """select count(*) from (select from balances b where b.member_id = any(%b::bigint[])
                                  order by b.member_id, b.code for no key update of b) held""",
        (sorted(member_ids),),
    )


# What is on its way finishes under the old book. `who` are the members asked about.
_OBSTACLES = """
with who as materialized ({who})
select w.member_id, 'claim' as reason from who w where exists (
  select from benefit_claims b where b.member_id = w.member_id and b.closed_event = 0 and b.state in ('open', 'decided', 'selling', 'pledged', 'asked'))
union all
select w.member_id, 'pension' from who w where exists (select from pension_schedules s where s.member_id = w.member_id and s.is_running)
union all
select w.member_id, 'loan' from who w where exists (select from loans l where l.member_id = w.member_id and l.ended_event = 0)
union all
select distinct d.member_id, 'death' from death_notices d where d.member_id in (select member_id from who) and d.state in ('doubtful', 'confirmed', 'reversal-proposed')
union all
select distinct v.member_id, 'payment-taken-back' from reversals v where v.member_id in (select member_id from who) and v.state in ('proposed', 'waiting', 'selling')
union all
select distinct n.member_id, 'number-change' from number_changes n where n.member_id in (select member_id from who) and n.state in ('proposed', 'contested', 'found')
union all
select distinct l.member_id, 'fund-action' from fund_action_lines l join fund_actions a on a.tenant_id = l.tenant_id and a.action_no = l.action_no
 where l.member_id in (select member_id from who) and a.state in ('proposed', 'approved')
union all
select distinct p.member_id, 'payout' from payouts p where p.member_id in (select member_id from who) and p.state in ('created', 'approved', 'sent', 'pending')
union all
select distinct r.member_id, 'move' from move_runs r where r.member_id in (select member_id from who) and r.state in ('proposed', 'approved')
union all
select distinct l.member_id, 'fee' from fee_lines l join fee_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no
 where l.member_id in (select member_id from who) and r.state in ('counting', 'proposed', 'approved')
union all
select distinct l.member_id, 'price-correction' from correction_lines l join price_corrections p on p.tenant_id = l.tenant_id and p.correction_no = l.correction_no
 where l.member_id in (select member_id from who) and p.state in ('proposed', 'approved')
union all
select w.member_id, 'premium' from who w where exists (select from premiums p where p.member_id = w.member_id and p.state = 'due')
    or exists (select from premium_lines l join premium_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no
                where l.member_id = w.member_id and r.state in ('counting', 'proposed', 'approved'))
union all
select distinct a.member_id, 'annuity-purchase' from annuity_purchases a where a.member_id in (select member_id from who) and a.state = 'due'
union all
select w.member_id, 'transfer' from who w where exists (select from transfers_out o where o.member_id = w.member_id and o.state = 'open')
    or exists (select from transfers_in i where i.member_id = w.member_id and i.state in ('staged', 'approved'))
union all
select distinct d.member_id, 'direct-debit' from debits d where d.member_id in (select member_id from who) and d.state in ('prepared', 'asked', 'pending')
union all
select distinct m.member_id, 'record-merge' from record_merges r cross join lateral (values (r.member_id), (r.into_id)) m(member_id)
 where m.member_id in (select member_id from who) and r.state = 'proposed'
union all
select distinct l.member_id, 'handing-over-of-unclaimed' from unclaimed_lines l join unclaimed_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no
 where l.member_id in (select member_id from who) and r.state in ('proposed', 'approved')
union all
select w.member_id, 'interest-run' from who w
 where exists (select from interest_runs i join memberships s on s.product = i.product where not i.is_done and s.member_id = w.member_id)
union all
select b.member_id, case when bool_or(c.kind not in ('cash', 'units') or c.party <> '') then 'money-on-its-way'
                         when bool_or(c.kind = 'cash' and c.product = any(%(in_funds)s)) then 'order' else 'no-place' end
  from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code
 where b.member_id in (select member_id from who) and b.credits > b.debits
   and (c.kind not in ('cash', 'units') or c.party <> '' or c.kind = 'cash' and c.product = any(%(in_funds)s) or b.code <> all(%(codes)s))
 group by b.member_id
union all
select s.member_id, 'two-products' from memberships s join unnest(%(olds)s::text[], %(news)s::text[]) k(old, new) on k.old = s.product
 where s.moved_to = '' and s.member_id in (select member_id from who) group by s.member_id having count(distinct k.new) > 1
"""
_GIVEN = "select member_id from unnest(%(members)s::bigint[]) g(member_id)"
_ALL = "select member_id from members where status in ('active', 'handed-over')"


@dataclass(frozen=True, slots=True)
class Ways:
    """Where accounts go: by code, (product, pot, origin, fund) there and the factor of the amount; and products, pots by pots.

    `in_funds` are the old products whose cash is on its way into a fund.
    """

    codes: Mapping[int, tuple[Place, int, int]]
    products: Mapping[str, str]
    pots: Mapping[tuple[str, str], str]
    groups: Mapping[tuple[str, str], str]
    in_funds: tuple[str, ...]

    def asked(self) -> dict[str, object]:
        """Return the parameters of `_OBSTACLES`."""
        return {
            "in_funds": list(self.in_funds),
            "codes": list(self.codes),
            "olds": list(self.products),
            "news": list(self.products.values()),
        }


async def obstacles(session: AsyncSession, ways: Ways, member_ids: Sequence[int]) -> set[int]:
    """Return those of whom something runs that must end first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"select distinct member_id from ({_OBSTACLES.format(who=_GIVEN)}) o",
        {**ways.asked(), "members": list(member_ids)},
    )
    return {row[0] for row in await cursor.fetchall()}


async def count_obstacles(session: AsyncSession, ways: Ways) -> dict[str, int]:
    """Return of how many members each reason keeps them from being handed over, by reason."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select reason, count(distinct o.member_id)::int from ({_OBSTACLES.format(who=_ALL)}) o
              join members m on m.member_id = o.member_id
             where m.status = 'active' or reason <> 'money-on-its-way' group by 1 order by 1""",
        ways.asked(),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Held:
    """What all members hold in an account, and what that is in the other scheme; smallest units."""

    code: int
    members: int
    amount: int
    new_amount: int


_KEYS = (
    "unnest(%(codes)s::int[], %(numerators)s::numeric[], %(denominators)s::numeric[]) k(code, numerator, denominator)"
)


def _keys(ways: Ways) -> dict[str, object]:
    return {
        "codes": list(ways.codes),
        "numerators": [numerator for _, numerator, _ in ways.codes.values()],
        "denominators": [denominator for _, _, denominator in ways.codes.values()],
    }


async def holdings(session: AsyncSession, ways: Ways) -> list[Held]:
    """Return what members hold now in accounts that have a place, by code."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select b.code, count(*)::int, sum(b.credits - b.debits)::bigint,
                   sum(div((b.credits - b.debits)::numeric * k.numerator, k.denominator))::bigint
              from {_KEYS} join balances b on b.code = k.code and b.tenant_id = %(t)s and b.credits > b.debits group by 1 order by 1""",
        {**_keys(ways), "t": session.info["tenant_id"]},
    )
    return [Held(*row) for row in await cursor.fetchall()]


async def count_members(session: AsyncSession) -> int:
    """Return how many members are to be handed over."""
    return int(await session.scalar(text("select count(*) from members where status = 'active'")) or 0)


async def fund_decimals(session: AsyncSession) -> dict[str, int]:
    """Return to how many decimals the units of each fund are counted, by its code."""
    rows = await session.execute(text("select code, unit_scale from funds"))
    return {row[0]: row[1] for row in rows}


async def places_used(session: AsyncSession, ways: Ways) -> dict[str, int]:
    """Return how many members hold money or units in accounts without a place there, by the account's name."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select concat_ws(' ', c.product, c.pot, c.origin, nullif(c.fund, '')), count(*)::int from chart c
             join balances b on b.tenant_id = c.tenant_id and b.code = c.code and b.credits > b.debits
            where c.kind in ('cash', 'units') and c.party = '' and c.code <> all(%s) group by 1 order by 1""",
        (list(ways.codes),),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


# -- handing over a range

_MEMBERS = """
insert into handed_members (member_id, tenant_id, merger_no, round_no, joined_on, first_contribution_on, last_withdrawal_on, product, group_code)
select w.member_id, %(t)s, %(n)s, %(r)s, s.joined_on,
       (select min(x.on_day) from (
          select min(h.paid_on) as on_day from hand_over_history h where h.member_id = w.member_id
          union all select o.first_contribution_on from opened_as(w.member_id) a join opening_members o on o.member_id = a.member_id) x),
       (select max(x.on_day) from (
          select e.business_date as on_day from records_of(w.member_id) r join benefit_claims b on b.member_id = r.record_id and b.payable_event <> 0 and b.closed_event = 0
            join events e on e.member_id = b.member_id and e.event_id = b.payable_event
          union all select o.last_withdrawal_on from opened_as(w.member_id) a join opening_members o on o.member_id = a.member_id) x),
       s.product, s.group_code
  from unnest(%(members)s::bigint[]) w(member_id)
 cross join lateral (
   select min(m.joined_on) over () as joined_on, p.new as product, coalesce(g.new, m.group_code) as group_code from memberships m
     join unnest(%(olds)s::text[], %(news)s::text[]) p(old, new) on p.old = m.product
     left join unnest(%(group_products)s::text[], %(group_olds)s::text[], %(group_news)s::text[]) g(product, old, new)
       on g.product = m.product and g.old = m.group_code
    where m.member_id = w.member_id and m.moved_to = '' order by m.joined_on, m.product limit 1) s
 where not exists (select from handed_members h where h.member_id = w.member_id)
"""

# What was paid in by day, in the other scheme's places, less in proportion what earlier benefits gave back, and less what an
# earlier round told of. Shares are differences of rounded sums, so that they add up.
_HISTORY = """
insert into hand_over_history (member_id, minor, tenant_id, merger_no, round_no, payments, paid_on, product, pot, origin)
with who as materialized (select g.member_id, r.record_id from unnest(%(members)s::bigint[]) g(member_id) cross join lateral records_of(g.member_id) r),
paid as materialized (
  select w.member_id, h.paid_on, h.product, h.pot, h.origin, h.minor, h.payments from who w join opening_history h on h.member_id = w.record_id
  union all
  select w.member_id, h.paid_on, h.product, h.pot, h.origin, h.minor, 1 from who w join transfer_history h on h.member_id = w.record_id
  union all
  select w.member_id, e.business_date, c.product, c.pot, c.origin, (t.amount * x.sign)::bigint, 1 from who w
    join transfers t on t.member_id = w.record_id join events e on e.event_id = t.event_id and e.member_id in (t.member_id, %(house)s)
   cross join lateral (values (t.credit, 1), (t.debit, -1)) x(code, sign)
    join chart c on c.tenant_id = t.tenant_id and c.code = x.code and c.kind = 'cash'
   where (e.kind = any(%(paid)s) and x.sign = 1 or e.kind = %(shared)s)
     and not exists (select from corrections k where k.corrects_member = e.member_id and k.corrects_event = e.event_id)),
days as (
  select p.member_id, p.paid_on, k.product, k.pot, p.origin, sum(p.minor) filter (where p.minor > 0) as minor,
         coalesce(-sum(p.minor) filter (where p.minor < 0), 0) as back, (sum(p.payments) filter (where p.minor > 0))::int as payments
    from paid p join unnest(%(pot_products)s::text[], %(pot_olds)s::text[], %(pot_intos)s::text[], %(pot_news)s::text[]) k(old_product, old, product, pot)
      on k.old_product = p.product and k.old = p.pot group by 1, 2, 3, 4, 5),
given_back as (
  select d.member_id, sum(d.back) + coalesce((select sum(b.returned) from who w join benefit_claims b on b.member_id = w.record_id and b.state = 'payable' and b.closed_event = 0
                                               where w.member_id = d.member_id), 0) as back from days d group by 1),
shares as (
  select d.*, sum(d.minor) over whole as total, sum(d.minor) over ordered as upto, g.back as given_back
    from days d join given_back g using (member_id) where d.minor > 0
  window whole as (partition by d.member_id), ordered as (partition by d.member_id order by d.paid_on, d.product, d.pot, d.origin rows unbounded preceding)),
kept as (
  select s.*, greatest(s.total - s.given_back, 0) as left_of from shares s),
rests as (
  select k.member_id, k.paid_on, k.product, k.pot, k.origin, k.payments,
         (div(k.upto * k.left_of, k.total) - div((k.upto - k.minor) * k.left_of, k.total)
          - coalesce((select sum(h.minor) from hand_over_history h where (h.member_id, h.paid_on, h.product, h.pot, h.origin)
                                                                     = (k.member_id, k.paid_on, k.product, k.pot, k.origin)), 0))::bigint as minor from kept k)
select member_id, minor, %(t)s, %(n)s, %(r)s, payments, paid_on, product, pot, origin from rests where minor > 0
"""

_POST = """
with who as materialized (select g.member_id, r.record_id from unnest(%(members)s::bigint[]) g(member_id) cross join lateral records_of(g.member_id) r),
acquired as materialized (
  select w.member_id, c.fund, c.origin, sum(case when t.credit = c.code then t.amount else -t.amount end) as units from who w
    join transfers t on t.member_id = w.record_id join chart c on c.tenant_id = t.tenant_id and c.code in (t.debit, t.credit) and c.kind = 'units'
    join chart o on o.tenant_id = t.tenant_id and o.code = case when t.credit = c.code then t.debit else t.credit end and o.kind in ('units-issued', 'opening')
   group by 1, 2, 3),
spent as materialized (
  select member_id, fund, origin, sum(minor) as minor from (
    select w.member_id, o.fund, c.origin, t.amount as minor from who w join transfers t on t.member_id = w.record_id
      join chart c on c.tenant_id = t.tenant_id and c.code = t.debit and c.kind = 'cash'
      join chart o on o.tenant_id = t.tenant_id and o.code = t.credit and o.kind = 'orders-in-transit'
    union all
    select w.member_id, c.fund, c.origin, h.cost from who w cross join lateral opened_as(w.record_id) a join opening_holdings h on h.member_id = a.member_id
      join chart c on c.tenant_id = h.tenant_id and c.code = h.code and c.kind = 'units') s group by 1, 2, 3),
held as materialized (
  select b.member_id, b.code, b.credits - b.debits as amount, h.code as control, k.product, k.pot, c.origin, k.fund,
         div((b.credits - b.debits)::numeric * k.numerator, k.denominator)::bigint as new_amount,
         case when c.kind = 'units' and a.units > 0 then div(least(b.credits - b.debits, a.units) * coalesce(s.minor, 0), a.units) else 0 end::bigint as cost,
         row_number() over (order by b.member_id, b.code) as line
    from unnest(%(members)s::bigint[]) w(member_id) join balances b on b.member_id = w.member_id and b.credits > b.debits
    join unnest(%(codes)s::int[], %(products)s::text[], %(pots)s::text[], %(funds)s::text[], %(numerators)s::numeric[], %(denominators)s::numeric[])
         k(code, product, pot, fund, numerator, denominator) on k.code = b.code
    join chart c on c.tenant_id = b.tenant_id and c.code = b.code
    join chart h on h.tenant_id = b.tenant_id and h.kind = 'handed-over' and h.code / 4096 = b.code / 4096
    left join acquired a on a.member_id = b.member_id and a.fund = c.fund and a.origin = c.origin
    left join spent s on s.member_id = b.member_id and s.fund = c.fund and s.origin = c.origin),
moved as (
  insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
  select member_id, %(e)s, amount, %(t)s, code, control, line from held),
debited as (
  update balances b set debits = b.debits + h.amount from held h where b.member_id = h.member_id and b.code = h.code),
deltas as (
  insert into control_deltas (tenant_id, batch_id, code, debits, credits)
  select %(t)s, %(e)s, control, 0, sum(amount)::bigint from held group by control),
kept as (
  insert into hand_over_lines (member_id, event_id, amount, cost, new_amount, tenant_id, merger_no, round_no, code, product, pot, origin, fund)
  select member_id, %(e)s, amount, cost, new_amount, %(t)s, %(n)s, %(r)s, code, product, pot, origin, fund from held)
select count(*)::int, count(distinct member_id)::int from held
"""


async def hand_over_range(
    session: AsyncSession,
    one: Round,
    ways: Ways,
    member_ids: Sequence[int],
    entry: Entry,
) -> int:
    """Hand members over, as one event of the house: their accounts to `handed-over`. Returns the event, 0 where nobody holds anything."""
    connection = await driver(session)
    given = {"members": list(member_ids), "t": session.info["tenant_id"], "n": one.merger_no, "r": one.round_no}
    await connection.execute(
        _HISTORY,
        {
            **given,
            "house": -session.info["tenant_id"],
            "paid": _PAID,
            "shared": int(EventKind.MATCH_SHARED),
            "pot_products": [product for product, _ in ways.pots],
            "pot_olds": [pot for _, pot in ways.pots],
            "pot_intos": [ways.products[product] for product, _ in ways.pots],
            "pot_news": list(ways.pots.values()),
        },
    )
    await connection.execute(
        _MEMBERS,
        {
            **given,
            "olds": list(ways.products),
            "news": list(ways.products.values()),
            "group_products": [product for product, _ in ways.groups],
            "group_olds": [group for _, group in ways.groups],
            "group_news": list(ways.groups.values()),
        },
    )
    cursor = await connection.execute(
        """select next_batch_id() where exists (
             select from balances b where b.member_id = any(%s::bigint[]) and b.code = any(%s::int[]) and b.credits > b.debits)""",
        (list(member_ids), list(ways.codes)),
    )
    row = await cursor.fetchone()
    if row is None:
        return 0
    event = int(row[0])
    places = [place for place, _, _ in ways.codes.values()]
    cursor = await connection.execute(
        _POST,
        {
            **given,
            **_keys(ways),
            "e": event,
            "products": [place.product for place in places],
            "pots": [place.pot for place in places],
            "funds": [place.fund for place in places],
        },
    )
    lines = await cursor.fetchone()
    assert lines is not None
    body = {**entry.body, "holdings": lines[0], "members": lines[1]}
    await ledger.write_gathered_event(session, event, msgspec.structs.replace(entry, body=body))
    return event


async def handed_by_asset(session: AsyncSession, merger_no: int, round_no: int) -> dict[str, int]:
    """Return what was handed over in a round, by the asset's symbol; smallest units."""
    rows = await session.execute(
        text("""select a.symbol, sum(l.amount)::bigint from hand_over_lines l join assets a on a.tenant_id = l.tenant_id and a.asset_id = l.code / 4096
                 where l.merger_no = :n and l.round_no = :r group by 1 order by 1"""),
        {"n": merger_no, "r": round_no},
    )
    return {row[0]: row[1] for row in rows}


# -- what the files of a round say

_OF_ROUND = """
select h.member_id from handed_members h where h.merger_no = %(n)s and h.round_no = %(r)s
union select l.member_id from hand_over_lines l where l.merger_no = %(n)s and l.round_no = %(r)s
union select y.member_id from hand_over_history y where y.merger_no = %(n)s and y.round_no = %(r)s
"""


@dataclass(frozen=True, slots=True)
class Going:
    """A member as the files tell of them, beside what the vault keeps."""

    member_id: int
    joined_on: date
    first_contribution_on: date | None
    last_withdrawal_on: date | None
    product: str
    group_code: str
    person_class: str
    consents: tuple[Mapping[str, str], ...]


async def count_of_round(session: AsyncSession, merger_no: int, round_no: int) -> int:
    """Return how many members a round tells of."""
    connection = await driver(session)
    cursor = await connection.execute(f"select count(*)::int from ({_OF_ROUND}) m", {"n": merger_no, "r": round_no})
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def members_of_round(
    session: AsyncSession, merger_no: int, round_no: int, *, after: int, most: int
) -> list[Going]:
    """Return the next members of a round after one, by number, each with the last consent they gave to each text."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select h.member_id, h.joined_on, h.first_contribution_on, h.last_withdrawal_on, h.product, h.group_code,
                   coalesce((select s.person_class from memberships s where s.member_id = h.member_id and s.person_class <> '' order by s.joined_on limit 1), ''),
                   coalesce((select jsonb_agg(c.given order by c.consent) from (
                     select distinct on (g ->> 'consent') g ->> 'consent' as consent, g as given from records_of(h.member_id) r
                       join events e on e.member_id = r.record_id and e.kind = %(kind)s cross join lateral jsonb_array_elements(e.body -> 'consents') g
                      order by g ->> 'consent', e.event_id desc) c), '[]')
              from ({_OF_ROUND}) m join handed_members h using (member_id) where h.member_id > %(after)s order by h.member_id limit %(most)s""",
        {"n": merger_no, "r": round_no, "after": after, "most": most, "kind": int(EventKind.CONSENT_GIVEN)},
    )
    return [
        Going(row[0], row[1], row[2], row[3], row[4], row[5], row[6], tuple(row[7])) for row in await cursor.fetchall()
    ]


async def lines_of(
    session: AsyncSession, merger_no: int, round_no: int, member_ids: Sequence[int]
) -> list[tuple[int, Place, int, int]]:
    """Return (member, place, amount, cost) of what members of a round brought, in the other scheme's units; what became less than one is left out."""
    rows = await session.execute(
        text("""select member_id, product, pot, origin, fund, sum(new_amount)::bigint, sum(cost)::bigint from hand_over_lines
                 where merger_no = :n and round_no = :r and member_id = any(:m) group by 1, 2, 3, 4, 5 having sum(new_amount) > 0 order by 1, 2, 3, 4, 5"""),
        {"n": merger_no, "r": round_no, "m": list(member_ids)},
    )
    return [(row[0], Place(*row[1:5]), row[5], row[6]) for row in rows]


async def history_of(
    session: AsyncSession, merger_no: int, round_no: int, member_ids: Sequence[int]
) -> list[tuple[int, str, str, str, date, int, int]]:
    """Return (member, product, pot, origin, paid on, smallest units, payments) of what members of a round paid in."""
    rows = await session.execute(
        text("""select member_id, product, pot, origin, paid_on, minor, payments from hand_over_history
                 where merger_no = :n and round_no = :r and member_id = any(:m) order by 1, 5, 2, 3, 4"""),
        {"n": merger_no, "r": round_no, "m": list(member_ids)},
    )
    return [(row[0], row[1], row[2], row[3], row[4], row[5], row[6]) for row in rows]


@dataclass(frozen=True, slots=True)
class Total:
    """What a round brings in one place of the other scheme: members, smallest units, what they cost; and what they were here."""

    place: Place
    members: int
    amount: int
    cost: int
    old_amount: int


async def totals(session: AsyncSession, merger_no: int, round_no: int) -> list[Total]:
    """Return what a round brings, by place."""
    rows = await session.execute(
        text("""select product, pot, origin, fund, count(distinct member_id)::int, sum(new_amount)::bigint, sum(cost)::bigint, sum(amount)::bigint
                  from hand_over_lines where merger_no = :n and round_no = :r group by 1, 2, 3, 4 order by 1, 2, 3, 4"""),
        {"n": merger_no, "r": round_no},
    )
    return [Total(Place(*row[:4]), *row[4:]) for row in rows]


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows the files of a round hold, of each kind."""

    members: int
    holdings: int
    history: int


async def count_rows(session: AsyncSession, merger_no: int, round_no: int) -> Rows:
    """Return how many rows the files of a round hold."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select (select count(*)::int from ({_OF_ROUND}) m),
                  (select count(*)::int from (select from hand_over_lines l where l.merger_no = %(n)s and l.round_no = %(r)s
                      group by l.member_id, l.product, l.pot, l.origin, l.fund having sum(l.new_amount) > 0) h),
                  (select count(*)::int from hand_over_history y where y.merger_no = %(n)s and y.round_no = %(r)s)""",
        {"n": merger_no, "r": round_no},
    )
    row = await cursor.fetchone()
    assert row is not None
    return Rows(*row)


async def texts_of(session: AsyncSession, merger_no: int, round_no: int) -> list[tuple[str, str]]:
    """Return (consent, version) of the texts that members of a round agreed to."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select distinct g ->> 'consent', g ->> 'version' from ({_OF_ROUND}) m cross join lateral records_of(m.member_id) r
              join events e on e.member_id = r.record_id and e.kind = %(kind)s cross join lateral jsonb_array_elements(e.body -> 'consents') g order by 1, 2""",
        {"n": merger_no, "r": round_no, "kind": int(EventKind.CONSENT_GIVEN)},
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def totals_paid(session: AsyncSession, merger_no: int, round_no: int) -> list[tuple[str, str, str, int]]:
    """Return (product, pot, origin, smallest units) of what members of a round paid in."""
    rows = await session.execute(
        text("""select product, pot, origin, sum(minor)::bigint from hand_over_history
                 where merger_no = :n and round_no = :r group by 1, 2, 3 order by 1, 2, 3"""),
        {"n": merger_no, "r": round_no},
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def units_by_fund(session: AsyncSession, merger_no: int, round_no: int) -> dict[str, tuple[str, int, int]]:
    """Return (fund there, units here, units there of members) by fund here; smallest units of each."""
    rows = await session.execute(
        text("""select c.fund, l.fund, sum(l.amount)::bigint, sum(l.new_amount)::bigint from hand_over_lines l
                  join chart c on c.tenant_id = l.tenant_id and c.code = l.code where l.merger_no = :n and l.round_no = :r and l.fund <> '' group by 1, 2"""),
        {"n": merger_no, "r": round_no},
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def add_file(session: AsyncSession, one: Round, file_no: int, name: str, *, sha256: str, document: bytes) -> None:
    """Keep a sealed file of a round."""
    connection = await driver(session)
    await connection.execute(
        """insert into hand_over_files (tenant_id, merger_no, round_no, file_no, name, sha256, document)
           values (%s, %s, %s, %s, %s, %s, %b)""",
        (session.info["tenant_id"], one.merger_no, one.round_no, file_no, name, sha256, document),
    )


async def files_of(session: AsyncSession, merger_no: int, round_no: int) -> list[tuple[str, str]]:
    """Return (name, SHA-256 of what is inside) of the files of a round that are made, in their order."""
    rows = await session.execute(
        text("select name, sha256 from hand_over_files where merger_no = :n and round_no = :r order by file_no"),
        {"n": merger_no, "r": round_no},
    )
    return [(row[0], row[1]) for row in rows]


async def file_of(session: AsyncSession, merger_no: int, round_no: int, name: str) -> bytes | None:
    """Return a sealed file of a round; None if there is none of that name."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select document from hand_over_files where merger_no = %s and round_no = %s and name = %s",
        (merger_no, round_no, name),
        binary=True,
    )
    row = await cursor.fetchone()
    return None if row is None else bytes(row[0])


# -- what the scheme that takes over says


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What an opening posted: its members, and by place how much; smallest units."""

    state: str
    digest: str
    members: int
    lines: Mapping[Place, int]


async def taken_in(session: AsyncSession, opening_no: int) -> TakenIn | None:
    """Return what an opening posted, as the books have it; None if there is none of that number."""
    head = (
        await session.execute(
            text("""select o.state, o.digest, (select count(*)::int from opening_members m where m.opening_no = o.opening_no) from openings o
                     where o.opening_no = :n"""),
            {"n": opening_no},
        )
    ).one_or_none()
    if head is None:
        return None
    rows = await session.execute(
        text("""select c.product, c.pot, c.origin, c.fund, sum(t.amount)::bigint from opening_ranges r
                  join opening_members m on m.opening_no = r.opening_no and m.range_no = r.range_no
                  join transfers t on t.member_id = case when m.known_as = 0 then m.member_id else m.known_as end and t.event_id = r.event_id
                  join chart c on c.tenant_id = t.tenant_id and c.code = t.credit where r.opening_no = :n and r.event_id <> 0 group by 1, 2, 3, 4"""),
        {"n": opening_no},
    )
    return TakenIn(head[0], head[1], head[2], {Place(*row[:4]): row[4] for row in rows})


# -- payments that come late


async def waiting_late(session: AsyncSession, *, after: int, most: int) -> list[int]:
    """Return the receipts of suspended payments whose member was not active, that nobody has got, after one; the oldest first."""
    rows = await session.execute(
        text("""select s.event_id from suspense s where s.reason = 'member-not-active' and s.of_event = 0 and s.event_id > :after
                   and not exists (select from suspense_resolutions r where r.tenant_id = s.tenant_id and r.event_id = s.event_id)
                   and not exists (select from suspense_refunds f where f.tenant_id = s.tenant_id and f.event_id = s.event_id and f.home_event = 0)
                   and not exists (select from suspense_proposals p where p.tenant_id = s.tenant_id and p.event_id = s.event_id and p.state = 'proposed')
                   and not exists (select from corrections x where x.corrects_member = -s.tenant_id and x.corrects_event = s.event_id)
                 order by s.event_id limit :most"""),
        {"after": after, "most": most},
    )
    return list(rows.scalars())


async def any_handed(session: AsyncSession) -> bool:
    """Return whether anybody was handed over."""
    return bool(await session.scalar(text("select exists (select from handed_members)")))


async def are_handed(session: AsyncSession, member_ids: Sequence[int]) -> set[int]:
    """Return those of them who were handed over."""
    rows = await session.execute(
        text("select member_id from handed_members where member_id = any(:m)"), {"m": list(member_ids)}
    )
    return set(rows.scalars())


async def add_forwarded(
    session: AsyncSession, merger_no: int, *, receipt: int, member_id: int, amount: int, event_id: int
) -> None:
    """Note that a payment was passed on to the other scheme."""
    await session.execute(
        text("""insert into forwarded_payments (member_id, receipt, event_id, amount, tenant_id, merger_no)
                values (:m, :receipt, :e, :amount, :t, :n)"""),
        {
            "m": member_id, "receipt": receipt, "e": event_id, "amount": amount, "t": session.info["tenant_id"], "n": merger_no,
        },
    )  # fmt: skip


async def forwarded(session: AsyncSession, merger_no: int) -> list[tuple[int, int, int]]:
    """Return (receipt, member, smallest units) of all payments that were passed on, the oldest first."""
    rows = await session.execute(
        text("select receipt, member_id, amount from forwarded_payments where merger_no = :n order by receipt"),
        {"n": merger_no},
    )
    return [(row[0], row[1], row[2]) for row in rows]


LAWS: tuple[Law, ...] = (
    Law(
        "handed-over-is-what-was-held",
        "what left each account of who was handed over is its line of the round, and after a round nothing lies between",
        """
        with booked as (
          select t.member_id, t.event_id, t.debit as code, sum(t.amount)::bigint as amount from chart c join transfers t on t.credit = c.code
           where c.kind = 'handed-over' group by 1, 2, 3)
        select format('member %s, account %s', to_hex(coalesce(l.member_id, b.member_id)), code), coalesce(l.amount, 0)::text, coalesce(b.amount, 0)::text
          from hand_over_lines l full join booked b using (member_id, event_id, code) where l.amount is distinct from b.amount
        union all
        select format('handed over, asset %s', c.code >> 12), coalesce(o.amount, 0)::text, coalesce(b.amount, 0)::text
          from chart c
          left join (select t.code, sum(t.signed)::bigint as amount from (
                       select credit as code, amount as signed from transfers union all select debit, -amount from transfers) t group by 1) b on b.code = c.code
          left join (select l.code >> 12 as asset, sum(l.amount)::bigint as amount from hand_over_lines l
                       join hand_overs h on h.merger_no = l.merger_no and h.round_no = l.round_no and h.state = 'open' group by 1) o on o.asset = c.code >> 12
         where c.kind = 'handed-over' and coalesce(o.amount, 0) <> coalesce(b.amount, 0)
        """,
    ),
    Law(
        "handed-over-by-the-terms",
        "what each line is in the other scheme is what the terms say of its product, pot and fund, to the last smallest unit",
        """
        select format('member %s, account %s', to_hex(l.member_id), l.code),
               format('%s %s %s %s', p ->> 'into', p -> 'pots' ->> c.pot, coalesce(f ->> 'into', ''),
                      coalesce(trunc(l.amount * (f ->> 'ratio')::numeric * power(10::numeric, (f ->> 'decimals')::int - a.scale)), l.amount)::bigint),
               format('%s %s %s %s', l.product, l.pot, l.fund, l.new_amount)
          from hand_over_lines l join mergers r on r.merger_no = l.merger_no join chart c on c.code = l.code join assets a on a.asset_id = l.code >> 12
          left join lateral (select p from jsonb_array_elements(r.terms -> 'products') p where p ->> 'product' = c.product) p on true
          left join lateral (select f from jsonb_array_elements(r.terms -> 'funds') f where f ->> 'fund' = c.fund and c.kind = 'units') f on true
         where (l.product, l.pot, l.fund, l.origin, l.new_amount) is distinct from
               (p ->> 'into', p -> 'pots' ->> c.pot, coalesce(f ->> 'into', ''), c.origin,
                coalesce(trunc(l.amount * (f ->> 'ratio')::numeric * power(10::numeric, (f ->> 'decimals')::int - a.scale)), l.amount)::bigint)
        """,
    ),
    Law(
        "what-was-taken-in-is-what-was-handed-over",
        "of each round that the other scheme took in, its receipt is of the files that were made, and of every place to the last smallest unit",
        """
        with handed as (
          select l.merger_no, l.round_no, l.product, l.pot, l.origin, l.fund, sum(l.new_amount)::bigint as amount from hand_over_lines l group by 1, 2, 3, 4, 5, 6),
        told as (
          select h.merger_no, h.round_no, x ->> 'product' as product, x ->> 'pot' as pot, x ->> 'origin' as origin, x ->> 'fund' as fund, (x ->> 'amount')::bigint as amount
            from hand_overs h cross join jsonb_array_elements(h.receipt -> 'lines') x where h.state = 'taken-in')
        select format('merger %s, round %s, %s %s %s %s', merger_no, round_no, product, pot, origin, fund), coalesce(n.amount, 0)::text, coalesce(t.amount, 0)::text
          from (select n.* from handed n join hand_overs h using (merger_no, round_no) where h.state = 'taken-in' and n.amount <> 0) n
          full join told t using (merger_no, round_no, product, pot, origin, fund) where n.amount is distinct from t.amount
        union all
        select format('merger %s, round %s', h.merger_no, h.round_no), format('%s, %s members', h.digest, h.members), format('%s, %s members', h.receipt ->> 'digest', h.receipt ->> 'members')
          from hand_overs h where h.state = 'taken-in' and (h.receipt ->> 'digest', (h.receipt ->> 'members')::int) is distinct from (h.digest, h.members)
        """,
    ),
    Law(
        "who-was-handed-over-takes-no-part",
        "who was handed over is noted as that and in no product, and a scheme goes by the word of two people",
        """
        select format('member %s', to_hex(h.member_id)), 'handed-over or erased', coalesce(m.status, 'nobody')
          from handed_members h left join members m on m.member_id = h.member_id where m.status is null or m.status not in ('handed-over', 'erased')
        union all
        select format('member %s', to_hex(m.member_id)), 'handed over', 'not' from members m
         where m.status = 'handed-over' and not exists (select from handed_members h where h.member_id = m.member_id)
        union all
        select format('merger %s', merger_no), 'two people', 'one' from mergers where checker = maker
        """,
    ),
    Law(
        "forwarded-payments-left-suspense",
        "each payment passed on to the other scheme left suspense by its event, whole, and is owed to it",
        """
        select format('payment %s', f.receipt), f.amount::text, coalesce(t.amount, 0)::text
          from forwarded_payments f left join suspense_resolutions r on r.tenant_id = f.tenant_id and r.event_id = f.receipt
          left join (transfers t join chart d on d.code = t.debit and d.kind = 'suspense' join chart k on k.code = t.credit and k.kind = 'due-to-party')
            on t.member_id = -f.tenant_id and t.event_id = f.event_id
         where r.resolved_event is distinct from f.event_id or t.amount is distinct from f.amount
        """,
    ),
)
