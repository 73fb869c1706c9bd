"""Interest that a pool pays for: its income told and approved, the reserve, the sponsor, and members who leave before the declaration."""

import asyncio
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.access.errors import SamePerson
from engine.funds.errors import (
    NoPool,
    PoolIncomeChanged,
    PoolIncomeDecided,
    PoolIncomeMissing,
    PoolIncomeShort,
    PoolReferenceUsed,
    UnknownPoolIncome,
)
from engine.funds.rules.declaring import PoolTerms
from engine.funds.rules.interest import Movement
from engine.funds.rules.pooling import settle_year
from engine.funds.service import (
    PoolIncome,
    approve_income,
    credit_at_exit,
    list_incomes,
    propose_income,
    reject_income,
)
from engine.kernel.amounts import Amount
from tests.engine.funds.conftest import PRODUCT, Scheme
from tests.engine.funds.test_crediting import BARE, by_rule, credit, credited, day, move, series, with_rule

POOL = PoolTerms(held_by="custodian", short="topped-up", tops_up="sponsor")
STRICT = PoolTerms(held_by="custodian", short="refused")
MINOR = st.integers(-(10**9), 10**9)


@given(income=MINOR, credited=MINOR, reserve=MINOR, before=st.integers(0, 10**9), tops_up=st.booleans())
def test_every_unit_credited_is_paid_by_somebody(
    income: int, credited: int, reserve: int, before: int, *, tops_up: bool
) -> None:
    paid = settle_year(income=income, credited=credited, reserve=reserve, topped_up_before=before, tops_up=tops_up)
    assert credited == income + paid.topped_up - paid.reserved
    after = reserve + paid.reserved
    assert after == (-paid.short if paid.short else max(after, 0))
    assert not paid.short or not tops_up
    assert -before <= paid.topped_up
    if paid.topped_up > 0:
        assert after == 0
    if paid.topped_up < 0:
        assert reserve + income - credited > 0, "only a surplus goes back"


