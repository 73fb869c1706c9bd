"""SQL of schedules: what claims pay later, to which account, and proofs that pensioners are alive."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from msgspec import Struct
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules.schedules import Reserve, SchedulePlan, ScheduleTerms
from engine.runtime.database import driver


class KnownAccount(Struct, frozen=True, kw_only=True):
    """What the choice of a rail knows of a payee's account: nothing that names anybody."""

    rail: str
    account: str
    verified: bool
    paid_in: bool
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """A schedule as it is stored, and how far it has come; smallest units. `number` is the last payment that was posted."""

    member_id: int
    claim_id: int
    product: str
    plan: SchedulePlan
    is_running: bool
    stops_on: date | None
    life_until: date | None
    accounts: tuple[KnownAccount, ...]
    cash: tuple[int, ...]
    number: int
    reckoned: int
    outstanding: int
    posted: int
    paid: int
    heir_no: int
    after_claim: int
    overpaid: int
    death_claim: int


@dataclass(frozen=True, slots=True)
class Survivor:
    """Whose a pension is that goes on after a death, after which, and what of it is set off against what was overpaid.

    `death_claim` is that by which an heir has a share of guaranteed payments, 0 of a spouse's pension.
    """

    heir_no: int
    after_claim: int
    set_off_bp: int
    arrears_until: date
    death_claim: int = 0


