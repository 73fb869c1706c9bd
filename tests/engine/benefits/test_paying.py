"""Payouts: instructed by one person, approved by another on the digest, taken from what is payable and from nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.benefits import errors, service
from engine.benefits.rules.paying import (
    AccountGiven,
    NameState,
    Payee,
    Payout,
    PayoutState,
    cut,
    name_state,
    states_other,
)
from engine.benefits.service import BankRail, Payers
from engine.enrolment import service as enrolment
from engine.identity.errors import UnknownMember
from engine.identity.ports import DeathNotice
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.reports import service as reports
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.factories import payouts
from tests.factories.payouts import MAKER, approve, in_transit, instruct, owe, payable, to
from tests.factories.schemes import enrol, serve

PRODUCT, POT, OWN = "nps-lite", "retirement", "own"
RULE = """
[[rule]]
kind = "payout-route"
id = "wallets"
rail = "wallet-bank"
rank = 1
below_amount = "300.00"
least_payable = "50.00"
step = "10.00"
name_check = "before-first-payment"
least_match_bp = 9000
account = "any"
cooling_off_days = 7
source = "Invented: small amounts by one bank"
confidence = "high"

[[rule]]
kind = "payout-route"
id = "banks"
rail = "bank"
rank = 2
name_check = "before-each-payment"
least_match_bp = 9000
account = "verified"
source = "Invented: others to a bank account that was verified"
confidence = "high"
"""


class Owing:
    """A scheme whose members are owed money, and its banks."""

    def __init__(self, db: Database, keys: FileKeyStore, tenant: Tenant, members: list[tuple[str, int]]) -> None:
        self.db, self.keys, self.tenant, self.members = db, keys, tenant, members
        bank: dict[str, Any] = {"holder": "A Scheme", "number": "IN0001", "bank": "HDFCINBB", "sender": "SCHEME"}
        self.payers = Payers(
            Exchanges(db, keys, {}, lambda *_: ""),
            banks={rail: BankRail(pays_from="upi", **bank) for rail in ("bank", "wallet-bank")},
        )

    async def owe(self, amount: int, index: int = 0) -> int:
        number, member_id = self.members[index]
        await owe(self.db, self.keys, self.tenant, number, member_id, amount, channel="upi")
        return member_id

    async def make(self, amount: int, *accounts: str, index: int = 0, **others: object) -> Payout:
        """Instruct a payout to the payee's account "rail" or "rail:holder"; accounts are verified."""
        payee = Payee(
            accounts=tuple(
                AccountGiven(
                    rail=one.partition(":")[0],
                    number=str(others.get("number", "0012345")),
                    holder=one.partition(":")[2],
                    is_verified=bool(others.get("is_verified", True)),
                )
                for one in accounts
            )
        )
        source = str(others.get("source", ""))
        member_id = self.members[index][1]
        amounts = {(POT, OWN): amount}
        return await instruct(self.db, self.keys, self.tenant, member_id, PRODUCT, amounts, payee, source=source)

    async def approve(self, payout: Payout, **others: object) -> Payout:
        return await approve(self.db, self.keys, self.tenant, self.payers, payout, **others)  # type: ignore[arg-type]

    async def offences(self) -> list[object]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))


async def owing_of(db: Database, keys: FileKeyStore, tenant: Tenant) -> Owing:
    people = await enrol(db, keys, tenant, ["sahyog", "sahyog"])
    return Owing(db, keys, tenant, [(one.number, one.member_id) for one in people])


@pytest_asyncio.fixture(loop_scope="session")
async def owing(db: Database, keys: FileKeyStore, tmp_path: Path) -> AsyncIterator[Owing]:
    """A scheme whose pack says nothing of rails."""
    yield await owing_of(db, keys, await serve(db, tmp_path))


@pytest_asyncio.fixture(loop_scope="session")
async def ruled(db: Database, keys: FileKeyStore, tmp_path: Path) -> AsyncIterator[Owing]:
    """A scheme with a rail for small amounts and one for others."""
    yield await owing_of(db, keys, await serve(db, tmp_path, rules={PRODUCT: RULE}))


