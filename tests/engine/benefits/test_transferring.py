"""Savings that go to other schemes and come from them, against PostgreSQL, by figures worked out here: once, or home, or not at all."""

import asyncio
import contextlib
from datetime import date
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.benefits import service
from engine.benefits.errors import (
    AdviceDiffers,
    AdviceKnown,
    BelowLeastPayable,
    ClaimDiffers,
    MemberDeceased,
    NotReconciled,
    OriginNotTaken,
    PaymentDiffers,
    PaymentsSuspended,
    PayoutUnderWay,
    TransferDecided,
    TransferDiffers,
    TransferNotSent,
    TransferNotTaken,
    UnknownTransfer,
)
from engine.benefits.queries import transferring as queries
from engine.benefits.queries.transferring_laws import TRANSFER_LAWS
from engine.benefits.rules.advices import TransferAdvice
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.contributions import service as contributions
from engine.contributions.errors import AlreadyResolved, UnknownSuspense
from engine.identity import service as identity
from engine.identity.errors import MoneyOnItsWay, UnknownMember
from engine.identity.rules import MemberRef
from engine.kernel.errors import EngineError, Invalid
from engine.ledger import service as ledger
from engine.reconciliation import service as reconciliation
from engine.reports import service as reports
from engine.runtime.database import Database
from tests.engine.benefits.test_loans import OWN_LOAN
from tests.factories.claims import CHECKER, MAKER
from tests.factories.transfers import THERE, Transfers, open_transfers

FORTY = date(1983, 1, 1)
JOINED = date(2021, 6, 1)
CHARGE = 'charge = "1000"\npayee = "operator"'
SHOWN_BY_NOBODY = (
    "only-reconciled-cash-is-dealt",
    "proceeds-come-once",
    "collections-hold-what-is-not-ordered",
)
"""The factory pays money in, and managers' money, that no statement shows."""


