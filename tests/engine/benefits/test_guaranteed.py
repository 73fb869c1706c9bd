"""What is guaranteed of a pension after a death, against PostgreSQL: paid by payrolls to the heirs, each their share to the last paisa."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from engine.benefits import service
from engine.benefits.errors import MoreThanReleased, PayoutUnderWay
from engine.benefits.queries import schedules
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.schedules import ScheduleRow
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.benefits.service import HeirNamed
from engine.identity.rules import MemberRef, NomineePerson
from engine.runtime.database import Database
from tests.engine.benefits.test_survivors import Families
from tests.factories.claims import CHECKER, open_scheme
from tests.factories.heirs import heir, nominee

GUARANTEE = """
[[rule]]
kind = "guarantee-period"
id = "a-year-certain"
years = 1
leap_day = "1-march"
payee = "nominees"
share_bp = 10000
rounding = "down"
source = "test: annuities certain for a year"
confidence = "high"
"""
THREE = [nominee("Meera Example", 3334), nominee("Ravi Example", 3333), nominee("Sita Example", 3333)]


@pytest.fixture
async def apy(db: Database, tenant_id: int, tmp_path: Path) -> Families:
    """Atal Pension Yojana, its pensions guaranteed for a year from their start."""
    return Families(await open_scheme(db, tenant_id, tmp_path, "in-apy", "2023-04-03T04:30:00", rules=GUARANTEE))


async def buried(
    apy: Families, nominees: Sequence[NomineePerson] = (), heirs: Sequence[HeirNamed] = ()
) -> tuple[MemberRef, ClaimRow, ClaimRow]:
    """Retired on 5 April at 1,101.17 a month, paid three times, died on 10 June without a spouse; the claim is decided on 6 July."""
    member, pension = await apy.retired(180_000_00, "1000", nominees)
    await apy.scheme.clock("2023-06-06T04:30:00")
    assert (await apy.pay(date(2023, 6, 1))).totals.paying == 3 * 1_101_17
    await apy.scheme.clock("2023-07-06T04:30:00")
    await apy.estates.dies(member, on=date(2023, 6, 10))
    claim = await apy.estates.open(member)
    papers = ["no-spouse-declaration", *(["succession-certificate"] if heirs else [])]
    claim = await apy.estates.name(claim, heirs, documents=papers)
    assert claim.state == "decided", claim
    return member, pension, claim


async def shares(apy: Families, pension: ClaimRow) -> dict[int, ScheduleRow]:
    """The heirs' shares of a pension that go on, by heir."""
    async with apy.db.unit_of_work(apy.tenant.tenant_id) as session:
        found = await schedules.guaranteed_of(session, pension.claim_id)
    return {one.heir_no: one for one in found}


async def name(apy: Families, share: ScheduleRow, holder: str) -> None:
    account = AccountGiven(
        rail="bank", number=f"01{share.heir_no}", holder=holder, is_verified=True, documents=("proof-of-new-account",)
    )  # fmt: skip
    async with apy.db.unit_of_work(apy.tenant.tenant_id) as session:
        await service.name_payee(
            session, apy.keys, apy.tenant, share.claim_id, Payee(accounts=(account,)), actor="staff:3"
        )


async def left(apy: Families, pension: ClaimRow) -> int:
    async with apy.db.unit_of_work(apy.tenant.tenant_id) as session:
        return len(await service.remaining_guaranteed(session, apy.tenant, pension.claim_id))


async def test_heirs_have_the_rest_of_the_year_in_exact_shares(apy: Families) -> None:
    """Nine payments of 1,101.17 are left, July's to March's. 33.34 % of 110,117 paise are 36,713.007, and 33.33 % 36,701.996:

    36,713 and 36,701 each, and the two paise that are left over go to the two largest remainders: 36,713, 36,702, 36,702.
    """
    _, pension, claim = await buried(apy, THREE)
    assert await left(apy, pension) == 9
    assert await shares(apy, pension) == {}
    ends = await asyncio.gather(*(apy.scheme.approve(claim, actor=CHECKER) for _ in range(3)), return_exceptions=True)
    assert len([one for one in ends if isinstance(one, ClaimRow)]) == 1
    begun = await shares(apy, pension)
    assert {one: (row.plan.amount, row.plan.due_on(1), row.stops_on) for one, row in begun.items()} == {
        1: (367_13, date(2023, 7, 5), date(2024, 4, 5)),
        2: (367_02, date(2023, 7, 5), date(2024, 4, 5)),
        3: (367_02, date(2023, 7, 5), date(2024, 4, 5)),
    }
    assert await left(apy, pension) == 0
    for number, one in begun.items():
        await name(apy, one, THREE[number - 1].full_name)
    await apy.fund("scheme", 20_000_00)
    due = await apy.pay(date(2023, 7, 1))
    assert (due.totals.pensions, due.totals.due, due.totals.pooled, due.totals.paying) == (
        3,
        1_101_17,
        1_101_17,
        1_101_17,
    )
    assert not await apy.scheme.broken()
    await apy.scheme.clock("2024-05-06T04:30:00")
    due = await apy.pay(date(2024, 5, 1))
    assert (due.totals.due, due.totals.paying) == (8 * 1_101_17, 8 * 1_101_17)
    assert await apy.paid_out() == {0: 3 * 1_101_17, 1: 9 * 367_13, 2: 9 * 367_02, 3: 9 * 367_02}
    await apy.scheme.clock("2024-06-06T04:30:00")
    assert (await apy.pay(date(2024, 6, 1))).totals.pensions == 0
    assert not await apy.scheme.broken()