async def test_a_payout_takes_what_is_payable_once_a_second_person_approves_exactly_it(owing: Owing) -> None:
    member_id = await owing.owe(500_00)

    made = await owing.make(400_00, "bank:Asha Example")
    assert (made.state, made.amount, made.name_check, made.number) == ("created", "400.00", "agrees", "0012345")
    assert (await payable(owing.db, owing.tenant, member_id), await in_transit(owing.db, owing.tenant)) == (500_00, 0)
    with pytest.raises(SamePerson):
        await owing.approve(made, actor=MAKER)
    with pytest.raises(errors.PayoutChanged):
        await owing.approve(made, digest="0" * 64)
    done = await owing.approve(made, name_seen=False)

    assert (done.state, done.checker, done.is_settled) == ("approved", payouts.CHECKER, False)
    assert await payable(owing.db, owing.tenant, member_id) == 100_00
    assert await in_transit(owing.db, owing.tenant) == 400_00
    with pytest.raises(errors.PayoutDecided):
        await owing.approve(made)
    assert await owing.offences() == []


async def test_of_two_who_approve_at_once_one_does(owing: Owing) -> None:
    await owing.owe(500_00)
    made = await owing.make(300_00, "bank:Asha Example")

    ends = await asyncio.gather(
        *(owing.approve(made, actor=f"staff:{at}") for at in range(2, 8)), return_exceptions=True
    )

    assert sorted(type(one).__name__ for one in ends) == ["Payout", *["PayoutDecided"] * 5]
    assert await in_transit(owing.db, owing.tenant) == 300_00
    assert await owing.offences() == []


async def test_a_source_is_paid_once_and_again_only_after_a_refusal(owing: Owing) -> None:
    await owing.owe(500_00)
    made = await owing.make(100_00, "bank:Asha Example", source="claim:7")

    same = await asyncio.gather(*(owing.make(100_00, "bank:Asha Example", source="claim:7") for _ in range(4)))
    assert {one.id for one in same} == {made.id}
    with pytest.raises(errors.PayoutUnderWay):
        await owing.make(200_00, "bank:Asha Example", source="claim:7")
    async with owing.db.unit_of_work(owing.tenant.tenant_id) as session:
        with pytest.raises(SamePerson):
            await service.refuse(session, owing.keys, owing.tenant, made.id, actor=MAKER)
        refused = await service.refuse(session, owing.keys, owing.tenant, made.id, actor="staff:2")
    assert refused.state == "refused"
    again = await owing.make(200_00, "bank:Asha Example", source="claim:7")

    assert again.id != made.id
    with pytest.raises(errors.PayoutDecided):
        await owing.approve(made)
    assert await owing.offences() == []


async def test_no_more_is_promised_or_paid_than_is_payable(owing: Owing) -> None:
    await owing.owe(500_00)
    with pytest.raises(errors.NotPayable):
        await owing.make(500_01, "bank:Asha Example")
    first = await owing.make(300_00, "bank:Asha Example")
    with pytest.raises(errors.NotPayable):
        await owing.make(300_00, "bank:Asha Example")
    second = await owing.make(200_00, "bank:Asha Example")
    member_id = owing.members[0][1]
    # What was payable when it was made is gone when it is approved.
    async with owing.db.unit_of_work(owing.tenant.tenant_id) as session:
        debit, credit = (Account(kind, "INR", product=PRODUCT, pot=POT, origin=OWN) for kind in ("payable", "cash"))
        codes = await ledger.account_codes(session, [debit, credit])
        entry = Entry(
            member_id=member_id,
            kind=EventKind.STATUS_RECORDED,
            business_date=first.made_on,
            actor=await ledger.actor_id(session, "system:claims"),
            transfers=[Transfer(100_00, codes[debit], codes[credit])],
        )
        await ledger.post(session, [entry])

    await owing.approve(first)
    with pytest.raises(errors.NotPayable):
        await owing.approve(second)

    assert await payable(owing.db, owing.tenant, member_id) == 100_00
    assert await in_transit(owing.db, owing.tenant) == 300_00
    assert await owing.offences() == []


async def test_a_name_that_differs_or_nobody_told_waits_for_a_person(owing: Owing) -> None:
    await owing.owe(500_00)
    differs = await owing.make(100_00, "bank:Meera Example")
    untold = await owing.make(100_00, "bank")

    assert (differs.name_check, untold.name_check) == ("differs", "unknown")
    for one in (differs, untold):
        with pytest.raises(errors.NameDiffers):
            await owing.approve(one, name_seen=False)
        assert (await owing.approve(one, name_seen=True)).state == "approved"