@pytest.fixture
async def going(db: Database, tenant_id: int, tmp_path: Path) -> Transfers:
    """EjoHeza on 1 February 2023, which sends all savings to other schemes for 1,000 francs, and takes those of others."""
    return await open_transfers(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", charge=CHARGE)


async def saver(going: Transfers) -> MemberRef:
    """Own 60,000 and 40,000 francs, and the state's 18,000; interest of 2,000 came to the own ones."""
    scheme = going.scheme
    member = await scheme.member(JOINED, FORTY)
    await scheme.pay(member, 60_000, pot="savings", on=date(2022, 1, 5))
    await scheme.pay(member, 40_000, pot="savings", on=date(2022, 3, 5))
    await scheme.pay(member, 18_000, pot="savings", on=date(2022, 4, 5), origin="state-match")
    return member


async def test_savings_go_with_their_days_and_origins_and_are_acknowledged(going: Transfers) -> None:
    """Of 118,000 francs the charge takes 1,000 of the own ones: 99,000 and 18,000 go, all of it contributions."""
    member = await saver(going)
    asked = await going.ask(member)
    assert (asked.state, asked.claim.amount, asked.claim.tax) == ("decided", 118_000, 0)
    assert await going.scheme.holds(member) == {"cash:own": 100_000, "cash:state-match": 18_000}, "nothing has moved"
    assert await going.ask(member) == asked, "the same request again is the same claim"
    with pytest.raises(UnknownTransfer):
        await going.advice(asked)
    with pytest.raises(UnknownTransfer):
        await going.pay(asked)
    with pytest.raises(SamePerson):
        await going.scheme.approve(asked.claim, actor=MAKER)
    with pytest.raises(ClaimDiffers):
        await going.scheme.approve(asked.claim, digest="0" * 64)

    await going.scheme.approve(asked.claim)
    left = await going.find(asked)
    assert left.state == "in-transit"
    assert await going.scheme.holds(member) == {}
    assert await going.scheme.control("transfers-in-transit") == 117_000
    assert await going.scheme.control("fees-payable") == 1_000

    advice = await going.advice(left)
    assert (advice.reference, advice.receiver, advice.joined_on) == (f"T{left.claim.claim_id}", THERE, JOINED)
    assert advice.member.full_name == "Asha Example"
    assert [(one.origin, one.amount, one.contributions, one.income, one.vests_from) for one in advice.parts] == [
        ("own", "99000", "99000", "0", date(2022, 1, 5)),
        ("state-match", "18000", "18000", "0", date(2022, 4, 5)),
    ]
    assert [(one.paid_on, one.origin, one.amount) for one in advice.payments] == [
        (date(2022, 1, 5), "own", "59400"),  # what the charge took lessens both in proportion
        (date(2022, 3, 5), "own", "39600"),
        (date(2022, 4, 5), "state-match", "18000"),
    ]
    assert await going.advice(left) == advice

    payout = await going.pay(left)
    assert (payout.amount, payout.payee, payout.number, payout.name_check) == ("117000", THERE, "0099", "agrees")
    assert await going.pay(left) == payout, "one payout of it is under way"
    with pytest.raises(TransferNotSent):
        await going.acknowledge(left)
    await going.approve_payout(payout)
    assert await going.scheme.control("transfers-in-transit") == 0
    assert await going.scheme.control("payouts-in-transit") == 117_000
    assert (await going.find(left)).state == "paying"
    with pytest.raises(PayoutUnderWay):
        await going.home(left)
    assert not await going.broken()
    await going.show((-117_000, payout.id.hex))
    assert (await going.find(left)).state == "sent"

    done = await going.acknowledge(left)
    assert done.left is not None
    assert (done.state, done.left.acknowledgement) == ("acknowledged", "THEIRS-1")
    for act in (going.acknowledge, going.pay):
        with pytest.raises(TransferDecided):
            await act(done)
    assert await going.scheme.control("transfers-in-transit") == 0
    async with going.scheme.db.unit_of_work(going.scheme.tenant.tenant_id) as session:
        assert [one.state for one in await service.list_transfers(session)] == ["acknowledged"]
    assert not await going.broken()


async def test_the_approval_is_of_the_account_that_is_paid(going: Transfers) -> None:
    member = await saver(going)
    ours = await going.ask(member)
    async with going.scheme.db.unit_of_work(going.scheme.tenant.tenant_id) as session:
        await service.withdraw_claim(session, going.scheme.tenant, ours.claim.claim_id, actor=MAKER)
    other = await going.ask(member, key="other", number="0098")

    assert ours.claim.amount == other.claim.amount
    assert ours.claim.digest != other.claim.digest
    with pytest.raises(ClaimDiffers):
        await going.scheme.approve(other.claim, digest=ours.claim.digest)


async def test_the_other_scheme_asks_with_the_member_s_consent(going: Transfers) -> None:
    member = await saver(going)

    asked = await going.ask(member, by_scheme=True, reference="CASE-7")
    assert asked.state == "open"
    assert service.missing_of(going.scheme.tenant, asked.claim) == ("consent",)
    async with going.scheme.db.unit_of_work(going.scheme.tenant.tenant_id) as session:
        await service.add_documents(
            session, going.scheme.keys, going.scheme.tenant, asked.claim.claim_id, {"consent": "a" * 64}, actor=MAKER
        )
    await going.scheme.approve((await going.find(asked)).claim)

    assert (await going.advice(await going.find(asked))).receiver_reference == "CASE-7"


async def test_what_never_went_or_came_back_is_home_in_its_pots_with_the_charge(going: Transfers) -> None:
    member = await saver(going)
    whole = await going.scheme.holds(member)
    for turn, key in enumerate(("never", "failed", "returned")):
        asked = await going.ask(member, key=key)
        assert asked.state == "decided", "a transfer that came home is none: the next need not wait a year"
        await going.scheme.approve(asked.claim)
        left = await going.find(asked)
        if turn == 1:
            await going.fail(await going.approve_payout(await going.pay(left)))
        if turn == 2:
            payout = await going.paid(left)
            await going.show((117_000, payout.id.hex))
        assert (await going.find(left)).state == "in-transit"
        assert await going.scheme.control("transfers-in-transit") == 117_000

        home = await going.home(left)

        assert home.state == "home"
        assert home.claim.closed_event
        assert await going.scheme.holds(member) == whole
        assert await going.scheme.control("fees-payable") == await going.scheme.control("transfers-in-transit") == 0
        for act in (going.home, going.pay, going.acknowledge):
            with pytest.raises(TransferDecided):
                await act(left)
        assert not await going.broken()


async def test_what_failed_is_paid_again_and_never_twice(going: Transfers) -> None:
    left = await going.sent_off(await saver(going))
    first = await going.approve_payout(await going.pay(left))
    await going.fail(first)

    second = await going.paid(left)

    assert second.id != first.id
    assert (await going.acknowledge(left)).state == "acknowledged"
    assert not await going.broken()


async def test_what_comes_back_as_a_payment_of_its_own_is_taken_out_of_suspense(going: Transfers) -> None:
    member = await saver(going)
    left = await going.sent_off(member)
    early = await going.receive(117_000, named="T-BACK", reference="B0")
    with pytest.raises(TransferNotSent):
        await going.home(left, receipt=early)
    await going.paid(left)
    less = await going.receive(116_000, named="T-BACK", reference="B1")
    with pytest.raises(PaymentDiffers):
        await going.home(left, receipt=less)
    with pytest.raises(UnknownSuspense):
        await going.home(left, receipt=less + 1)
    back = await going.receive(117_000, named="T-BACK", reference="B2")
    with pytest.raises(NotReconciled):
        await going.home(left, receipt=back)
    await going.show((117_000, "B2"))

    home = await going.home(left, receipt=back)

    assert (home.state, home.left.receipt if home.left else 0) == ("home", back)
    assert await going.scheme.holds(member) == {"cash:own": 100_000, "cash:state-match": 18_000}
    with pytest.raises(AlreadyResolved):
        async with going.scheme.db.unit_of_work(going.scheme.tenant.tenant_id) as session:
            await contributions.propose_reversal(
                session, going.scheme.tenant, back, reason="paid-by-mistake", actor=MAKER
            )
    assert not await going.broken()


async def test_loans_and_claims_in_flight_keep_savings_here(db: Database, tenant_id: int, tmp_path: Path) -> None:
    going = await open_transfers(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00",
                                 more=OWN_LOAN.replace("ACTION", "freeze"))  # fmt: skip
    scheme, member = going.scheme, await saver(going)

    claim = await scheme.claim(member, "access", rule="early-access", purpose="education", minor=1_000)
    waits = await going.ask(member, key="a")
    assert (waits.state, waits.claim.reason) == ("refused", "benefits.transfer-waits")
    async with scheme.db.unit_of_work(tenant_id) as session:
        await service.withdraw_claim(session, scheme.tenant, claim.claim_id, actor=MAKER)
    loan = await scheme.claim(member, "loan", minor=20_000, key="loan", rule="own-loan", instalments=10)
    await scheme.approve(loan)
    waits = await going.ask(member, key="b")
    assert (waits.state, waits.claim.reason) == ("refused", "benefits.transfer-waits")
    new = await scheme.member(date(2022, 6, 1), FORTY)
    await scheme.pay(new, 60_000, pot="savings", on=date(2022, 7, 5))
    soon = await going.ask(new, key="c")
    assert (soon.state, soon.claim.reason) == ("refused", "benefits.transfer-too-soon")
    empty = await going.ask(await scheme.member(JOINED, FORTY), key="d")
    assert (empty.state, empty.claim.reason) == ("refused", "benefits.nothing-to-transfer")
    other = await scheme.member(JOINED, FORTY)
    await scheme.pay(other, 60_000, pot="savings", on=date(2022, 7, 5))
    asked = await going.ask(other, key="e")
    late = await scheme.claim(other, "access", rule="early-access", purpose="education", minor=1_000, key="late")
    assert late.state == "refused", "what is granted is reserved"
    await scheme.approve(asked.claim)
    await scheme.pay(other, 60_000, pot="savings", on=date(2022, 7, 5))
    again = await going.ask(other, key="f")
    assert (again.state, again.claim.reason) == ("refused", "benefits.transfer-too-soon")
    assert not await going.broken()


async def test_who_died_goes_nowhere(going: Transfers) -> None:
    member = await saver(going)
    left = await going.sent_off(member)
    payout = await going.pay(left)
    await going.estates.dies(member, on=date(2023, 1, 31))

    with pytest.raises(MemberDeceased):
        await going.approve_payout(payout)
    async with going.scheme.db.unit_of_work(going.scheme.tenant.tenant_id) as session:
        await service.refuse(session, going.scheme.keys, going.scheme.tenant, payout.id, actor=CHECKER)

    assert (await going.home(left)).state == "home", "the heirs claim it"
    assert not await going.broken()


async def test_nobody_pays_a_transfer_as_something_else(going: Transfers) -> None:
    member = await saver(going)
    left = await going.sent_off(member)
    payee = Payee(accounts=(AccountGiven(rail="bank", number="1"),))

    with pytest.raises((Invalid, BelowLeastPayable)) as refused:
        async with going.scheme.db.unit_of_work(going.scheme.tenant.tenant_id) as session:
            await service.instruct(
                session, going.scheme.keys, going.scheme.tenant, member_id=member.member_id, product=member.product,
                amounts={("savings", "own"): 1}, payee=payee, source=f"transfer:{left.claim.claim_id}", actor=MAKER,
            )  # fmt: skip

    assert refused.type is Invalid


async def _fates(*acts: object) -> list[str]:
    """Run at once; return what each came to, sorted."""
    done = await asyncio.gather(*acts, return_exceptions=True)  # type: ignore[call-overload]
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, EngineError):
            raise one
    return sorted(type(one).__name__ for one in done)