async def test_a_childs_share_waits_until_they_are_of_age(apy: Families) -> None:
    child = [nominee("Meera Example", 5000), nominee("Little Example", 5000, born_on=date(2006, 1, 10))]
    _, pension, claim = await buried(apy, child)
    await apy.scheme.approve(claim, actor=CHECKER)
    begun = await shares(apy, pension)
    await name(apy, begun[1], "Meera Example")
    with pytest.raises(MoreThanReleased):
        await name(apy, begun[2], "Little Example")
    await apy.fund("scheme", 20_000_00)
    due = await apy.pay(date(2023, 7, 1))
    assert due.fates == {"approved": (1, 550_59), "no-account": (1, 550_58)}
    await apy.scheme.clock("2024-01-10T04:30:00")
    await name(apy, begun[2], "Little Example")
    assert (await apy.pay(date(2024, 1, 1))).totals.paying == 6 * 550_59 + 7 * 550_58
    assert not await apy.scheme.broken()


async def test_a_death_that_was_anothers_takes_the_shares_back(apy: Families) -> None:
    _, pension, claim = await buried(apy, THREE)
    await apy.scheme.approve(claim, actor=CHECKER)
    begun = await shares(apy, pension)
    await name(apy, begun[1], "Meera Example")
    await apy.fund("scheme", 20_000_00)
    pool = await apy.scheme.control("pension-pool")
    await apy.pay(date(2023, 7, 1))
    await apy.scheme.run("update death_notices set state = 'reversed' where tenant_id = :t")
    await service.stop_pensions(apy.db, apy.tenant, apy.scheme.product)
    assert await apy.scheme.control("pension-pool") == pool
    assert await apy.owed_back() == 367_13
    assert all(one.stops_on == one.plan.due_on(1) for one in (await shares(apy, pension)).values())
    assert await left(apy, pension) == 9
    await apy.home(1)
    await service.stop_pensions(apy.db, apy.tenant, apy.scheme.product)
    assert await apy.owed_back() == 0
    assert not await apy.scheme.broken()


async def test_a_late_heir_shares_what_is_still_to_come(apy: Families) -> None:
    """One heir by law had July's whole; with a second one from August on each has half of 1,101.17."""
    _, pension, claim = await buried(apy, heirs=[heir("Meera Example", 10_000)])
    paid = await apy.scheme.approve(claim, actor=CHECKER)
    begun = await shares(apy, pension)
    await name(apy, begun[1], "Meera Example")
    await apy.fund("scheme", 20_000_00)
    assert (await apy.pay(date(2023, 7, 1))).totals.paying == 1_101_17
    asked = await apy.estates.name(paid, [heir("Ravi Example", 5000)], known={1: 5000})
    await apy.scheme.clock("2023-08-06T04:30:00")
    digest = service.anew_digest(asked)
    waiting = await apy.propose(date(2023, 8, 1))
    with pytest.raises(PayoutUnderWay):
        await apy.estates.share_anew(asked, digest)
    await service.reject_payroll(apy.db, apy.tenant, waiting.row.run_no, digest=waiting.row.digest, actor=CHECKER)
    await apy.estates.share_anew(asked, digest)
    async with apy.db.unit_of_work(apy.tenant.tenant_id) as session:
        found = await schedules.guaranteed_of(session, pension.claim_id)
    assert [(one.heir_no, one.plan.amount, one.plan.due_on(1), one.stops_on) for one in found] == [
        (1, 1_101_17, date(2023, 7, 5), date(2023, 8, 5)),
        (1, 550_59, date(2023, 8, 5), date(2024, 4, 5)),
        (2, 550_58, date(2023, 8, 5), date(2024, 4, 5)),
    ]
    for one, holder in zip(found[1:], ("Meera Example", "Ravi Example"), strict=True):
        await name(apy, one, holder)
    assert (await apy.pay(date(2023, 8, 1))).totals.paying == 1_101_17
    assert not await apy.scheme.broken()
