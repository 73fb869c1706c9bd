"""Pensions out of a pool: units sold for it, what the guarantor owes, the corpus that raises a pension; against PostgreSQL."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.benefits import service
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.enrolment.queries import undertakings
from engine.enrolment.rules import Undertaken
from engine.identity.rules import MemberRef, NomineePerson
from engine.runtime.database import Database
from tests.engine.benefits.test_payroll import Pensions, Stopped
from tests.factories.claims import MAKER, open_scheme

FUNDS = ("SM001011", "SM002011", "SM003011")
JOINED, SIXTY = date(2016, 4, 1), date(1963, 4, 2)


class Pooled(Pensions):
    """Atal Pension Yojana in 2023, with a member who is 60 there already."""

    async def saved(self, minor: int, slab: str = "", nominees: Sequence[NomineePerson] = ()) -> MemberRef:
        """A member who pays for a pension, and whose money has bought units of three funds at 10."""
        scheme = self.scheme
        member = await scheme.member(JOINED, SIXTY, nominees)
        event = await scheme.pay(member, minor, pot="pension", on=date(2023, 4, 3))
        given = [(member.member_id, event, scheme.product, Undertaken(slab, "monthly", JOINED, JOINED))]
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await undertakings.add_undertakings(session, given if slab else [])
        await scheme.allocate([(member.member_id, event)])
        await scheme.deal("2023-04-03")
        await scheme.clock("2023-04-05T04:30:00")
        await scheme.deal("2023-04-05", dict.fromkeys(FUNDS, "10"))
        return member

    async def sell(self) -> None:
        """Sell what is put up, at 10.4, and let its money come."""
        await self.scheme.deal("2023-04-05")
        await self.scheme.clock("2023-04-06T04:30:00")
        await self.scheme.deal("2023-04-06", dict.fromkeys(FUNDS, "10.4"))
        await self.scheme.settle("2023-04-06")

    async def retired(
        self, minor: int, slab: str, nominees: Sequence[NomineePerson] = ()
    ) -> tuple[MemberRef, ClaimRow]:
        """Such a member whose pension has begun, to an account of their own."""
        member = await self.saved(minor, slab, nominees)
        claim = await self.scheme.claim(member, "retirement", rule="pension-at-60")
        assert claim.state == "decided", claim
        assert (await self.scheme.approve(claim)).state == "selling"
        await self.sell()
        assert await service.carry_on_claims(self.db, self.tenant) == 1
        await self.name(claim, "001")
        return member, await self.scheme.find(claim)

    async def name(self, claim: ClaimRow, *numbers: str, holder: str = "Asha Example") -> None:
        """The account that instalments came from: no other is paid."""
        accounts = tuple(AccountGiven(rail="bank", number=one, holder=holder, paid_in=True) for one in numbers)
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await service.name_payee(
                session, self.keys, self.tenant, claim.claim_id, Payee(accounts=accounts), actor=MAKER
            )


@pytest.fixture
async def apy(db: Database, tenant_id: int, tmp_path: Path) -> Pooled:
    return Pooled(await open_scheme(db, tenant_id, tmp_path, "in-apy", "2023-04-03T04:30:00"))


async def test_the_pool_gets_what_the_units_brought_and_the_state_owes_the_rest(apy: Pooled) -> None:
    """1,000.00 become 1,039.99; for a pension of 1,000 the corpus is 170,000: the state owes 168,960.01."""
    member, claim = await apy.retired(1000_00, "1000")
    assert (claim.state, claim.amount, claim.top_up) == ("payable", 0, 0)
    assert await apy.scheme.holds(member) == {}
    assert await apy.scheme.control("pension-pool") == 170_000_00
    assert await apy.scheme.control("guarantee-receivable") == -168_960_01
    paid = await apy.pay(date(2023, 4, 1))
    assert (paid.totals.pensions, paid.totals.due, paid.totals.pooled, paid.totals.lacking) == (1, 1000_00, 1000_00, 0)
    assert await apy.scheme.control("pension-pool") == 169_000_00
    assert await apy.scheme.control("payouts-in-transit") == 1000_00
    assert not await apy.scheme.broken()


async def test_more_than_the_corpus_raises_the_pension(apy: Pooled) -> None:
    """180,000.00 become 187,200.00: 1,000 × 187,200 / 170,000 is 1,101.176, rounded down."""
    _, claim = await apy.retired(180_000_00, "1000")
    assert await apy.scheme.control("pension-pool") == 187_200_00
    assert await apy.scheme.control("guarantee-receivable") == 0
    await apy.scheme.clock("2023-06-06T04:30:00")
    paid = await apy.pay(date(2023, 6, 1))
    assert [row[2] for row in await apy.dues(claim)] == [1_101_17] * 3
    assert (paid.totals.pooled, paid.totals.lacking) == (3_303_51, 0)
    assert not await apy.scheme.broken()


async def test_what_the_pool_lacks_is_paid_and_claimed_from_the_state(apy: Pooled) -> None:
    """Somebody else's pension has emptied the pool but for 400.00: the state's 250.00 go next, and 350.00 are claimed."""
    _, claim = await apy.retired(1000_00, "1000")
    await apy.fund("state", 250_00)
    await apy.fund("scheme", -169_600_00)
    before = await apy.scheme.control("guarantee-receivable")
    paid = await apy.pay(date(2023, 4, 1))
    assert (paid.totals.pooled, paid.totals.lacking, paid.totals.paying) == (1000_00, 0, 1000_00)
    assert await apy.scheme.control("pension-pool") == 0
    assert await apy.scheme.control("guarantee-receivable") == before - 350_00
    assert [row[6] for row in await apy.dues(claim)] == ["posted"]
    assert not await apy.scheme.broken()


async def test_a_sale_is_carried_into_the_pool_once(apy: Pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops before the pension is written, then goes on twice at once."""
    member = await apy.saved(1000_00, "1000")
    claim = await apy.scheme.claim(member, "retirement", rule="pension-at-60")
    await apy.scheme.approve(claim)
    await apy.sell()

    async def stops(*_: Any, **__: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("engine.benefits.service.claiming.begin_schedule", stops)
        await service.carry_on_claims(apy.db, apy.tenant)
    assert await apy.scheme.control("pension-pool") == 0
    await apy.scheme.run("update quarantine set released_at = now(), released_by = 'x' where tenant_id = :t")
    done = await asyncio.gather(*(service.carry_on_claims(apy.db, apy.tenant) for _ in range(3)))
    assert sum(done) == 1
    assert await apy.scheme.control("pension-pool") == 170_000_00
    assert not await apy.scheme.broken()


async def test_who_has_not_said_which_pension_they_pay_for_has_none(apy: Pooled) -> None:
    member = await apy.saved(1000_00)
    claim = await apy.scheme.claim(member, "retirement", rule="pension-at-60")
    assert (claim.state, claim.reason) == ("refused", "engine.table-value-missing")