async def add_schedule(
    session: AsyncSession,
    *,
    member_id: int,
    claim_id: int,
    product: str,
    plan: SchedulePlan,
    decision: int,
    event_id: int,
    cash: Sequence[int],
    payable: Sequence[int],
    life_until: date | None,
    survivor: Survivor | None = None,
    stops_on: date | None = None,
) -> None:
    """Add what a claim pays later; the codes are pot by pot and in each of them origin by origin.

    What stops on a day that is known is no pension that runs, and pays what falls due before.
    """
    connection = await driver(session)
    order = plan.terms.order
    await connection.execute(
        """insert into pension_schedules (member_id, claim_id, amount, tax, taxed, scheduled_event, tenant_id, decision, lead_months,
             every_months, instalments, origins, started_on, guaranteed_until, life_until, is_indexed, product, form, rounding, pay_day,
             pots_by, origins_by, cash, payable, overpaid, keys, pooled_with, reserve,
             heir_no, after_claim, set_off_bp, arrears_until, death_claim, stops_on, is_running)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            member_id, claim_id, plan.amount, plan.tax, plan.taxed, event_id, session.info["tenant_id"], decision, plan.lead_months,
            plan.every_months, plan.instalments, len(order.origins), plan.started_on, plan.guaranteed_until, life_until,
            plan.terms.is_indexed, product, plan.terms.form, plan.terms.rounding, plan.terms.pay_day, order.pots_by,
            order.origins_by, list(cash), list(payable), [0] * len(cash), msgspec.json.encode(plan.keys).decode(),
            "" if plan.reserve is None else plan.reserve.role, 0 if plan.reserve is None else plan.reserve.minor,
            *((0, 0, 0, None, 0) if survivor is None else (
                survivor.heir_no, survivor.after_claim, survivor.set_off_bp, survivor.arrears_until, survivor.death_claim)),
            stops_on, stops_on is None,
        ),
    )  # fmt: skip


def stored(terms: ScheduleTerms) -> object:
    """Return terms as a decision holds them."""
    return msgspec.to_builtins(terms)


async def reserved_codes(session: AsyncSession, member_id: int, product: str) -> list[int]:
    """Return the codes of a member's cash that a running schedule pays from: nothing else is claimed of it."""
    rows = await session.execute(
        text(
            "select unnest(cash) as code from pension_schedules where member_id = :m and product = :p and is_running and pooled_with = ''"
        ),
        {"m": member_id, "p": product},
    )
    return [row.code for row in rows]


_SCHEDULE = """
select s.*, d.trace, coalesce(i.number, 0) as number, coalesce(i.reckoned, 0) as reckoned,
       coalesce(i.outstanding, 0)::bigint as outstanding, coalesce(i.posted, 0)::bigint as posted,
       (select coalesce(sum(p.amount), 0)::bigint from payroll_payments y join payouts p on p.tenant_id = y.tenant_id and p.payout_id = y.payout_id
         where y.member_id = s.member_id and y.claim_id = s.claim_id and p.settled_event <> 0 and p.home_event = 0) as paid
  from pension_schedules s join decisions d on d.tenant_id = s.tenant_id and d.decision_id = s.decision
  left join lateral (
    select max(number) as number, (array_agg(reckoned order by number desc))[1] as reckoned, sum(lacking - arrears) as outstanding,
           sum(amount_total(net)) as posted from pension_instalments
     where member_id = s.member_id and claim_id = s.claim_id and state = 'posted') i on true
"""


async def find_schedule(session: AsyncSession, claim_id: int, *, hold: bool = False) -> ScheduleRow | None:
    """Return the schedule of a claim; with `hold`, nobody else can change it until the session ends."""
    found = await session.execute(
        text(f"{_SCHEDULE} where s.claim_id = :c {'for update of s' if hold else ''}"), {"c": claim_id}
    )
    row = found.mappings().one_or_none()
    return None if row is None else _schedule(row)


async def pension_of(session: AsyncSession, member_id: int, product: str) -> ScheduleRow | None:
    """Return the last pension that a member chose in a product, held until the session ends."""
    found = await session.execute(
        text(f"""{_SCHEDULE} where s.member_id = :m and s.product = :p and s.heir_no = 0
                 order by s.claim_id desc limit 1 for update of s"""),
        {"m": member_id, "p": product},
    )
    row = found.mappings().one_or_none()
    return None if row is None else _schedule(row)


async def survivor_of(session: AsyncSession, claim_id: int) -> ScheduleRow | None:
    """Return the pension of whoever survives the pensioner of a claim, held until the session ends."""
    found = await session.execute(
        text(
            f"{_SCHEDULE} where s.after_claim = :c and s.death_claim = 0 order by s.claim_id desc limit 1 for update of s"
        ),
        {"c": claim_id},
    )
    row = found.mappings().one_or_none()
    return None if row is None else _schedule(row)


async def guaranteed_of(session: AsyncSession, claim_id: int) -> list[ScheduleRow]:
    """Return the shares that heirs have of the guaranteed payments of a claim's pension, held until the session ends."""
    found = await session.execute(
        text(f"{_SCHEDULE} where s.after_claim = :c and s.death_claim <> 0 order by s.claim_id for update of s"),
        {"c": claim_id},
    )
    return [_schedule(row) for row in found.mappings()]


async def cut_short(session: AsyncSession, claim_ids: Sequence[int], on: date) -> bool:
    """Let nothing fall due of schedules from a day on; return whether a payroll that waits counts on them, and nothing was done."""
    given = {"c": list(claim_ids), "on": on}
    counted = await session.scalar(
        text("select exists (select from pension_instalments where claim_id = any(:c) and state = 'proposed')"), given
    )
    if counted:
        return True
    await session.execute(
        text("update pension_schedules set stops_on = least(stops_on, :on) where claim_id = any(:c)"), given
    )
    return False


async def payable_codes(session: AsyncSession, claim_id: int) -> list[int]:
    """Return the codes of what a pension makes payable, pot by pot and in each of them origin by origin."""
    rows = await session.execute(
        text("select unnest(payable) as code from pension_schedules where claim_id = :c"), {"c": claim_id}
    )
    return [row.code for row in rows]


async def list_schedules(
    session: AsyncSession, *, product: str = "", after: int = 0, most: int = 100
) -> list[ScheduleRow]:
    """Return schedules after that of claim `after`, the oldest first."""
    rows = await session.execute(
        text(f"{_SCHEDULE} where s.claim_id > :after and (:p = '' or s.product = :p) order by s.claim_id limit :most"),
        {"after": after, "p": product, "most": most},
    )
    return [_schedule(row) for row in rows.mappings()]


async def name_payee(session: AsyncSession, claim_id: int, document: bytes, accounts: Sequence[KnownAccount]) -> None:
    """Keep whom a schedule pays from now on."""
    connection = await driver(session)
    await connection.execute(
        "update pension_schedules set payee = %s, accounts = %s where tenant_id = %s and claim_id = %s",
        (document, msgspec.json.encode(accounts).decode(), session.info["tenant_id"], claim_id),
    )


def _schedule(row: RowMapping) -> ScheduleRow:
    trace = row["trace"]
    terms = msgspec.convert(trace["terms"], ScheduleTerms)
    plan = SchedulePlan(
        terms=terms,
        rules=tuple(trace["rules"]),
        started_on=row["started_on"],
        lead_months=row["lead_months"],
        every_months=row["every_months"],
        instalments=row["instalments"],
        amount=row["amount"],
        rest=row["taxed"],
        keys=row["keys"],
        guaranteed_until=row["guaranteed_until"],
        tax=row["tax"],
        taxed=row["taxed"],
        reserve=Reserve(role=row["pooled_with"], minor=row["reserve"]) if row["pooled_with"] else None,
    )
    return ScheduleRow(
        member_id=row["member_id"],
        claim_id=row["claim_id"],
        product=row["product"],
        plan=plan,
        is_running=row["is_running"],
        stops_on=row["stops_on"],
        life_until=row["life_until"],
        accounts=tuple(msgspec.convert(row["accounts"], list[KnownAccount])),
        cash=tuple(row["cash"]),
        number=row["number"],
        reckoned=row["reckoned"],
        outstanding=row["outstanding"],
        posted=row["posted"],
        paid=row["paid"],
        heir_no=row["heir_no"],
        after_claim=row["after_claim"],
        overpaid=sum(row["overpaid"]),
        death_claim=row["death_claim"],
    )


async def add_proof(
    session: AsyncSession, row: ScheduleRow, event_id: int, seen_on: date, source: str, until: date
) -> None:
    """Keep that a pensioner was alive; payments go on until a day, or later where that was known already."""
    connection = await driver(session)
    await connection.execute(
        "insert into life_proofs (member_id, claim_id, event_id, tenant_id, seen_on, source) values (%s, %s, %s, %s, %s, %s)",
        (row.member_id, row.claim_id, event_id, session.info["tenant_id"], seen_on, source),
    )
    await connection.execute(
        "update pension_schedules set life_until = greatest(life_until, %s) where member_id = %s and claim_id = %s",
        (until, row.member_id, row.claim_id),
    )


_DIED = """(select min(d.died_on) from death_notices d
             where d.member_id = s.member_id and d.state in ('confirmed', 'reversal-proposed') and d.died_on is not null)"""


async def died(session: AsyncSession, product: str) -> list[tuple[int, date]]:
    """Return the pensions (claim, day of death) of a product whose death was confirmed and that go on."""
    rows = await session.execute(
        text(f"""select claim_id, died_on from (
                   select s.claim_id, s.stops_on, {_DIED} as died_on from pension_schedules s where s.product = :p and s.heir_no = 0) x
                  where died_on is not null and stops_on is null order by claim_id"""),
        {"p": product},
    )
    return [(row.claim_id, row.died_on) for row in rows]


async def alive_again(session: AsyncSession, product: str) -> list[int]:
    """Return the pensions of a product that a death stopped which is confirmed no more."""
    rows = await session.execute(
        text(f"""select s.claim_id from pension_schedules s
                  where s.product = :p and s.stops_on is not null and s.heir_no = 0 and {_DIED} is null order by s.claim_id"""),
        {"p": product},
    )
    return [row.claim_id for row in rows]


@dataclass(frozen=True, slots=True)
class Overdue:
    """What a pension was posted for time after a death, smallest units by account: taken, net, and by pool; tax in all.

    `unpaid` is what is payable of the whole pension and in no payout; `recovered` was set off of what is reversed, and
    `brought` came from the pension before.
    """

    cash: list[int]
    payable: list[int]
    taken: list[int]
    net: list[int]
    unpaid: list[int]
    pooled: dict[int, int]
    tax: int
    recovered: int
    brought: list[int]


_PAID = """
select amounts_total(y.parts) from payroll_payments y join payouts p on p.tenant_id = y.tenant_id and p.payout_id = y.payout_id
 where y.member_id = s.member_id and y.claim_id = s.claim_id and y.state = 'made' and p.state not in ('refused', 'failed', 'returned')
"""


async def posted_after(session: AsyncSession, claim_id: int, stops_on: date) -> Overdue:
    """Return what was posted of a pension for time from a day on."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select s.cash, s.payable, coalesce(late.taken, z.zeros), coalesce(late.net, z.zeros),
                   amounts_less(amounts_plus(coalesce(every.net, z.zeros), coalesce(s.brought, z.zeros)), coalesce(({_PAID}), z.zeros)),
                   coalesce(late.tax, 0)::bigint, coalesce(late.recovered, 0)::bigint, coalesce(s.brought, z.zeros)
              from pension_schedules s
             cross join lateral (select array_fill(0::bigint, array[cardinality(s.cash)]) as zeros) z
              left join lateral (
                select amounts_total(taken) as taken, amounts_total(net) as net, sum(tax) as tax, sum(recovered) as recovered from pension_instalments i
                 where i.member_id = s.member_id and i.claim_id = s.claim_id and i.state = 'posted' and i.due_on >= %s) late on true
              left join lateral (
                select amounts_total(net) as net from pension_instalments i
                 where i.member_id = s.member_id and i.claim_id = s.claim_id and i.state = 'posted') every on true
             where s.tenant_id = %s and s.claim_id = %s""",
        (stops_on, session.info["tenant_id"], claim_id),
    )
    row = await cursor.fetchone()
    assert row is not None, claim_id
    cursor = await connection.execute(
        """select c.pool, sum(c.minor)::bigint from pension_instalments i join payroll_runs r on r.tenant_id = i.tenant_id and r.run_no = i.run_no
            cross join lateral unnest(r.pools, i.pooled) c(pool, minor)
            where i.tenant_id = %s and i.claim_id = %s and i.state = 'posted' and i.due_on >= %s group by c.pool having sum(c.minor) > 0
            order by c.pool""",
        (session.info["tenant_id"], claim_id, stops_on),
    )
    return Overdue(row[0], row[1], row[2], row[3], row[4], dict(await cursor.fetchall()), *row[5:])


