"""Claims after a death against PostgreSQL: real packs, shares worked out here, races, stops, deaths that are taken back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.access.errors import SamePerson
from engine.benefits import errors, service
from engine.benefits.queries import paying
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules.paying import PayoutState
from engine.benefits.service.homing import bring_home
from engine.kernel.errors import EngineError
from engine.runtime.database import Database
from tests.factories.claims import CHECKER, MAKER
from tests.factories.heirs import Estates, heir, nominee, open_estates
from tests.factories.payouts import instruct, to

JOINED, BORN = date(2021, 6, 1), date(1983, 1, 1)


@pytest_asyncio.fixture(loop_scope="session")
async def ejoheza(db: Database, tenant_id: int, tmp_path: Path) -> AsyncIterator[Estates]:
    """EjoHeza on 1 February 2023: before a benefit, the savings go to the nominees by their shares, else to the heirs."""
    yield await open_estates(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00")


async def test_nominees_share_by_what_the_member_gave_them_and_are_paid_one_by_one(ejoheza: Estates) -> None:
    """100,001 own and 18,000 of the state, in thirds of 3,334, 3,333 and 3,333 basis points.

    118,001 × 0.3334 is 39,341.5, and × 0.3333 is 39,329.7 twice: the two larger remainders get the francs left over, 39,341
    + 39,330 + 39,330.
    """
    scheme = ejoheza.scheme
    member = await scheme.member(
        JOINED,
        BORN,
        [nominee("Aline Invented", 3_334), nominee("Bella Invented", 3_333), nominee("Cyusa Invented", 3_333)],
    )
    await scheme.pay(member, 100_001, pot="savings", on=date(2022, 1, 5))
    await scheme.pay(member, 18_000, pot="savings", on=date(2022, 4, 5), origin="state-match")
    assert await ejoheza.follow() == 0, "nobody has died"
    await ejoheza.dies(member, on=date(2023, 1, 20))
    assert await ejoheza.follow() == 1
    assert await ejoheza.follow() == 0, "one claim of a death"
    [claim] = await ejoheza.claims()
    assert (claim.state, claim.amount, claim.rule, claim.estate and claim.estate.basis) == (
        "decided", 118_001, "death-before-benefit", "nominees",
    )  # fmt: skip
    assert await scheme.holds(member) == {"cash:own": 100_001, "cash:state-match": 18_000}, "nothing has moved"
    paid = await scheme.approve(claim)
    assert paid.state == "payable"
    given = await ejoheza.given(claim)
    assert [one.amount for one in given.values()] == [39_341, 39_330, 39_330]
    assert await scheme.holds(member) == {"heirs:own": 100_001, "heirs:state-match": 18_000}

    with pytest.raises(errors.DocumentsNeeded) as lacking:
        async with service.paying_heir(scheme.db, scheme.tenant, claim.claim_id, 1, ""):
            await ejoheza.pay(claim, 1, "Aline Invented")
    assert lacking.value.details["missing"] == "identity"
    [kept] = await scheme.rows(
        "select code, member_id, inputs, outcome ->> 'missing' from determinations where decision_id = :d",
        d=int(str(lacking.value.details["decision"])),
    )
    inputs = {"claim": str(claim.claim_id), "heir": 1}
    assert kept == ("benefits.documents-needed", claim.member_id, inputs, "identity")
    await ejoheza.document(claim, 1, "identity")
    first = await ejoheza.pay(claim, 1, "Aline Invented")
    assert (first.amount, first.payee, first.name_check) == ("39341", "Aline Invented", "agrees")
    with pytest.raises(errors.PayoutUnderWay):
        await ejoheza.pay(claim, 1, "Aline Invented")
    assert (await ejoheza.approve_payout(first)).state == "approved"
    with pytest.raises(errors.NotPayable):
        await ejoheza.pay(claim, 1, "Aline Invented")
    await ejoheza.document(claim, 2, "identity")
    other = await ejoheza.pay(claim, 2, "Somebody Else")
    with pytest.raises(errors.NameDiffers):
        await ejoheza.approve_payout(other)
    holds = await scheme.holds(member)
    assert sum(holds.values()) == 118_001 - 39_341, "the second and third are outstanding"
    assert not await ejoheza.broken()


async def test_who_died_before_leaves_their_share_to_the_others_and_nobody_to_heirs_with_proof(
    ejoheza: Estates,
) -> None:
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN, [nominee("Aline Invented", 6_000), nominee("Bella Invented", 4_000)])
    await scheme.pay(member, 10_001, pot="savings", on=date(2022, 1, 5))
    claim = await ejoheza.open(member, died_on=date(2023, 1, 20), death_certificate="1" * 64)
    assert claim.state == "decided"
    claim = await ejoheza.exclude(claim, 1)
    assert (claim.state, claim.estate and dict(claim.estate.shares)) == ("decided", {"2": 4_000})
    claim = await ejoheza.exclude(claim, 2)
    assert claim.estate is not None
    assert (claim.state, claim.estate.basis, claim.estate.missing) == (
        "open",
        "heirs",
        ("succession-certificate", "heirs"),
    )
    with pytest.raises(EngineError) as odd:
        await ejoheza.name(claim, [heir("Didier Invented", 5_000), heir("Esther Invented", 4_999)])
    assert odd.value.code == "enrolment.shares-do-not-add-up"
    claim = await ejoheza.name(claim, [heir("Didier Invented", 5_000), heir("Esther Invented", 5_000)])
    assert (claim.state, claim.estate and claim.estate.missing) == ("open", ("succession-certificate",))
    claim = await ejoheza.name(claim, documents=["succession-certificate"], actor="staff:7")
    assert claim.state == "decided"
    for maker in (MAKER, "staff:7"):
        with pytest.raises(SamePerson):
            await scheme.approve(claim, actor=maker)
    await scheme.approve(claim)
    assert {one.heir_no: one.amount for one in (await ejoheza.given(claim)).values()} == {3: 5_001, 4: 5_000}
    assert not await ejoheza.broken()


async def test_a_death_is_reported_with_its_day_and_papers_and_nothing_more_is_paid_to_the_member(
    ejoheza: Estates,
) -> None:
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, date(1967, 1, 31), [nominee("Aline Invented", 10_000)])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    with pytest.raises(errors.DeathNotConfirmed):
        await ejoheza.open(member)
    with pytest.raises(errors.DeathNotConfirmed):
        await ejoheza.open(member, died_on=date(2023, 1, 20))
    with pytest.raises(EngineError) as future:
        await ejoheza.open(member, died_on=date(2023, 2, 2), death_certificate="1" * 64)
    assert future.value.code == "request.invalid"
    early = await scheme.claim(member, "access", rule="early-access", purpose="education")
    whole = await scheme.claim(member, "retirement", key="k2", rule="all-at-once")
    assert (early.state, whole.state) == ("decided", "decided")
    claim = await ejoheza.open(member, died_on=date(2023, 1, 20), death_certificate="1" * 64)
    assert (claim.state, claim.amount) == ("decided", 10_000)
    assert [(await scheme.find(one)).state for one in (early, whole)] == ["withdrawn", "withdrawn"]
    same = await ejoheza.open(member, died_on=date(2023, 1, 20), death_certificate="1" * 64)
    assert same == claim
    with pytest.raises(errors.ClaimKeyReused):
        await ejoheza.open(member, died_on=date(2023, 1, 21), death_certificate="1" * 64)
    with pytest.raises(errors.ClaimDecided):
        await ejoheza.open(member, died_on=date(2023, 1, 20), key="other", death_certificate="1" * 64)
    refused = await scheme.claim(member, "access", key="k3", rule="early-access", purpose="education")
    assert (refused.state, refused.reason) == ("refused", "benefits.payments-suspended")
    ((kinds,),) = await scheme.rows(
        "select array_agg(kind order by event_id) from events where member_id = :m and kind not in (7, 10)",
        m=member.member_id,
    )
    assert kinds == [80, 82, 80, 82, 113, 87, 87, 80, 165, 82, 80, 83]
    assert not await ejoheza.broken()


async def test_what_was_payable_to_the_member_and_what_comes_later_goes_to_the_heirs_in_the_same_shares(
    ejoheza: Estates,
) -> None:
    """4,000 that were approved and not paid, and 6,000 in the account, then 101 after the death: halves, the odd franc first."""
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN, [nominee("Aline Invented", 5_000), nominee("Bella Invented", 5_000)])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    own = await scheme.claim(member, "access", rule="early-access", purpose="education")
    await scheme.approve(own)
    await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    assert (claim.amount, claim.estate and [one.minor for one in claim.estate.waiting]) == (6_000, [4_000])
    await scheme.approve(claim)
    assert [one.amount for one in (await ejoheza.given(claim)).values()] == [5_000, 5_000]
    assert await ejoheza.follow() == 0
    await scheme.pay(member, 101, pot="savings", on=date(2023, 1, 25))
    assert await ejoheza.follow() == 1
    later = (await ejoheza.claims())[-1]
    assert (later.state, later.amount) == ("decided", 101)
    await scheme.approve(later)
    assert [one.amount for one in (await ejoheza.given(later)).values()] == [51, 50]
    assert await scheme.holds(member) == {"heirs:own": 10_101}
    assert not await ejoheza.broken()


async def test_of_approvals_at_once_one_shares_and_a_stop_half_way_shares_nothing(
    ejoheza: Estates, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN, [nominee("Aline Invented", 5_000), nominee("Bella Invented", 5_000)])
    await scheme.pay(member, 10_001, pot="savings", on=date(2022, 1, 5))
    await ejoheza.dies(member, on=date(2023, 1, 20))
    done = await asyncio.gather(*(ejoheza.follow() for _ in range(4)))
    assert sum(done) == 1
    [claim] = await ejoheza.claims()

    async def stop(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    for step in ("add_inheritances",):
        with monkeypatch.context() as patch:
            patch.setattr(f"engine.benefits.queries.estates.{step}", stop)
            with pytest.raises(ConnectionResetError):
                await scheme.approve(claim)
        assert await scheme.holds(member) == {"cash:own": 10_001}
        assert (await scheme.find(claim)).state == "decided"

    async def approve(one: ClaimRow) -> str:
        try:
            return (await scheme.approve(one)).state
        except errors.ClaimDecided as refused:
            return refused.code

    ends = await asyncio.gather(*(approve(claim) for _ in range(5)))
    assert sorted(ends) == ["benefits.claim-decided"] * 4 + ["payable"]
    assert [one.amount for one in (await ejoheza.given(claim)).values()] == [5_001, 5_000]
    await ejoheza.document(claim, 1, "identity")
    made = await asyncio.gather(*(ejoheza.pay(claim, 1, "Aline Invented") for _ in range(4)), return_exceptions=True)
    assert [type(one) for one in made].count(errors.PayoutUnderWay) == 3
    assert not await ejoheza.broken()


async def test_a_child_s_share_is_held_in_trust_until_it_is_of_age(ejoheza: Estates) -> None:
    """Born 1 March 2006: of age on 1 March 2024, as the pack says nothing else."""
    scheme = ejoheza.scheme
    member = await scheme.member(
        JOINED, BORN, [nominee("Aline Invented", 7_500), nominee("Bella Invented", 2_500, born_on=date(2006, 3, 1))]
    )
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    await scheme.approve(claim)
    assert await scheme.holds(member) == {"heirs:own": 7_500, "minors-trust:own": 2_500}
    await ejoheza.document(claim, 2, "birth-certificate", "guardian-identity")
    with pytest.raises(errors.MoreThanReleased) as early:
        await ejoheza.pay(claim, 2, "A Guardian", name="A Guardian")
    assert early.value.details == {"age": 18}
    await scheme.clock("2024-02-29T08:00:00")
    with pytest.raises(errors.MoreThanReleased):
        await ejoheza.pay(claim, 2, "Bella Invented")
    await scheme.clock("2024-03-01T08:00:00")
    with pytest.raises(errors.DocumentsNeeded):
        await ejoheza.pay(claim, 2, "Bella Invented")
    await ejoheza.document(claim, 2, "identity")
    payout = await ejoheza.pay(claim, 2, "A Guardian", name="A Guardian")
    assert (payout.payee, payout.name_check, payout.amount) == ("Bella Invented", "differs", "2500")
    assert await scheme.holds(member) == {"heirs:own": 10_000}
    assert not await ejoheza.broken()


async def test_a_death_taken_back_before_payment_releases_everything(ejoheza: Estates) -> None:
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN, [nominee("Aline Invented", 10_000)])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    notice = await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    await ejoheza.lives(notice)
    with pytest.raises(errors.DeathNotConfirmed):
        await scheme.approve(claim)
    done = await asyncio.gather(*(ejoheza.follow() for _ in range(3)))
    assert sum(done) == 1
    assert (await scheme.find(claim)).state == "withdrawn"
    assert (await scheme.claim(member, "access", rule="early-access", purpose="education")).amount == 4_000
    assert not await ejoheza.broken()


async def test_a_death_taken_back_after_payment_leaves_a_receivable_from_whoever_was_paid(ejoheza: Estates) -> None:
    """Of 10,000 Aline was paid 6,000; Bella's 4,000 go back. The member has 10,000 again, and the scheme is owed 6,000."""
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN, [nominee("Aline Invented", 6_000), nominee("Bella Invented", 4_000)])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    notice = await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    await scheme.approve(claim)
    for number in (1, 2):
        await ejoheza.document(claim, number, "identity")
    await ejoheza.approve_payout(await ejoheza.pay(claim, 1, "Aline Invented"))
    late = await ejoheza.pay(claim, 2, "Bella Invented")
    await ejoheza.lives(notice)
    with pytest.raises(errors.DeathNotConfirmed):
        await ejoheza.approve_payout(late)
    assert await ejoheza.follow() == 0, "a payout is on its way"
    await scheme.run(
        """update payouts set settled_event = approved_event, state = 'succeeded' where tenant_id = :t and state = 'approved'"""
    )
    assert await ejoheza.follow() == 1
    assert await ejoheza.follow() == 0
    assert await scheme.holds(member) == {"cash:own": 10_000}
    assert -await scheme.control("overpayment-receivable") == 6_000
    assert {one.heir_no: one.overpaid for one in (await ejoheza.given(claim)).values()} == {1: 6_000, 2: 0}
    names = {one.law for one in await ejoheza.broken()}
    assert not names & {"heirs-are-owed-what-they-inherit", "what-heirs-owe-back-is-receivable", "heirs-are-paid-once"}