async def test_of_a_payout_and_a_homecoming_at_once_one_happens(going: Transfers) -> None:
    member = await saver(going)
    left = await going.sent_off(member)

    fates = await _fates(going.home(left), going.pay(left), going.home(left), going.pay(left))

    state = (await going.find(left)).state
    if state == "home":
        assert fates.count("TransferOut") == 1
        assert await going.scheme.holds(member) == {"cash:own": 100_000, "cash:state-match": 18_000}
    else:
        assert (state, fates.count("TransferOut")) == ("paying", 0)
        assert fates.count("Payout") == 2
    assert not await going.broken()


async def test_of_two_approvals_one_leaves(going: Transfers) -> None:
    asked = await going.ask(await saver(going))

    fates = await _fates(*(going.scheme.approve(asked.claim) for _ in range(3)))

    assert fates == ["ClaimDecided", "ClaimDecided", "ClaimRow"]
    assert await going.scheme.control("transfers-in-transit") == 117_000
    assert not await going.broken()


# -- in funds


@pytest.mark.parametrize("by_payment", [False, True])
async def test_units_are_sold_go_and_are_bought_again_when_they_come_home(
    db: Database, tenant_id: int, tmp_path: Path, by_payment: bool
) -> None:
    """GHS 600.00 at 1.25 buy 480 units, sold at 1.50 for 720.00, of which 120.00 are income; at 1.60 they buy 450 when they are home."""
    going = await open_transfers(db, tenant_id, tmp_path, "gh-tier3-informal", "2018-01-08T09:00:00")
    scheme = going.scheme
    member = await scheme.member(date(2016, 6, 1), FORTY)
    event = await scheme.pay(member, 600_00, pot="savings", on=date(2018, 1, 8))
    waits = await going.ask(member, key="early")
    assert (waits.state, waits.claim.reason) == ("refused", "benefits.transfer-waits"), "money is not dealt yet"
    await scheme.allocate([(member.member_id, event)])
    await scheme.deal("2018-01-08")
    await scheme.clock("2018-01-09T09:00:00")
    await scheme.deal("2018-01-09", {"TIER3-FUND": "1.25"})
    asked = await going.ask(member)
    await scheme.approve(asked.claim)
    assert (await going.find(asked)).state == "selling"
    await scheme.deal("2018-01-09")
    await scheme.clock("2018-01-10T09:00:00")
    await scheme.deal("2018-01-10", {"TIER3-FUND": "1.50"})
    await scheme.settle("2018-01-10")
    assert sum(await asyncio.gather(*(service.carry_on_claims(db, scheme.tenant) for _ in range(3)))) == 1
    left = await going.find(asked)
    assert left.state == "in-transit"
    assert await scheme.holds(member) == {}
    (part,) = (await going.advice(left)).parts
    assert (part.amount, part.contributions, part.income, part.vests_from) == (
        "720.00",
        "600.00",
        "120.00",
        date(2018, 1, 8),
    )
    assert not await going.broken(*SHOWN_BY_NOBODY)

    payout = await going.paid(left)
    if by_payment:
        receipt = await going.receive(720_00, named="back", reference="B1")
        await going.show((720_00, "B1"))
        await going.home(left, receipt=receipt)
        await reconciliation.match_statements(db, scheme.tenant)
    else:
        await going.show((720_00, payout.id.hex))
        await going.home(left)
    assert await scheme.holds(member) == {"cash:own": 720_00}
    await scheme.deal("2018-01-10")
    await scheme.clock("2018-01-11T09:00:00")
    await scheme.deal("2018-01-11", {"TIER3-FUND": "1.60"})

    assert await scheme.holds(member) == {"units:own": 450_0000}
    assert not await going.broken(*SHOWN_BY_NOBODY)