async def told(scheme: Scheme, major: str, reference: str = "P-1", on: str = "2023-06-01") -> PoolIncome:
    """Tell an income and approve it as another person."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        one = await propose_income(
            session,
            scheme.tenant,
            PRODUCT,
            date.fromisoformat(on),
            Amount.parse(major, scheme.tenant.asset),
            reference=reference,
            actor="staff:1",
        )
        return await approve_income(session, scheme.tenant, one.number, one.digest, actor="staff:2")


async def standing(scheme: Scheme) -> dict[str, int]:
    """Credit balances of the accounts that pay for interest."""
    rows = await scheme.rows(
        """select c.kind || case c.party when '' then '' else ':' || c.party end,
                  sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint
             from chart c join transfers t on c.code in (t.debit, t.credit)
            where c.kind in ('pool-income', 'interest-reserve', 'guarantee-receivable', 'due-to-party') group by 1"""
    )
    return {kind: minor for kind, minor in rows if minor}


async def one_saver(scheme: Scheme, **changes: Any) -> tuple[Scheme, int]:
    """A scheme whose interest a pool pays, and a member who earns 12,000 by 12 %, a week after the year."""
    scheme = with_rule(scheme, **{"pool": POOL, **changes})
    (member,) = await scheme.members(["first"])
    await move(scheme, member, [Movement(day(0), 100_000)])
    await scheme.clock("2024-04-08T12:00:00")
    return scheme, member


async def test_what_is_earned_above_the_interest_stays_in_the_reserve_and_pays_for_a_lean_year(scheme: Scheme) -> None:
    scheme, member = await one_saver(scheme)
    with pytest.raises(PoolIncomeMissing):
        await credit(scheme)
    await told(scheme, "150.00")
    assert await standing(scheme) == {"due-to-party:custodian": -15_000, "pool-income": 15_000}

    await credit(scheme)

    assert await credited(scheme, member) == 12_000
    assert await standing(scheme) == {"due-to-party:custodian": -15_000, "interest-reserve": 3_000}
    assert not await scheme.broken(but=BARE)

    # The next year earns 13,440 and the pool 100.00: 30.00 come out of the reserve, the sponsor gives 4.40 (and leap day's).
    rates = series(("2023-04-01", "2024-03-20", "12"), ("2024-04-01", "2025-03-20", "12"))
    scheme = with_rule(scheme, rates, pool=POOL)
    await told(scheme, "100.00", "P-2", "2024-06-01")
    await scheme.clock("2025-04-08T12:00:00")
    await credit(scheme, "2024-06-01")
    second = await credited(scheme, member) - 12_000
    assert second == 13_440
    assert await standing(scheme) == {"due-to-party:custodian": -25_000, "guarantee-receivable:sponsor": -440}
    assert (await credit(scheme, "2024-06-01")).members == 0
    assert await standing(scheme) == {"due-to-party:custodian": -25_000, "guarantee-receivable:sponsor": -440}

    # More is told of the year: the sponsor gets theirs back first.
    await told(scheme, "5.00", "P-3", "2024-06-01")
    await credit(scheme, "2024-06-01")
    assert await standing(scheme) == {"due-to-party:custodian": -25_500, "interest-reserve": 60}
    assert not await scheme.broken(but=BARE)


async def test_a_year_that_nobody_pays_for_is_refused_whole_until_more_is_told(scheme: Scheme) -> None:
    scheme, member = await one_saver(scheme, pool=STRICT)
    await told(scheme, "100.00")
    with pytest.raises(PoolIncomeShort) as refused:
        await credit(scheme)
    assert refused.value.details["lacks"] == "20.00"
    assert await credited(scheme, member) == 0
    assert await scheme.rows("select run_no from interest_runs") == []

    await told(scheme, "20.00", "P-2")
    await credit(scheme)
    assert await credited(scheme, member) == 12_000
    assert await standing(scheme) == {"due-to-party:custodian": -12_000}
    assert not await scheme.broken(but=BARE)


async def test_a_payment_into_the_year_while_it_is_credited_stops_the_run_until_it_is_paid_for(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = with_rule(scheme, pool=STRICT)
    members = sorted(await scheme.members(["first"] * 2))
    for member in members:
        await move(scheme, member, [Movement(day(0), 100_000)])
    await scheme.clock("2024-04-08T12:00:00")
    await told(scheme, "240.00")
    monkeypatch.setattr("engine.funds.queries.interest.MOST_MEMBERS", 1)
    from engine.funds.service import credit_interest

    seen: list[int] = []

    def stop(count: int) -> None:
        seen.append(count)
        if len(seen) == 1:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        await credit_interest(scheme.db, scheme.tenant, PRODUCT, day(5), "staff:2", progress=stop)
    await move(scheme, members[1], [Movement(day(0), 100_000)])
    with pytest.raises(PoolIncomeShort):
        await credit(scheme)
    assert [await credited(scheme, member) for member in members] == [12_000, 0]

    await told(scheme, "120.00", "P-2")
    await asyncio.gather(*(credit(scheme) for _ in range(3)))
    assert [await credited(scheme, member) for member in members] == [12_000, 24_000]
    assert await standing(scheme) == {"due-to-party:custodian": -36_000}
    assert not await scheme.broken(but=BARE)


async def test_an_income_is_told_once_and_approved_by_another_person_who_has_read_it(scheme: Scheme) -> None:
    bare = with_rule(scheme)
    with pytest.raises(NoPool):
        await told(bare, "1.00")
    scheme = with_rule(scheme, pool=POOL)
    asset = scheme.tenant.asset
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        one = await propose_income(
            session, scheme.tenant, PRODUCT, day(5), Amount(-500, asset), reference="LOSS", actor="staff:1"
        )
        again = await propose_income(
            session, scheme.tenant, PRODUCT, day(9), Amount(-500, asset), reference="LOSS", actor="staff:3"
        )
        assert again == one
        with pytest.raises(PoolReferenceUsed):
            await propose_income(
                session, scheme.tenant, PRODUCT, day(5), Amount(-501, asset), reference="LOSS", actor="staff:1"
            )
        with pytest.raises(SamePerson):
            await approve_income(session, scheme.tenant, one.number, one.digest, actor="staff:1")
        with pytest.raises(PoolIncomeChanged):
            await approve_income(session, scheme.tenant, one.number, "0" * 64, actor="staff:2")
        with pytest.raises(UnknownPoolIncome):
            await approve_income(session, scheme.tenant, 99, one.digest, actor="staff:2")

    async def approve() -> str:
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return (await approve_income(session, scheme.tenant, one.number, one.digest, actor="staff:2")).state

    assert await asyncio.gather(*(approve() for _ in range(3))) == ["approved"] * 3
    assert await standing(scheme) == {"due-to-party:custodian": 500, "pool-income": -500}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(PoolIncomeDecided):
            await reject_income(session, scheme.tenant, one.number, one.digest, actor="staff:2")
        wrong = await propose_income(
            session, scheme.tenant, PRODUCT, day(5), Amount(9, asset), reference="X", actor="staff:1"
        )
        rejected = await reject_income(session, scheme.tenant, wrong.number, wrong.digest, actor="staff:2")
        assert (rejected.state, [item.number for item in await list_incomes(session)]) == ("rejected", [2, 1])
        with pytest.raises(PoolIncomeDecided):
            await approve_income(session, scheme.tenant, wrong.number, wrong.digest, actor="staff:2")
    assert not await scheme.broken(but=BARE)


# -- who leaves before the year is declared

INTERIM = series(("2023-04-01", "2023-04-01", "6"), ("2024-04-01", "2024-04-01", "5"), code="interim-rate")
OLD = ("2022-04-01", "2023-03-20", "9")


async def leave(scheme: Scheme, member: int, on: date) -> int:
    """Leave on a day: interest of what is not declared, then all money out; return what was credited."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await credit_at_exit(
            session, scheme.tenant, member, PRODUCT, date(2023, 1, 1), on, actor="system:claims"
        )
    ((held,),) = await scheme.rows("select sum(credits - debits)::bigint from balances where member_id = :m", m=member)
    await move(scheme, member, [Movement(on, -held)])
    return sum(found.values())