async def stop(session: AsyncSession, row: ScheduleRow, event_id: int, stops_on: date, overpaid: Sequence[int]) -> None:
    """Note that nothing is due of a pension from a day on; what was posted for later is reversed."""
    connection = await driver(session)
    key = (row.member_id, row.claim_id)
    await connection.execute(
        """update pension_instalments set state = 'reversed'
            where member_id = %s and claim_id = %s and state = 'posted' and due_on >= %s""",
        (*key, stops_on),
    )
    await connection.execute(
        """update pension_schedules set stops_on = %s, is_running = false, stopped_event = %s, overpaid = amounts_plus(overpaid, %s),
                  accounts = case when heir_no = 0 then accounts else '[]' end, payee = case when heir_no = 0 then payee end
            where member_id = %s and claim_id = %s""",
        (stops_on, event_id, list(overpaid), *key),
    )


async def resume(session: AsyncSession, row: ScheduleRow) -> None:
    """Note that a pension goes on: the death that stopped it is confirmed no more."""
    connection = await driver(session)
    await connection.execute(
        """update pension_schedules s set stops_on = null, is_running = s.instalments = 0 or not exists (
             select from pension_instalments i where i.member_id = s.member_id and i.claim_id = s.claim_id and i.state = 'posted'
                and i.number = s.instalments)
            where s.member_id = %s and s.claim_id = %s""",
        (row.member_id, row.claim_id),
    )