async def test_what_never_went_is_bought_again_too(db: Database, tenant_id: int, tmp_path: Path) -> None:
    going = await open_transfers(db, tenant_id, tmp_path, "gh-tier3-informal", "2018-01-08T09:00:00")
    scheme = going.scheme
    member = await scheme.member(date(2016, 6, 1), FORTY)
    event = await scheme.pay(member, 600_00, pot="savings", on=date(2018, 1, 8))
    await scheme.allocate([(member.member_id, event)])
    await scheme.deal("2018-01-08")
    await scheme.clock("2018-01-09T09:00:00")
    await scheme.deal("2018-01-09", {"TIER3-FUND": "1.25"})
    asked = await going.ask(member)
    await scheme.approve(asked.claim)
    await scheme.deal("2018-01-09")
    await scheme.clock("2018-01-10T09:00:00")
    await scheme.deal("2018-01-10", {"TIER3-FUND": "1.50"})
    await scheme.settle("2018-01-10")
    await service.carry_on_claims(db, scheme.tenant)

    await going.home(asked)
    await scheme.deal("2018-01-10")
    await scheme.clock("2018-01-11T09:00:00")
    await scheme.deal("2018-01-11", {"TIER3-FUND": "1.50"})

    assert await scheme.holds(member) == {"units:own": 480_0000}
    assert not await going.broken(*SHOWN_BY_NOBODY)


