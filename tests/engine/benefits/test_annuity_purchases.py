"""Annuities that retirement claims buy, against PostgreSQL: paid to the insurer once, closed by a policy, or refused and home again."""

import asyncio
import csv
import io
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from engine.app import LAWS
from engine.benefits import service
from engine.benefits.errors import AnnuityAnswered, AnnuityNotPaid, PayoutUnderWay, UnknownAnnuity
from engine.benefits.queries import paying
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules.paying import AccountGiven, Payout
from engine.benefits.service import BankRail, Payers, Purchase
from engine.benefits.service.homing import bring_home
from engine.identity.rules import MemberRef
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from tests.factories.claims import CHECKER, MAKER, ROOT, Claims, open_scheme
from tests.factories.heirs import UNKEPT
from tests.factories.payouts import approve

OPTION = """
[[rule]]
kind = "retirement-option"
id = "quarter-and-annuity"
grounds = ["retirement"]
order = { pots = ["open", "locked"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
least_lump_bp = 0
most_lump_bp = 2500
lump_rounding = "down"
rest = "annuity"
insurer = "insurer"
source = "test"
confidence = "high"
"""
JOINED, BORN = date(2015, 6, 1), date(1960, 1, 1)
INSURERS = AccountGiven(rail="bank", number="900", holder="The insurer", is_verified=True)
OTHER = AccountGiven(rail="bank", number="901", holder="The insurer", is_verified=True)


class Retiring:
    """The worked pack with an option that buys an annuity, and a bank that pays."""

    def __init__(self, scheme: Claims) -> None:
        self.scheme = scheme
        rail = BankRail(pays_from=scheme.channel, holder="A Scheme", number="0001", bank="X", sender="SCHEME")
        self.payers = Payers(Exchanges(scheme.db, scheme.keys, {}, lambda *_: ""), banks={"bank": rail})

    async def saver(self) -> MemberRef:
        member = await self.scheme.member(JOINED, BORN)
        await self.scheme.pay(member, 600_00, pot="open", on=JOINED)
        await self.scheme.pay(member, 400_01, pot="locked", on=JOINED)
        return member

    async def retire(self, member: MemberRef, lump_bp: int, key: str = "k") -> ClaimRow:
        claim = await self.scheme.claim(
            member, "retirement", key=key, rule="quarter-and-annuity", ground="retirement", lump_bp=lump_bp
        )
        assert claim.state == "decided", claim
        return await self.scheme.approve(claim)

    async def pay(self, claim: ClaimRow, account: AccountGiven = INSURERS) -> Payout:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await service.pay_annuity(
                session, self.scheme.keys, self.scheme.tenant, claim.claim_id, account=account, actor=MAKER
            )

    async def send(self, payout: Payout) -> Payout:
        return await approve(self.scheme.db, self.scheme.keys, self.scheme.tenant, self.payers, payout)

    async def confirm(self, claim: ClaimRow, policy: str) -> Purchase:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await service.confirm_annuity(
                session, self.scheme.keys, self.scheme.tenant, claim.claim_id, policy=policy, actor=CHECKER
            )

    async def refuse(self, claim: ClaimRow) -> Purchase:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await service.refuse_annuity(session, self.scheme.tenant, claim.claim_id, actor=CHECKER)

    async def home(self, payout: Payout) -> None:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            row = await paying.find_payout(session, payout.id, lock=True)
            assert row is not None
            await bring_home(
                session, self.scheme.keys, self.scheme.tenant, [row], reason="no such account", actor="system:payouts"
            )

    async def sound(self) -> None:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            assert [one for one in await ledger.check(session, LAWS) if one.law not in UNKEPT] == []


@pytest.fixture
async def retiring(db: Database, tenant_id: int, tmp_path: Path) -> Retiring:
    folder = tmp_path / "xx-benefits"
    shutil.copytree(ROOT / "tests/packs/xx-benefits", folder)
    rules = folder / "savings/rules/2015-01-01.toml"
    rules.write_text(rules.read_text() + OPTION)
    return Retiring(await open_scheme(db, tenant_id, tmp_path, str(folder), "2022-03-01T08:00:00"))


