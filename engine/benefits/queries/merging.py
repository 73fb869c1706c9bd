"""SQL of records that are merged: proposals, what stands in the way, and what comes late to a record that went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import Law
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """A record that goes and the one that stays, as two people stand for it; `checker` is "" until it is decided."""

    merge_no: int
    goes: int
    stays: int
    asked_on: date
    state: str
    digest: str
    maker: str
    checker: str


_MERGE = """
select r.merge_no, r.member_id as goes, r.into_id as stays, r.asked_on, r.state, r.digest, m.name as maker, coalesce(k.name, '') as checker
  from record_merges r join actors m on m.tenant_id = r.tenant_id and m.actor_id = r.maker
  left join actors k on k.tenant_id = r.tenant_id and k.actor_id = r.checker
"""


def _merge(row: RowMapping) -> Merge:
    return Merge(**row)


async def hold_merges(session: AsyncSession) -> None:
    """Wait until no other transaction proposes or carries out a merging; keep others waiting until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7216, :t)"), {"t": session.info["tenant_id"]})


async def next_number(session: AsyncSession) -> int:
    """Return the number of a merging that is proposed now."""
    return int(await session.scalar(text("select coalesce(max(merge_no), 0) + 1 from record_merges")))


async def add_merge(session: AsyncSession, merge: Merge, *, maker: int, event_id: int) -> None:
    """Add a proposed merging."""
    await session.execute(
        text("""insert into record_merges (tenant_id, merge_no, member_id, into_id, proposed_event, maker, asked_on, digest)
                values (:t, :n, :goes, :stays, :e, :maker, :on, :digest)"""),
        {
            "t": session.info["tenant_id"], "n": merge.merge_no, "goes": merge.goes, "stays": merge.stays, "e": event_id,
            "maker": maker, "on": merge.asked_on, "digest": merge.digest,
        },
    )  # fmt: skip