# -- savings that come


async def advice_from(going: Transfers) -> TransferAdvice:
    """What a scheme says that sends the savings of somebody: it could be any, and is this one."""
    return await going.advice(await going.sent_off(await saver(going)))


async def test_savings_come_by_an_advice_and_its_payment_with_their_days(going: Transfers) -> None:
    scheme, advice = going.scheme, await advice_from(going)
    member = await scheme.member(date(2023, 1, 10), FORTY)
    row = await going.advise(member, advice)
    assert (row.state, row.amount, row.joined_on) == ("staged", 117_000, JOINED)
    assert await going.advise(member, advice) == row, "the same advice again is the same"
    with pytest.raises(SamePerson):
        await going.approve_advice(row, actor=MAKER)
    with pytest.raises(TransferDiffers):
        await going.approve_advice(row, digest="0" * 64)
    receipt = await going.receive(117_000, named=advice.reference, reference="IN-1")
    with pytest.raises(TransferDecided):
        await going.take(row, receipt)
    assert await going.take_all() == 0, "nobody has approved it"
    assert (await going.approve_advice(row)).state == "approved"

    assert sum(await asyncio.gather(*(going.take_all() for _ in range(3)))) == 1

    taken = await going.find_advice(row)
    assert (taken.state, taken.receipt) == ("posted", receipt)
    assert await scheme.holds(member) == {"cash:own": 99_000, "cash:state-match": 18_000}
    assert await scheme.control("suspense") == 0
    assert await going.joined_on(member) == JOINED
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        stands = await service.standing_of(session, scheme.keys, scheme.tenant, member, actor=MAKER)
    assert [(one.on, one.origin, one.minor) for one in stands.claimant.paid] == [
        (date(2022, 1, 5), "own", 59_400),
        (date(2022, 3, 5), "own", 39_600),
        (date(2022, 4, 5), "state-match", 18_000),
    ]
    assert stands.claimant.first_paid_on == date(2022, 1, 5)
    with pytest.raises(TransferDecided):
        await going.approve_advice(row)
    with pytest.raises(AlreadyResolved):
        await going.take(row, receipt)
    other = await scheme.member(date(2023, 1, 10), FORTY)
    with pytest.raises(AlreadyResolved):  # as whole savings they cannot be taken back, so no split moves them either
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            await service.propose_split(
                session, scheme.tenant, member=member, to=other, receipts=[receipt], actor=MAKER
            )
    assert not await going.broken()