async def test_the_rules_choose_the_rail_and_what_it_cannot_pay_stays(ruled: Owing) -> None:
    member_id = await ruled.owe(700_00)
    small = await ruled.make(125_00, "bank:Asha Example", "wallet-bank:Asha Example")
    big = await ruled.make(400_00, "bank:Asha Example", "wallet-bank:Asha Example")

    assert (small.rail, small.amount, small.stays) == ("wallet-bank", "120.00", "5.00")
    assert small.rules == ("wallets@2010-04-01",)
    assert (big.rail, big.amount, big.stays) == ("bank", "400.00", "0.00")
    with pytest.raises(errors.BelowLeastPayable):
        await ruled.make(40_00, "wallet-bank:Asha Example")
    with pytest.raises(errors.NoRail):
        await ruled.make(150_00, "elsewhere")
    with pytest.raises(errors.AccountNotChecked):
        await ruled.make(150_00, "bank:Asha Example", is_verified=False)
    await ruled.approve(small)
    assert await payable(ruled.db, ruled.tenant, member_id) == 580_00


async def test_a_new_account_cools_off_after_another_was_paid(ruled: Owing) -> None:
    await ruled.owe(700_00)
    first = await ruled.make(100_00, "wallet-bank:Asha Example")
    assert first.not_before is None
    async with ruled.db.unit_of_work(ruled.tenant.tenant_id) as session:
        connection = await driver(session)
        await ruled.approve(first)
        await connection.execute("update payouts set state = 'succeeded' where payout_id = %s", (first.id,))

    changed = await ruled.make(100_00, "wallet-bank:Asha Example", number="999")
    usual = await ruled.make(100_00, "wallet-bank")

    assert (usual.not_before, usual.name_check) == (None, "not-asked")
    assert str(changed.not_before) == "2023-04-10"
    with pytest.raises(errors.CoolingOff) as refused:
        await ruled.approve(changed)
    assert refused.value.details == {"day": "2023-04-10"}


async def test_a_refused_payout_is_on_record_without_whom_it_pays_and_explained(ruled: Owing) -> None:
    await ruled.owe(700_00)
    number, member_id = ruled.members[0]
    account = AccountGiven(rail="wallet-bank", number="0012345", holder="Asha Example", is_verified=True)
    asked = service.instructing(
        ruled.db, ruled.keys, ruled.tenant, member=number, product=PRODUCT, amounts={(POT, OWN): 40_00}, accounts=[account]
    )  # fmt: skip
    with pytest.raises(errors.BelowLeastPayable) as refused:
        async with asked:
            await ruled.make(40_00, "wallet-bank:Asha Example")
    await ruled.make(100_00, "wallet-bank:Asha Example", source="claim:1")
    async with ruled.db.unit_of_work(ruled.tenant.tenant_id) as session:
        told = await reports.tell_decision(
            session, ruled.keys, ruled.tenant, int(str(refused.value.details["decision"])), actor=MAKER, language="en"
        )

    assert told.decision.member_id == member_id
    assert told.decision.inputs == {"amount": "4000", "rail": ["wallet-bank"]}
    assert told.decision.refs == ("banks@2010-04-01", "wallets@2010-04-01")
    assert told.sentences[0] == (
        "Payout asked for: refused on 3 Apr 2023. The amount is too small to be paid this way (wallet-bank)."
    )
    assert "Given – Amount: ₹40.00." in told.sentences
    assert "Asha" not in str(told)


async def test_an_approval_that_the_rules_refuse_is_on_record(ruled: Owing) -> None:
    await ruled.owe(700_00)
    first = await ruled.make(100_00, "wallet-bank:Asha Example")
    async with ruled.db.unit_of_work(ruled.tenant.tenant_id) as session:
        connection = await driver(session)
        await ruled.approve(first)
        await connection.execute("update payouts set state = 'succeeded' where payout_id = %s", (first.id,))
    new = await ruled.make(100_00, "wallet-bank:Asha Example", number="999")
    with pytest.raises(errors.CoolingOff) as refused:
        async with service.approving(ruled.db, ruled.tenant, new.id):
            await ruled.approve(new)
    async with ruled.db.unit_of_work(ruled.tenant.tenant_id) as session:
        told = await reports.tell_decision(
            session, ruled.keys, ruled.tenant, int(str(refused.value.details["decision"])), actor=MAKER, language="en"
        )

    assert told.sentences[0] == (
        "Approval of a payout: refused on 3 Apr 2023. The account is new. It can be paid from 10 Apr 2023."
    )


async def test_who_and_what_must_be_there(owing: Owing) -> None:
    await owing.owe(500_00)
    stranger = owing.members[0][1] ^ 1 << 40
    with pytest.raises(UnknownMember):
        await instruct(owing.db, owing.keys, owing.tenant, stranger, PRODUCT, {(POT, OWN): 1}, to("bank", "1"))
    with pytest.raises(EngineError):
        await instruct(
            owing.db, owing.keys, owing.tenant, owing.members[0][1], PRODUCT, {(POT, OWN): 0}, to("bank", "1")
        )
    elsewhere = await owing.make(100_00, "nowhere:Asha Example")
    with pytest.raises(errors.RailNotJoined):
        await owing.approve(elsewhere)
    with pytest.raises(errors.UnknownPayout):
        async with owing.db.unit_of_work(owing.tenant.tenant_id) as session:
            await service.find_payout(session, owing.keys, owing.tenant, UUID(int=7), actor="staff:1")