async def test_a_late_heir_has_a_share_of_what_is_left_and_what_was_paid_stays_paid(ejoheza: Estates) -> None:
    """9,000 in halves; Didier was paid 4,500. In thirds he has his 3,000 and more, so the 4,500 left are the others'."""
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN)
    await scheme.pay(member, 9_000, pot="savings", on=date(2022, 1, 5))
    await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    claim = await ejoheza.name(
        claim, [heir("Didier Invented", 5_000), heir("Esther Invented", 5_000)], documents=["succession-certificate"]
    )
    await scheme.approve(claim)
    await ejoheza.document(claim, 1, "identity")
    await ejoheza.approve_payout(await ejoheza.pay(claim, 1, "Didier Invented"))
    claim = await ejoheza.name(claim, [heir("Fabrice Invented", 3_333)], known={1: 3_334, 2: 3_333})
    digest = service.anew_digest(claim)
    with pytest.raises(SamePerson):
        await ejoheza.share_anew(claim, digest, actor=MAKER)
    with pytest.raises(errors.ClaimDiffers):
        await ejoheza.share_anew(claim, "0" * 64)
    ends = await asyncio.gather(*(ejoheza.share_anew(claim, digest) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in ends].count(errors.ClaimDecided) == 2
    given = await ejoheza.given(claim)
    assert {one.heir_no: (one.amount, one.paid) for one in given.values()} == {
        1: (4_500, 4_500),
        2: (2_250, 0),
        3: (2_250, 0),
    }
    await ejoheza.document(claim, 3, "identity")
    assert (await ejoheza.pay(claim, 3, "Fabrice Invented")).amount == "2250"
    assert not await ejoheza.broken()


async def test_an_heir_s_payout_that_comes_home_is_paid_again(ejoheza: Estates) -> None:
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN, [nominee("Aline Invented", 10_000)])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    await scheme.approve(claim)
    await ejoheza.document(claim, 1, "identity")
    first = await ejoheza.pay(claim, 1, "Aline Invented")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        refused = await service.refuse(session, scheme.keys, scheme.tenant, first.id, actor=CHECKER)
    assert refused.state is PayoutState.REFUSED
    again = await ejoheza.pay(claim, 1, "Aline Invented")
    assert (again.amount, again.id != first.id) == ("10000", True)
    assert not await ejoheza.broken()