async def test_savings_that_came_can_go_on_with_the_same_days(going: Transfers) -> None:
    """From one scheme through this to a third: nothing of it is new, but for the second charge of 1,000."""
    scheme, advice = going.scheme, await advice_from(going)
    member = await scheme.member(date(2022, 1, 10), FORTY)
    row = await going.approve_advice(await going.advise(member, advice))
    await going.take(row, await going.receive(117_000, named=advice.reference, reference="IN-1"))
    again = MemberRef(member.member_id, member.product, await going.joined_on(member), "", member.status)

    onward = await going.ask(again, key="onward")
    await scheme.approve(onward.claim)
    told = await going.advice(onward)

    assert told.joined_on == advice.joined_on
    assert [(one.origin, one.amount, one.vests_from) for one in told.parts] == [
        ("own", "98000", date(2022, 1, 5)),
        ("state-match", "18000", date(2022, 4, 5)),
    ]
    assert {one.paid_on for one in told.payments} == {one.paid_on for one in advice.payments}
    assert not await going.broken()


async def test_a_payment_that_is_not_the_advice_s_waits_and_can_go_back(going: Transfers) -> None:
    scheme, advice = going.scheme, await advice_from(going)
    member = await scheme.member(date(2023, 1, 10), FORTY)
    row = await going.approve_advice(await going.advise(member, advice))
    less = await going.receive(116_999, named=advice.reference, reference="IN-1")
    other = await going.receive(117_000, named="T1", reference="IN-2")

    assert await going.take_all() == 0
    for receipt, field in ((less, "amount"), (other, "reference")):
        with pytest.raises(PaymentDiffers) as refused:
            await going.take(row, receipt)
        assert refused.value.details["field"] == field
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        gone = await service.withdraw_advice(session, scheme.tenant, row.advice_id, actor=MAKER)
    assert gone.state == "withdrawn"
    await going.show((116_999, "IN-1"), (117_000, "IN-2"))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        back = await service.refund(
            session, scheme.keys, scheme.tenant, receipt=less,
            account=AccountGiven(rail="bank", number="77", holder=THERE), name=THERE, actor=MAKER,
        )  # fmt: skip
    await going.approve_payout(back)

    assert await scheme.control("suspense") == 117_000
    assert (await going.advise(member, advice)).state == "staged", "it may be advised again"
    assert not await going.broken()