async def test_a_quarter_is_the_members_and_the_rest_buys_an_annuity(retiring: Retiring) -> None:
    """Of 1,000.01 a quarter is 250.0025, rounded down; 750.01 go to the insurer, and not a cent of it to the member."""
    scheme = retiring.scheme
    member = await retiring.saver()
    claim = await retiring.retire(member, 2500)
    assert (claim.state, claim.amount) == ("payable", 250_00)
    assert await scheme.holds(member) == {"payable:own": 250_00}
    assert await scheme.control("annuity-purchases") == 750_01
    with pytest.raises(AnnuityNotPaid):
        await retiring.confirm(claim, "P-1")
    made = await asyncio.gather(*(retiring.pay(claim) for _ in range(3)))
    assert len({one.id for one in made}) == 1
    with pytest.raises(PayoutUnderWay):
        await retiring.pay(claim, OTHER)
    with pytest.raises(PayoutUnderWay):
        await retiring.refuse(claim)
    with pytest.raises(AnnuityNotPaid):
        await retiring.confirm(claim, "P-1")
    await retiring.send(made[0])
    assert await scheme.control("annuity-purchases") == 0
    assert await scheme.control("payouts-in-transit") == 750_01
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        raw = await service.annuity_document(session, scheme.keys, scheme.tenant, claim.claim_id, actor=CHECKER)
    head, line = list(csv.reader(io.StringIO(raw.decode())))
    told = dict(zip(head, line, strict=True))
    assert (told["full_name"], told["born_on"], told["amount"]) == ("Asha Example", "1960-01-01", "750.01")
    done = await asyncio.gather(*(retiring.confirm(claim, "P-1") for _ in range(3)))
    assert {one.state for one in done} == {"confirmed"}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert await service.policy_of(session, scheme.keys, done[0]) == "P-1"
    ((events,),) = await scheme.rows("select count(*) from events where kind = 300")
    assert events == 1
    with pytest.raises(AnnuityAnswered):
        await retiring.confirm(claim, "P-2")
    with pytest.raises(AnnuityAnswered):
        await retiring.refuse(claim)
    with pytest.raises(UnknownAnnuity):
        await retiring.refuse(replace(claim, claim_id=17))
    await retiring.sound()


async def test_what_the_insurer_refuses_comes_home_and_the_member_chooses_anew(retiring: Retiring) -> None:
    scheme = retiring.scheme
    member = await retiring.saver()
    claim = await retiring.retire(member, 0)
    assert (claim.amount, await scheme.holds(member)) == (0, {})
    payout = await retiring.pay(claim)
    await retiring.send(payout)
    with pytest.raises(PayoutUnderWay):
        await retiring.refuse(claim)
    await retiring.home(payout)
    assert await scheme.control("annuity-purchases") == 1000_01
    done = await asyncio.gather(*(retiring.refuse(claim) for _ in range(3)))
    assert {one.state for one in done} == {"refused"}
    assert await scheme.holds(member) == {"cash:own": 1000_01}
    assert await scheme.control("annuity-purchases") == 0
    with pytest.raises(AnnuityAnswered):
        await retiring.pay(claim)
    again = await retiring.retire(member, 2500, key="again")
    assert (again.state, again.amount) == ("payable", 250_00)
    await retiring.sound()


async def test_money_that_came_back_is_sent_once_more_to_another_account(retiring: Retiring) -> None:
    claim = await retiring.retire(await retiring.saver(), 0)
    payout = await retiring.pay(claim)
    await retiring.send(payout)
    await retiring.home(payout)
    again = await retiring.pay(claim, OTHER)
    assert again.id != payout.id
    await retiring.send(again)
    assert (await retiring.confirm(claim, "P-9")).state == "confirmed"
    assert await retiring.scheme.control("annuity-purchases") == 0
    await retiring.sound()
