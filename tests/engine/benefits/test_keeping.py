"""What went out of a pension after a death and is kept of heirs' shares, against PostgreSQL."""

import asyncio
import dataclasses
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.benefits import service
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules import CorpusRule
from engine.benefits.rules.estates import kept_of
from engine.identity.rules import MemberRef
from engine.runtime.database import Database
from tests.engine.benefits.test_survivors import Families
from tests.factories.claims import open_scheme
from tests.factories.heirs import nominee


@given(owing=st.integers(0, 10**9), shared=st.integers(0, 10**9), bp=st.integers(0, 10_000))
def test_no_more_is_kept_than_is_owed_nor_than_the_rule_says(owing: int, shared: int, bp: int) -> None:
    kept = kept_of(owing, shared, bp)
    assert kept in (owing, shared * bp // 10_000)
    assert kept <= owing
    assert kept * 10_000 <= shared * bp


@pytest.fixture
async def apy(db: Database, tenant_id: int, tmp_path: Path) -> Families:
    """APY, whose heirs let go what went out of the pension, up to the whole of what they get."""
    return ruled(Families(await open_scheme(db, tenant_id, tmp_path, "in-apy", "2023-04-03T04:30:00")), 10_000)


def ruled(families: Families, set_off_bp: int) -> Families:
    scheme = families.scheme
    book = scheme.tenant.pack.books[scheme.product]
    for version in book.versions():
        if isinstance(version.rule, CorpusRule):
            book = book.with_rule(version.ref, msgspec.structs.replace(version.rule, set_off_bp=set_off_bp))
    pack = dataclasses.replace(scheme.tenant.pack, books={**scheme.tenant.pack.books, scheme.product: book})
    return Families(dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack)))


async def widowless(apy: Families) -> tuple[MemberRef, ClaimRow]:
    """1,000 a month on the 5th: died on 10 May, told on 6 July, when June's and July's had gone out; two nominees."""
    heirs = [nominee("Meera Example", 7_500), nominee("Ravi Example", 2_500)]
    member, _ = await apy.retired(1000_00, "1000", heirs)
    await apy.scheme.clock("2023-07-06T04:30:00")
    assert (await apy.pay(date(2023, 7, 1))).totals.paying == 4000_00
    await apy.estates.dies(member, on=date(2023, 5, 10))
    claim = await apy.estates.name(await apy.estates.open(member), documents=["no-spouse-declaration"])
    assert claim.state == "decided", claim
    assert await apy.owed_back() == 2000_00
    return member, claim


async def test_heirs_share_what_is_left_once_what_went_out_is_kept(apy: Families) -> None:
    _, claim = await widowless(apy)
    ends = await asyncio.gather(*(apy.scheme.approve(claim) for _ in range(3)), return_exceptions=True)
    assert len([one for one in ends if isinstance(one, ClaimRow)]) == 1
    assert await apy.owed_back() == 0
    shares = [one.amount for one in (await apy.estates.given(claim)).values()]
    assert shares == [126_000_00, 42_000_00], "170,000 less 2,000"
    assert not await apy.scheme.broken()


async def test_what_the_rule_does_not_let_be_kept_stays_a_receivable_with_its_owner(apy: Families) -> None:
    apy = ruled(apy, 100)
    _, claim = await widowless(apy)
    await apy.scheme.approve(claim)
    assert await apy.owed_back() == 300_00, "one per cent of 170,000 is kept"
    ((owed,),) = await apy.scheme.rows("select amount_total(overpaid) from pension_schedules where heir_no = 0")
    assert owed == 300_00
    assert sum(one.amount for one in (await apy.estates.given(claim)).values()) == 168_300_00
    assert not await apy.scheme.broken()


async def test_without_the_rule_nothing_is_kept(apy: Families) -> None:
    apy = ruled(apy, 0)
    _, claim = await widowless(apy)
    await apy.scheme.approve(claim)
    assert await apy.owed_back() == 2000_00
    assert sum(one.amount for one in (await apy.estates.given(claim)).values()) == 170_000_00
    assert not await apy.scheme.broken()


async def test_a_death_taken_back_owes_again_what_was_kept_and_then_it_fell_due_after_all(apy: Families) -> None:
    _, claim = await widowless(apy)
    await apy.scheme.approve(claim)
    await apy.scheme.run("update death_notices set state = 'reversed' where tenant_id = :t")
    await apy.estates.follow()
    assert await apy.owed_back() == 2000_00
    assert not await apy.scheme.broken()
    await service.stop_pensions(apy.db, apy.tenant, apy.scheme.product)
    assert (await apy.pay(date(2023, 7, 1))).totals.due == 2000_00
    await service.stop_pensions(apy.db, apy.tenant, apy.scheme.product)
    assert await apy.owed_back() == 0
    assert not await apy.scheme.broken()


async def test_a_payment_that_comes_home_after_it_was_kept_is_the_heirs(apy: Families) -> None:
    member, claim = await widowless(apy)
    await apy.scheme.approve(claim)
    await apy.home(0)
    await service.stop_pensions(apy.db, apy.tenant, apy.scheme.product)
    assert await apy.owed_back() == 0
    assert not await apy.scheme.broken()
    assert (await apy.scheme.holds(member)).get("payable:own", 0) == 4000_00