async def test_an_advice_of_somebody_else_or_of_what_is_not_taken_is_refused(going: Transfers) -> None:
    scheme, advice = going.scheme, await advice_from(going)
    member = await scheme.member(date(2023, 1, 10), FORTY)
    replace = msgspec.structs.replace

    for field, person in (
        ("member.born_on", replace(advice.member, born_on=date(1983, 1, 2))),
        ("member.full_name", replace(advice.member, full_name="Somebody Other")),
    ):
        with pytest.raises(AdviceDiffers) as refused:
            await going.advise(member, replace(advice, member=person))
        assert refused.value.details["field"] == field
    stranger = await scheme.member(date(2023, 1, 10), FORTY)
    parts, paid = (
        tuple(replace(one, origin="employer" if one.origin == "own" else one.origin) for one in ones)
        for ones in (advice.parts, advice.payments)
    )
    with pytest.raises(OriginNotTaken):
        await going.advise(member, replace(advice, parts=parts, payments=paid))
    row = await going.advise(member, advice)
    with pytest.raises(AdviceKnown):
        await going.advise(stranger, advice)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        refused_row = await service.reject_advice(
            session, scheme.tenant, row.advice_id, digest=row.digest, actor=CHECKER
        )
    assert refused_row.state == "rejected"
    with pytest.raises(TransferDecided):
        await going.approve_advice(row)
    await going.estates.dies(member, on=date(2023, 1, 31))
    with pytest.raises(PaymentsSuspended):
        await going.advise(member, advice)
    assert not await going.broken()