async def recoverable(session: AsyncSession, product: str) -> list[tuple[int, list[int], list[int]]]:
    """Return the pensions (claim, payable codes, smallest units by code) of which what was overpaid is payable again."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select claim_id, payable, back from (
              select s.claim_id, s.payable, array(
                       select greatest(u.booked - greatest(coalesce(u.paid, 0) - coalesce(u.due, 0) - coalesce(u.brought, 0), 0), 0)
                         from unnest(s.overpaid, s.brought, ({_PAID}), (
                                select amounts_total(net) from pension_instalments i
                                 where i.member_id = s.member_id and i.claim_id = s.claim_id and i.state = 'posted'))
                              with ordinality u(booked, brought, paid, due, place) order by place) as back
                from pension_schedules s where s.tenant_id = %s and s.product = %s and amount_total(s.overpaid) > 0) x
            where amount_total(back) > 0 order by claim_id""",
        (session.info["tenant_id"], product),
    )
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def recovered(session: AsyncSession, row: ScheduleRow, minor: Sequence[int]) -> None:
    """Note what is owed no more of what was overpaid."""
    connection = await driver(session)
    await connection.execute(
        "update pension_schedules set overpaid = amounts_less(overpaid, %s) where member_id = %s and claim_id = %s",
        (list(minor), row.member_id, row.claim_id),
    )


async def to_pass_on(session: AsyncSession, product: str) -> list[tuple[int, list[int]]]:
    """Return the pensions (claim, smallest units by code) of the dead of which something is payable that a survivor gets."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select claim_id, owed from (
              select s.claim_id, array(
                       select greatest(coalesce(u.due, 0) + coalesce(u.brought, 0) - coalesce(u.paid, 0) + u.booked, 0)
                         from unnest(s.overpaid, s.brought, ({_PAID}), (
                                select amounts_total(net) from pension_instalments i
                                 where i.member_id = s.member_id and i.claim_id = s.claim_id and i.state = 'posted'))
                              with ordinality u(booked, brought, paid, due, place) order by place) as owed
                from pension_schedules s join pension_schedules n on n.tenant_id = s.tenant_id and n.after_claim = s.claim_id and n.death_claim = 0 and n.is_running
               where s.tenant_id = %s and s.product = %s and s.stops_on is not null) x
            where amount_total(owed) > 0 order by claim_id""",
        (session.info["tenant_id"], product),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def pass_on(session: AsyncSession, row: ScheduleRow, to: ScheduleRow, minor: Sequence[int]) -> None:
    """Note what was payable of a pension and is the survivor's; negative, what goes back."""
    connection = await driver(session)
    for one, sign in ((row, -1), (to, 1)):
        await connection.execute(
            "update pension_schedules set brought = amounts_plus(brought, %s) where member_id = %s and claim_id = %s",
            ([sign * part for part in minor], one.member_id, one.claim_id),
        )


async def owe_again(session: AsyncSession, row: ScheduleRow, minor: int) -> None:
    """Note that smallest units which had been set off against what was overpaid are owed again."""
    connection = await driver(session)
    await connection.execute(
        "update pension_schedules set overpaid[1] = overpaid[1] + %s where member_id = %s and claim_id = %s",
        (minor, row.member_id, row.claim_id),
    )