async def find_merge(session: AsyncSession, merge_no: int, *, hold: bool = False) -> Merge | None:
    """Return a merging; with `hold`, nobody else can decide on it until the session ends."""
    found = await session.execute(
        text(f"{_MERGE} where r.merge_no = :n {'for update of r' if hold else ''}"), {"n": merge_no}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _merge(row)


async def open_merge(session: AsyncSession, members: Sequence[int]) -> Merge | None:
    """Return the merging of one of the members that waits for a second person; None if none does."""
    found = await session.execute(
        text(f"""{_MERGE} where r.state = 'proposed' and (r.member_id = any(:m) or r.into_id = any(:m))
                 order by r.merge_no limit 1"""),
        {"m": list(members)},
    )
    row = found.mappings().one_or_none()
    return None if row is None else _merge(row)


async def list_merges(session: AsyncSession, *, most: int) -> list[Merge]:
    """Return the newest mergings, newest first."""
    rows = await session.execute(text(f"{_MERGE} order by r.merge_no desc limit :most"), {"most": most})
    return [_merge(row) for row in rows.mappings()]


async def decide_merge(session: AsyncSession, merge_no: int, *, state: str, checker: int, event_id: int) -> None:
    """Note that a second person approved or rejected a merging."""
    await session.execute(
        text("update record_merges set state = :s, checker = :c, decided_event = :e where merge_no = :n"),
        {"n": merge_no, "s": state, "c": checker, "e": event_id},
    )


# Of the two, whoever it is; of the record that goes alone, its money: what is on its way finishes under the number it began under.
_OBSTACLES = """
with two as (select unnest(%(both)s::bigint[]) as id)
select 'claim' where exists (select from benefit_claims b join two on two.id = b.member_id where b.closed_event = 0
                                and b.state in ('open', 'decided', 'selling', 'pledged', 'asked'))
union all
select 'pension' where exists (select from pension_schedules s join two on two.id = s.member_id where s.is_running)
union all
select 'loan' where exists (select from loans l join two on two.id = l.member_id where l.ended_event = 0)
union all
select 'death' where exists (select from death_notices d join two on two.id = d.member_id
                                where d.state in ('doubtful', 'confirmed', 'reversal-proposed'))
union all
select 'payment-taken-back' where exists (select from reversals v join two on two.id in (v.member_id, v.given_to)
                                             where v.state in ('proposed', 'waiting', 'selling'))
union all
select 'number-change' where exists (select from number_changes n join two on two.id in (n.member_id, n.other_member)
                                        where n.state in ('proposed', 'contested', 'found'))
union all
select 'fund-action' where exists (select from fund_action_lines l join fund_actions a on a.tenant_id = l.tenant_id and a.action_no = l.action_no
                                      where l.member_id = %(goes)s and a.state in ('proposed', 'approved'))
union all
select 'payout' where exists (select from payouts p where p.tenant_id = %(t)s and p.member_id = %(goes)s
                                 and p.state in ('created', 'approved', 'sent', 'pending'))
union all
select 'move' where exists (select from move_runs r where r.member_id = %(goes)s and r.state in ('proposed', 'approved'))
union all
select 'fee' where exists (select from fee_lines l join fee_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no
                              where l.member_id = %(goes)s and r.state in ('counting', 'proposed', 'approved'))
union all
select 'price-correction' where exists (select from correction_lines l join price_corrections p on p.tenant_id = l.tenant_id and p.correction_no = l.correction_no
                                           where l.member_id = %(goes)s and p.state in ('proposed', 'approved'))
union all
select 'insurance' where exists (select from insured i where i.member_id = %(goes)s and i.until is null)
                      or exists (select from premiums p where p.member_id = %(goes)s and p.state = 'due')
                      or exists (select from premium_lines l join premium_runs r on r.tenant_id = l.tenant_id and r.run_no = l.run_no
                                  where l.member_id = %(goes)s and r.state in ('counting', 'proposed', 'approved'))
union all
select 'annuity-purchase' where exists (select from annuity_purchases a join two on two.id = a.member_id where a.state = 'due')
union all
select 'transfer' where exists (select from transfers_out o join two on two.id = o.member_id where o.state = 'open')
                     or exists (select from transfers_in i join two on two.id = i.member_id where i.state in ('staged', 'approved'))
union all
select 'mandate' where exists (select from mandates m where m.tenant_id = %(t)s and m.member_id = %(goes)s and m.ended_event = 0)
                    or exists (select from debits d where d.tenant_id = %(t)s and d.member_id = %(goes)s
                                                      and d.state in ('prepared', 'asked', 'pending'))
union all
select 'money-on-its-way' where exists (
  select from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code
   where b.member_id = %(goes)s and b.credits > b.debits and (c.kind not in ('cash', 'units') or c.kind = 'cash' and c.product = any(%(in_funds)s)))
"""


async def obstacles(session: AsyncSession, *, goes: int, stays: int, in_funds: Sequence[str]) -> list[str]:
    """Return what runs of two records and keeps them from being merged; `in_funds` are the products whose cash is on its way into a fund."""
    connection = await driver(session)
    cursor = await connection.execute(
        _OBSTACLES,
        {"both": [goes, stays], "goes": goes, "t": session.info["tenant_id"], "in_funds": list(in_funds)},
    )
    return [row[0] for row in await cursor.fetchall()]


async def hold_money(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Let nobody else move what members hold until the session ends."""
    connection = await driver(session)
    await connection.execute(
        """select count(*) from (
             select from balances b where b.member_id = any(%b::bigint[]) order by b.member_id, b.code for no key update of b) held""",
        (sorted(member_ids),),
    )


async def carry_choices(session: AsyncSession, *, goes: int, stays: int) -> None:
    """Let the choice of funds of a record that goes count for the one that stays, where that one has made none."""
    connection = await driver(session)
    await connection.execute(
        """insert into fund_choices (member_id, chosen_event, tenant_id, chosen_on, product, shares)
           select %s, chosen_event, tenant_id, chosen_on, product, shares from fund_choices where member_id = %s on conflict do nothing""",
        (stays, goes),
    )


async def holdings(session: AsyncSession, member_id: int, *, but: Sequence[str] = ()) -> list[tuple[int, int]]:
    """Return (code, amount) of a record's cash and units, by code; cash of the products `but` is left out."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select b.code, b.credits - b.debits from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code
            where b.member_id = %s and b.credits > b.debits and c.party = ''
              and (c.kind = 'units' or c.kind = 'cash' and c.product <> all(%s)) order by b.code""",
        (member_id, list(but)),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def with_late_money(session: AsyncSession, *, but: Sequence[str]) -> list[tuple[int, int]]:
    """Return (record, whose it is now) of merged records that something came to since, by record."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct g.member_id, g.into_id from merged_records g join balances b on b.member_id = g.member_id and b.credits > b.debits
             join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.party = '' and (c.kind = 'units' or c.kind = 'cash' and c.product <> all(%s))
            order by 1""",
        (list(but),),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


LAWS: tuple[Law, ...] = (
    Law(
        "merged-records-meet-in-the-middle",
        "what left a record that was merged came to the one that stays, account by account, and nothing lies between",
        """
        select format('what lies between, asset %s', c.code >> 12), '0', sum(case when t.credit = c.code then t.amount else -t.amount end)::text
          from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'merging' group by c.code
        having sum(case when t.credit = c.code then t.amount else -t.amount end) <> 0
        union all
        select format('merging %s, code %s', coalesce(l.merge, i.merge), coalesce(l.code, i.code)), coalesce(l.amount, 0)::text, coalesce(i.amount, 0)::text
          from (select e.body ->> 'merge' as merge, t.debit as code, sum(t.amount) as amount from events e
                  join transfers t on t.member_id = e.member_id and t.event_id = e.event_id where e.kind = 269 group by 1, 2) l
          full join (select e.body ->> 'merge' as merge, t.credit as code, sum(t.amount) as amount from events e
                       join transfers t on t.member_id = e.member_id and t.event_id = e.event_id where e.kind = 270 group by 1, 2) i using (merge, code)
         where coalesce(l.amount, 0) <> coalesce(i.amount, 0)
        """,
    ),
    Law(
        "merges-are-their-events",
        "every approved merging is a record that went by an event, and every record that went was approved",
        """
        select format('merging %s', coalesce(r.merge_no, g.merge_no)), coalesce(r.state, 'none'), coalesce(g.event_id::text, 'no record')
          from (select * from record_merges where state = 'approved') r full join merged_records g using (member_id, merge_no)
         where r.merge_no is null or g.merge_no is null
            or not exists (select from events e where e.member_id = g.member_id and e.event_id = g.event_id and e.kind = 269)
            or not exists (select from events e where e.member_id = g.into_id and e.event_id = g.into_event and e.kind = 270)
        """,
    ),
)