async def test_what_waited_for_the_member_waits_again_and_money_that_comes_home_pays_what_is_owed(
    ejoheza: Estates,
) -> None:
    """4,000 payable and 6,000 in the account, in halves; Aline's 5,000 are out. Back: 4,000 payable, 6,000 cash, 5,000 owed."""
    scheme = ejoheza.scheme
    member = await scheme.member(JOINED, BORN, [nominee("Aline Invented", 5_000), nominee("Bella Invented", 5_000)])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    await scheme.approve(await scheme.claim(member, "access", rule="early-access", purpose="education"))
    notice = await ejoheza.dies(member, on=date(2023, 1, 20))
    await ejoheza.follow()
    [claim] = await ejoheza.claims()
    with pytest.raises(errors.NotPayable):
        await instruct(
            scheme.db, scheme.keys, scheme.tenant, member.member_id, "ltss", {("savings", "own"): 1},
            to("bank", "1", name="Anybody", holder="Anybody"),
        )  # fmt: skip
    await scheme.approve(claim)
    await ejoheza.document(claim, 1, "identity")
    made = await ejoheza.pay(claim, 1, "Aline Invented")
    ends = await asyncio.gather(*(ejoheza.approve_payout(made) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in ends].count(errors.PayoutDecided) == 2
    await scheme.run("update payouts set settled_event = approved_event, state = 'succeeded' where tenant_id = :t")
    await ejoheza.lives(notice)
    assert await ejoheza.follow() == 1
    assert await scheme.holds(member) == {"cash:own": 6_000, "payable:own": 4_000}
    assert -await scheme.control("overpayment-receivable") == 5_000

    await scheme.run("update payouts set settled_event = 0, state = 'sent' where tenant_id = :t")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        row = await paying.find_payout(session, made.id, lock=True)
        assert row is not None
        await bring_home(session, scheme.keys, scheme.tenant, [row], reason="refused", actor="system:payouts")
    assert await scheme.holds(member) == {"cash:own": 6_000, "payable:own": 4_000, "heirs:own": 5_000}
    done = await asyncio.gather(*(ejoheza.follow() for _ in range(3)))
    assert sum(done) == 1
    assert await scheme.holds(member) == {"cash:own": 6_000, "payable:own": 4_000}
    assert await scheme.control("overpayment-receivable") == 0
    assert not await ejoheza.broken()