async def test_a_scheme_without_the_rules_sends_and_takes_nothing(db: Database, tenant_id: int, tmp_path: Path) -> None:
    going = await open_transfers(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00")
    advice = await advice_from(going)
    member = await going.scheme.member(date(2021, 1, 10), FORTY)
    await going.scheme.pay(member, 60_000, pot="savings", on=date(2022, 7, 5))
    plain = await open_transfers(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", has_rules=False)

    with pytest.raises(TransferNotTaken):
        await plain.advise(member, advice)
    asked = await plain.ask(member, key="plain")
    assert (asked.state, asked.claim.reason) == ("refused", "benefits.nothing-to-transfer")


async def test_nobody_is_erased_whose_savings_are_between_schemes_and_what_comes_back_later_is_in_transit(
    going: Transfers,
) -> None:
    scheme = going.scheme
    member = await saver(going)
    comer = await scheme.member(date(2023, 1, 10), FORTY)

    async def erase(one: MemberRef) -> None:
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            await identity.erase(session, one.member_id, actor=MAKER, business_date=date(2023, 2, 1))

    left = await going.sent_off(member)
    row = await going.advise(comer, await going.advice(left))
    for one in (member, comer):
        with pytest.raises(MoneyOnItsWay):
            await erase(one)
    payout = await going.paid(left)
    await going.acknowledge(left)
    await erase(member)
    with pytest.raises(UnknownMember):
        await going.advice(left)
    await going.show((117_000, payout.id.hex))

    assert await scheme.control("transfers-in-transit") == 117_000
    assert await scheme.holds(member) == {}
    assert (await going.find_advice(row)).state == "staged"
    assert not await going.broken()


async def test_statements_say_what_went_what_came_and_what_came_home(going: Transfers) -> None:
    """Of 118,000 paid in 117,000 went and 1,000 were charged; home again, nothing went. What comes in is paid in by another scheme."""
    member = await saver(going)
    comer = await going.scheme.member(date(2023, 1, 10), FORTY)

    async def told(one: MemberRef) -> tuple[int, int, int, int, int]:
        async with going.scheme.db.unit_of_work(going.scheme.tenant.tenant_id) as session:
            found = await reports.statement(session, going.scheme.tenant, one, number="1", as_of=date(2023, 2, 1))
        totals = found.totals
        return (
            totals.contributed_minor, totals.paid_out_minor, totals.charges_minor, totals.value_minor, totals.gain_minor
        )  # fmt: skip

    left = await going.sent_off(member)
    assert await told(member) == (118_000, 117_000, 1_000, 0, -1_000)
    await going.paid(left)
    assert await told(member) == (118_000, 117_000, 1_000, 0, -1_000)
    advice = await going.advice(left)
    row = await going.approve_advice(await going.advise(comer, advice))
    await going.take(row, await going.receive(117_000, named=advice.reference, reference="IN-1"))
    assert await told(comer) == (117_000, 0, 0, 117_000, 0)

    back = await going.receive(117_000, named="back", reference="B1")
    await going.show((117_000, "B1"))
    await going.home(left, receipt=back)

    assert await told(member) == (118_000, 0, 0, 118_000, 0)


async def test_a_process_that_dies_half_way_leaves_all_or_nothing(
    going: Transfers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after the event is written and before the rest is: nothing of it is there, and the next one does it whole."""
    scheme, member = going.scheme, await saver(going)
    asked = await going.ask(member)

    class Died(Exception):
        """The process is gone."""

    async def die(*_: object, **__: object) -> None:
        raise Died

    async def dies(name: str, act: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(queries, name, die)
            with pytest.raises(Died):
                await act()  # type: ignore[operator]

    await dies("add_out", lambda: scheme.approve(asked.claim))
    assert await scheme.holds(member) == {"cash:own": 100_000, "cash:state-match": 18_000}
    await scheme.approve(asked.claim)
    left = await going.find(asked)
    await dies("end_out", lambda: going.home(left))
    assert await scheme.control("transfers-in-transit") == 117_000
    payout = await going.paid(left)
    await dies("end_out", lambda: going.acknowledge(left))
    advice = await going.advice(left)
    comer = await scheme.member(date(2023, 1, 10), FORTY)
    row = await going.approve_advice(await going.advise(comer, advice))
    receipt = await going.receive(117_000, named=advice.reference, reference="IN-1")
    await dies("post_in", lambda: going.take(row, receipt))
    assert await scheme.holds(comer) == {}
    assert not await going.broken()
    assert await going.take_all() == 1
    await going.acknowledge(left)

    assert payout.source == f"transfer:{left.claim.claim_id}"
    assert await scheme.holds(comer) == {"cash:own": 99_000, "cash:state-match": 18_000}
    assert not await going.broken()


async def test_each_law_finds_what_it_forbids(going: Transfers) -> None:
    scheme = going.scheme
    left = await going.sent_off(await saver(going))
    advice = await going.advice(left)
    row = await going.approve_advice(await going.advise(await scheme.member(date(2023, 1, 10), FORTY), advice))
    await going.take(row, await going.receive(117_000, named=advice.reference, reference="IN-1"))
    assert not await going.broken()

    class Undone(Exception):
        """Nothing of it stays."""

    async def broken_by(sql: str) -> set[str]:
        found: set[str] = set()
        with contextlib.suppress(Undone):
            async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
                await session.execute(text(sql))
                found = {one.law for one in await ledger.check(session, TRANSFER_LAWS)}
                raise Undone
        return found

    assert await broken_by("update transfers_out set state = 'home', ended_event = 1") == {
        "transfers-in-transit-are-open",
        "transfers-come-home-whole",
    }
    assert await broken_by("update transfers_in set posted_event = posted_event + 1") == {"transfers-in-are-what-came"}
    assert await broken_by("update benefit_claims set payable_event = payable_event + 1 where kind = 'transfer'") == {
        "transfers-out-are-what-left"
    }
    assert not await going.broken()