async def test_what_is_paid_cannot_be_changed_behind_the_engine(owing: Owing) -> None:
    await owing.owe(500_00)
    made = await owing.make(100_00, "bank:Asha Example")
    other = await owing.make(200_00, "bank:Asha Example")
    async with owing.db.unit_of_work(owing.tenant.tenant_id) as session:
        connection = await driver(session)
        for column, value in (("amount", 1), ("document", b""), ("digest", other.digest), ("parts", "[]")):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with connection.transaction():
                    await connection.execute(
                        f"update payouts set {column} = %s where payout_id = %s".encode(), (value, made.id)
                    )
        with pytest.raises(psycopg.errors.CheckViolation):
            async with connection.transaction():
                await connection.execute("update payouts set checker = maker where payout_id = %s", (made.id,))


async def test_lists_name_nobody_and_go_on_where_the_page_ended(owing: Owing) -> None:
    await owing.owe(500_00)
    made = [await owing.make(100_00 + at, "bank:Asha Example") for at in range(3)]
    await owing.approve(made[0])
    async with owing.db.unit_of_work(owing.tenant.tenant_id) as session:
        first = await service.list_payouts(session, owing.tenant, most=2)
        rest = await service.list_payouts(session, owing.tenant, after=first[-1].id)
        waiting = await service.list_payouts(session, owing.tenant, state=PayoutState.CREATED)

    assert [one.id for one in (*first, *rest)] == [one.id for one in made]
    assert [one.id for one in waiting] == [one.id for one in made[1:]]
    assert {(one.number, one.payee, one.member) for one in (*first, *rest)} == {("", "", "")}


def test_parts_are_cut_in_order_and_names_and_amounts_compared() -> None:
    amounts = {("b", "own"): 50, ("a", "own"): 70, ("a", "gift"): 10}
    assert [(one.pot, one.origin, one.amount) for one in cut(amounts, 100)] == [
        ("a", "gift", 10),
        ("a", "own", 70),
        ("b", "own", 20),
    ]
    assert [len(cut(amounts, paid)) for paid in (10, 80, 130)] == [1, 2, 3]
    assert [name_state(bp, 9000) for bp in (None, 8999, 9000)] == [
        NameState.UNKNOWN,
        NameState.DIFFERS,
        NameState.AGREES,
    ]
    said = [("", ""), ("100.00", "KES"), ("100", ""), ("99", ""), ("100", "UGX"), ("many", "")]
    assert [states_other(*one, amount=Decimal(100), symbol="KES") for one in said] == [False] * 3 + [True] * 3


async def test_nothing_is_paid_to_a_member_who_has_died_but_to_who_comes_after(owing: Owing) -> None:
    member_id = await owing.owe(500_00)
    number = owing.members[0][0]
    early = await owing.make(100_00, "bank:Asha Example")
    notice = DeathNotice(registry="crvs", record="1", identifiers={"X": "1"}, died_on=date(2023, 4, 1))
    async with owing.db.unit_of_work(owing.tenant.tenant_id) as session:
        await enrolment.receive_deaths(session, owing.keys, owing.tenant, [notice])
        [death] = await enrolment.list_deaths(session, owing.keys, owing.tenant, most=1, actor="staff:3")
        await enrolment.decide_death(
            session,
            owing.keys,
            owing.tenant,
            death.notice,
            is_member=True,
            reason="seen",
            actor="staff:3",
            number=number,
        )

    with pytest.raises(errors.MemberDeceased):
        await owing.approve(early)
    with pytest.raises(errors.MemberDeceased):
        await owing.make(100_00, "bank:Asha Example")
    heir = await instruct(
        owing.db, owing.keys, owing.tenant, member_id, PRODUCT, {(POT, OWN): 200_00},
        to("bank", "0099", name="Meera Example", holder="Meera Example", is_verified=True),
    )  # fmt: skip
    assert (await owing.approve(heir)).state == "approved"
    async with owing.db.unit_of_work(owing.tenant.tenant_id) as session:
        await enrolment.propose_reversal(session, owing.tenant, death.notice, reason="wrong", actor="staff:3")
        await enrolment.approve_reversal(session, owing.tenant, death.notice, actor="staff:4")
    assert (await owing.approve(early)).state == "approved"
    assert await owing.offences() == []