def interim(**changes: Any) -> dict[str, Any]:
    return {"exits": "interim", "provisional": "interim-rate", "leavers_trued_up": False, **changes}


@pytest.mark.parametrize(
    ("changes", "percent", "final"),
    [
        (interim(), 6, 6),
        (interim(leavers_trued_up=True), 6, 12),
        ({"exits": "last-declared", "leavers_trued_up": False}, 9, 9),
        ({"exits": "nothing", "leavers_trued_up": False}, 0, 0),
        ({"exits": "when-declared", "leavers_trued_up": False}, 0, 12),
    ],
)
async def test_who_leaves_before_the_declaration_gets_what_the_rule_says(
    scheme: Scheme, changes: dict[str, Any], percent: int, final: int
) -> None:
    before = with_rule(scheme, series(OLD), INTERIM, **changes)
    leaver, stayer = await scheme.members(["first", "first"])
    for member in (leaver, stayer):
        await move(scheme, member, [Movement(day(0), 100_000)])
    await scheme.clock("2023-10-01T12:00:00")
    out = day(183)  # 1 October: the money earns from 2 April to that day, both counted

    got = await leave(before, leaver, out)

    assert got == 100_000 * 183 * percent // 36_500
    assert await credited(scheme, leaver) == got
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        again = await credit_at_exit(
            session, before.tenant, leaver, PRODUCT, date(2023, 1, 1), out, actor="system:claims"
        )
    assert again == {}
    declared = with_rule(scheme, series(OLD, ("2023-04-01", "2024-03-20", "12")), INTERIM, **changes)
    await scheme.clock("2024-04-08T12:00:00")
    await credit(declared)
    assert await credited(declared, leaver) == 100_000 * 183 * final // 36_500
    assert await credited(declared, stayer) == 12_000
    assert (await credit(declared)).members == 0
    assert not await scheme.broken(but=BARE)


async def test_a_year_that_ended_undeclared_is_settled_too_and_its_interest_earns_in_the_next(scheme: Scheme) -> None:
    scheme = with_rule(scheme, series(OLD), INTERIM, **interim())
    (member,) = await scheme.members(["first"])
    await move(scheme, member, [Movement(day(0), 100_000)])
    await scheme.clock("2024-04-30T12:00:00")

    got = await leave(scheme, member, date(2024, 4, 30))

    first = 100_000 * 365 * 6 // 36_500
    assert got == first + 100_000 * 30 * 5 // 36_500
    assert await scheme.rows("select year_from, minor from interest_exits order by 1") == [
        (date(2023, 4, 1), first),
        (date(2024, 4, 1), got - first),
    ]
    assert not await scheme.broken(but=BARE)


async def test_who_stays_after_all_is_credited_the_difference(scheme: Scheme) -> None:
    before = with_rule(scheme, series(OLD), INTERIM, **interim())
    (member,) = await scheme.members(["first"])
    moves = [Movement(day(0), 100_000)]
    await move(scheme, member, moves)
    await scheme.clock("2023-10-01T12:00:00")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await credit_at_exit(session, before.tenant, member, PRODUCT, date(2023, 1, 1), day(183), actor="system:claims")
    declared = with_rule(scheme, series(OLD, ("2023-04-01", "2024-03-20", "12")), INTERIM, **interim())
    await scheme.clock("2024-04-08T12:00:00")
    await credit(declared)
    assert await credited(declared, member) == by_rule(declared, moves) == 12_000
    assert not await scheme.broken(but=BARE)
