"""Savings that go to other schemes and come from them, among all else: once, or home, or not at all."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.access.errors import SamePerson
from engine.benefits import service as benefits
from engine.benefits.errors import (
    AdviceDiffers,
    AdviceKnown,
    NotReconciled,
    PaymentDiffers,
    PaymentsSuspended,
    PayoutUnderWay,
    PotNotTaken,
    TransferDecided,
    TransferDiffers,
    TransferNotSent,
    UnknownTransfer,
)
from engine.benefits.queries.claiming import Receiving
from engine.benefits.queries.transferring import InRow
from engine.benefits.rules.advices import AdvicePart, AdvicePayment, AdvicePerson, AdviceTotals, TransferAdvice
from engine.benefits.rules.paying import Payout
from engine.benefits.service import TransferOut
from engine.contributions.rules import Receipt
from engine.kernel.errors import EngineError
from tests.machine.machine import (
    CLOSED_ACCOUNT,
    FAMILY,
    AnyScheme,
    Paid,
    Saver,
    live,
    mostly,
    people,
    under_hand,
    which,
)
from tests.machine.unitised import GHANA, UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER

THERE = "The Other Scheme"
RULES = """
[[rule]]
kind = "transfer-out"
id = "transfer-out"
pots = ["savings", "retirement"]
origins = ["own"]
least_months_in_scheme = 0
months_between = 0
documents = []
scheme_documents = []
charge = "1.00"
payee = "operator"
source = "Invented"
confidence = "high"

[[rule]]
kind = "transfer-in"
id = "transfer-in"
pots = { savings = "savings" }
origins = ["own"]
both_dates = "earlier"
source = "Invented"
confidence = "high"
"""


@dataclass
class Advised:
    """Savings of another scheme that were advised, and for whom."""

    saver: Saver
    row: InRow
    contributions: int
    is_counted: bool = False


class Transfers(AnyScheme, weight=3):
    """Savings that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.leaving: list[tuple[Saver, int]] = []
        self.advised: list[Advised] = []

    # -- to another scheme

    @precondition(lambda self: self.savers)
    @rule(index=which, is_open=mostly)
    def ask_to_leave(self, index: int, is_open: bool) -> None:
        world, saver = self.world, self.savers[index % len(self.savers)]
        member, (_, key) = self.run(world.member(saver.number)), self.references()
        number = "0012345" if is_open else CLOSED_ACCOUNT
        receiving = Receiving(scheme=THERE, rail="bank", number=number, holder=THERE)
        answer = self.run(
            world.within(
                "ask transfer",
                lambda session: benefits.ask_transfer(
                    session, world.keys, world.tenant, member, receiving=receiving, documents={}, key=key, actor=MAKER
                ),
            )
        )
        assert isinstance(answer, TransferOut), answer
        if answer.state == "refused":
            world.counts["ask transfer", answer.claim.reason] += 1
        else:
            assert answer.state == "decided", answer
            assert not saver.is_dead, answer
            saver.claims.append(answer.claim.claim_id)
            self.leaving.append((saver, answer.claim.claim_id))

    @precondition(lambda self: self.leaving)
    @rule(index=which)
    def pay_what_left(self, index: int) -> None:
        world, (_, claim) = self.world, self.leaving[index % len(self.leaving)]
        before = self.transfer(claim)
        answer = self.run(
            world.within(
                "pay transfer",
                lambda session: benefits.pay_transfer(session, world.keys, world.tenant, claim, actor=MAKER),
            )
        )
        if before.left is None:
            assert isinstance(answer, UnknownTransfer), answer
        elif before.left.state != "open":
            assert isinstance(answer, TransferDecided), answer
        else:
            assert isinstance(answer, Payout), answer
            if answer.id not in {one.id for one in self.payouts} and answer.state == "created":
                self.payouts.append(answer)

    @precondition(lambda self: self.leaving)
    @rule(index=which)
    def note_that_they_took_it(self, index: int) -> None:
        world, (_, claim) = self.world, self.leaving[index % len(self.leaving)]
        before = self.transfer(claim)
        answer = self.run(
            world.within(
                "acknowledge transfer",
                lambda session: benefits.acknowledge_transfer(
                    session, world.tenant, claim, reference="THEIRS-1", actor=MAKER
                ),
            )
        )
        if before.left is None:
            assert isinstance(answer, UnknownTransfer), answer
        elif before.left.state != "open":
            assert isinstance(answer, TransferDecided), answer
        else:
            assert isinstance(answer, TransferOut if before.left.is_settled else TransferNotSent), answer

    @precondition(lambda self: self.leaving)
    @rule(index=which, by_payment=st.booleans(), is_whole=mostly, is_shown=mostly)
    def it_comes_home(self, index: int, by_payment: bool, is_whole: bool, is_shown: bool) -> None:
        """The other scheme refuses: before it was paid, or by a payment of its own."""
        saver, claim = self.leaving[index % len(self.leaving)]
        before, receipt = self.transfer(claim), 0
        if by_payment and before.left is not None:
            paid = self.suspend(before.left.amount + (0 if is_whole else 1))
            receipt = paid.receipt
            if is_shown:
                self.a_day_at_the_bank()
                before = self.transfer(claim)
        answer = self.bring_home(claim, receipt)
        if before.left is None:
            assert isinstance(answer, UnknownTransfer), answer
        elif before.left.state == "home":
            assert isinstance(answer, TransferDecided), answer
        elif not receipt and before.left.is_paying:
            assert isinstance(answer, PayoutUnderWay), answer
        elif receipt and not before.left.is_settled:
            assert isinstance(answer, TransferNotSent), answer
        elif receipt and not is_whole:
            assert isinstance(answer, PaymentDiffers), answer
        elif receipt and not is_shown:
            assert isinstance(answer, NotReconciled), answer
        else:
            assert isinstance(answer, TransferOut), (answer, saver)
            assert answer.state == "home"
            self.suspended = [one for one in self.suspended if one.receipt != receipt]

    # -- from another scheme

    @precondition(lambda self: self.savers)
    @rule(
        index=which,
        minor=st.integers(2, 20_000),
        income=st.integers(0, 500),
        wrong=st.sampled_from(["", "", "", "total", "pot"]),
    )
    def advise(self, index: int, minor: int, income: int, wrong: str) -> None:
        saver = self.savers[index % len(self.savers)]
        reference, _ = self.references()
        answer = self.bring(saver, self.advice(saver, reference, minor, income, wrong))
        if wrong:
            assert isinstance(answer, AdviceDiffers if wrong == "total" else PotNotTaken), answer
        elif saver.is_dead:
            assert isinstance(answer, PaymentsSuspended), answer
        else:
            assert isinstance(answer, InRow), answer
            self.advised.append(Advised(saver, answer, minor))

    @precondition(lambda self: self.advised)
    @rule(index=which)
    def advise_again_otherwise(self, index: int) -> None:
        one = self.advised[index % len(self.advised)]
        answer = self.bring(one.saver, self.advice(one.saver, one.row.reference, one.contributions, 1_000, ""))
        assert isinstance(answer, AdviceKnown), answer

    @precondition(lambda self: self.advised)
    @rule(index=which, by=people, is_exact=mostly, how=st.sampled_from(["approve", "approve", "reject", "withdraw"]))
    def decide_advice(self, index: int, by: str, is_exact: bool, how: str) -> None:
        world, one = self.world, self.advised[index % len(self.advised)]
        before = self.find_advice(one)
        digest = before.digest if is_exact else "0" * 64
        if how == "withdraw":
            answer = self.run(
                world.within(
                    "withdraw advice",
                    lambda session: benefits.withdraw_advice(session, world.tenant, before.advice_id, actor=by),
                )
            )
            assert isinstance(answer, InRow if before.state in ("staged", "approved") else TransferDecided), answer
            return
        deciding = benefits.approve_advice if how == "approve" else benefits.reject_advice
        answer = self.run(
            world.within(
                f"{how} advice",
                lambda session: deciding(session, world.tenant, before.advice_id, digest=digest, actor=by),
            )
        )
        if before.state != "staged":
            assert isinstance(answer, TransferDecided), answer
        elif by == MAKER:
            assert isinstance(answer, SamePerson), answer
        else:
            assert isinstance(answer, InRow if is_exact else TransferDiffers), answer

    @precondition(lambda self: self.advised)
    @rule(index=which, is_whole=mostly, is_shown=st.booleans())
    def savings_arrive(self, index: int, is_whole: bool, is_shown: bool) -> None:
        world, one = self.world, self.advised[index % len(self.advised)]
        paid = self.suspend(one.row.amount + (0 if is_whole else 1), one.row.reference)
        if is_shown:
            self.a_day_at_the_bank()
        before = self.find_advice(one)
        taken = paid not in self.suspended
        answer: InRow | EngineError = self.run(
            world.within(
                "take in",
                lambda session: benefits.take_in(
                    session, world.keys, world.tenant, before.advice_id, receipt=paid.receipt, actor=MAKER
                ),
            )
        )
        if taken:
            assert not isinstance(answer, InRow), answer
        elif before.state != "approved":
            assert isinstance(answer, TransferDecided), answer
        elif not is_whole:
            assert isinstance(answer, PaymentDiffers), answer
        elif one.saver.is_dead:
            assert isinstance(answer, PaymentsSuspended), answer
        else:
            assert isinstance(answer, InRow), answer
        self.see_what_came()

    # -- what helps

    def suspend(self, minor: int, named: str = "") -> Paid:
        """Money comes for nobody that is known, or for what is `named`."""
        reference, key = self.references()
        (answer,) = self.run(self.world.pay(self.world.payment(named or self.country.nobody, minor, reference, key)))
        assert isinstance(answer, Receipt), answer
        paid = self.came(Paid(reference, key, minor, int(answer.receipt), None))
        self.suspended.append(paid)
        return paid

    def advice(self, saver: Saver, reference: str, minor: int, income: int, wrong: str) -> TransferAdvice:
        major, today = self.world.major, self.world.now.date()
        first, last, days = minor // 2, minor - minor // 2, (date(2021, 3, 1), date(2022, 9, 30))
        pot = "no-such-pot" if wrong == "pot" else "savings"
        return TransferAdvice(
            version=1,
            reference=reference,
            sender=THERE,
            receiver="A Scheme",
            dated_on=today - timedelta(days=1),
            currency=self.world.tenant.asset.symbol,
            member=AdvicePerson(number="77", full_name="Ama Invented", born_on=saver.born_on),
            product="savings",
            joined_on=date(2021, 2, 1),
            parts=(
                AdvicePart(
                    pot=pot, origin="own", amount=major(minor + income), contributions=major(minor),
                    income=major(income), vests_from=days[0],
                ),
            ),
            payments=tuple(
                AdvicePayment(paid_on=day, pot=pot, origin="own", amount=major(part))
                for day, part in zip(days, (first, last), strict=True)
            ),
            totals=AdviceTotals(
                amount=major(minor + income + (wrong == "total")), contributions=major(minor), income=major(income),
                parts=1, payments=2,
            ),
        )  # fmt: skip

    def bring(self, saver: Saver, advice: TransferAdvice) -> InRow | EngineError:
        world, member = self.world, self.run(self.world.member(saver.number))
        return self.run(
            world.within(
                "advise transfer",
                lambda session: benefits.advise_transfer(
                    session, world.keys, world.tenant, member, advice, actor=MAKER
                ),
            )
        )

    def bring_home(self, claim: int, receipt: int) -> TransferOut | EngineError:
        world = self.world
        return self.run(
            world.within(
                "bring transfer home",
                lambda session: benefits.bring_transfer_home(
                    session, world.tenant, claim, reason="refused", receipt=receipt, actor=MAKER
                ),
            )
        )

    def transfer(self, claim: int) -> TransferOut:
        return self.run(self.world.read(lambda session: benefits.find_transfer(session, claim)))

    def find_advice(self, one: Advised) -> InRow:
        return self.run(self.world.read(lambda session: benefits.find_advice(session, one.row.advice_id)))

    def settle(self) -> None:
        super().settle()
        self.see_what_came()

    def see_what_came(self) -> None:
        """Know of payments that workers took in as savings of another scheme."""
        for one in self.advised:
            found = self.find_advice(one)
            if found.state == "posted" and not one.is_counted:
                one.is_counted = True
                one.saver.paid_minor += found.amount
                (paid,) = [paid for paid in self.suspended if paid.receipt == found.receipt]
                self.suspended.remove(paid)


class UnitisedTransfers(Transfers, UnitisedScheme):
    """In funds: what leaves is sold, what comes home is invested again."""

    country = replace(GHANA, rules=GHANA.rules + RULES)


MUST_HAPPEN = {
    ("ask transfer", DONE),
    ("ask transfer", "benefits.nothing-to-transfer"),
    ("ask transfer", "benefits.payments-suspended"),
    ("pay transfer", DONE),
    ("pay transfer", "benefits.unknown-transfer"),
    ("pay transfer", "benefits.transfer-decided"),
    ("acknowledge transfer", DONE),
    ("acknowledge transfer", "benefits.unknown-transfer"),
    ("acknowledge transfer", "benefits.transfer-not-sent"),
    ("acknowledge transfer", "benefits.transfer-decided"),
    ("bring transfer home", DONE),
    ("bring transfer home", "benefits.unknown-transfer"),
    ("bring transfer home", "benefits.transfer-decided"),
    ("bring transfer home", "benefits.payout-under-way"),
    ("bring transfer home", "benefits.transfer-not-sent"),
    ("bring transfer home", "benefits.payment-differs"),
    ("bring transfer home", "benefits.not-reconciled"),
    ("advise transfer", DONE),
    ("advise transfer", "benefits.advice-differs"),
    ("advise transfer", "benefits.pot-not-taken"),
    ("advise transfer", "benefits.advice-known"),
    ("advise transfer", "benefits.payments-suspended"),
    ("approve advice", DONE),
    ("approve advice", "access.same-person"),
    ("approve advice", "benefits.transfer-differs"),
    ("approve advice", "benefits.transfer-decided"),
    ("reject advice", DONE),
    ("withdraw advice", DONE),
    ("withdraw advice", "benefits.transfer-decided"),
    ("take in", DONE),
    ("take in", "benefits.payment-differs"),
    ("take in", "benefits.transfer-decided"),
    ("take in", "benefits.payments-suspended"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = UnitisedTransfers()
    all_.begin([60_000, 50_000, 40_000])
    for index, is_open in enumerate((True, True, False)):
        all_.ask_to_leave(index, is_open)
    all_.pay_what_left(0)
    all_.note_that_they_took_it(0)
    all_.it_comes_home(0, by_payment=False, is_whole=True, is_shown=True)
    for _ in range(3):
        all_.approve(0, CHECKER, is_exact=True, at_once=2)
    all_.a_dealing(100)
    all_.note_that_they_took_it(0)
    for index in range(3):
        all_.pay_what_left(index)
        all_.it_comes_home(index, by_payment=False, is_whole=True, is_shown=True)
        all_.approve_payout(0, CHECKER, is_exact=True, at_once=2)
    all_.it_comes_home(0, by_payment=True, is_whole=True, is_shown=True)
    all_.send_payouts()
    all_.a_day_at_the_bank()
    all_.a_day_at_the_bank()
    all_.it_comes_home(2, by_payment=False, is_whole=True, is_shown=True)  # its account was closed
    all_.it_comes_home(2, by_payment=False, is_whole=True, is_shown=True)
    all_.note_that_they_took_it(0)
    all_.note_that_they_took_it(0)
    all_.pay_what_left(0)
    all_.it_comes_home(1, by_payment=True, is_whole=False, is_shown=True)
    all_.it_comes_home(1, by_payment=True, is_whole=True, is_shown=False)
    all_.it_comes_home(1, by_payment=True, is_whole=True, is_shown=True)
    all_.ask_to_leave(0, is_open=True)
    for wrong in ("", "total", "pot", "", "", ""):
        all_.advise(0, 10_000, 77, wrong)
    all_.advise(1, 5_000, 0, "")
    all_.advise_again_otherwise(0)
    all_.decide_advice(0, MAKER, is_exact=True, how="approve")
    all_.decide_advice(0, CHECKER, is_exact=False, how="approve")
    all_.savings_arrive(0, is_whole=True, is_shown=False)
    all_.decide_advice(0, CHECKER, is_exact=True, how="approve")
    all_.decide_advice(0, CHECKER, is_exact=True, how="approve")
    all_.a_day_at_the_bank()
    all_.decide_advice(0, MAKER, is_exact=True, how="withdraw")
    all_.decide_advice(1, CHECKER, is_exact=True, how="reject")
    all_.decide_advice(2, MAKER, is_exact=True, how="withdraw")
    all_.decide_advice(3, CHECKER, is_exact=True, how="approve")
    all_.savings_arrive(3, is_whole=False, is_shown=False)
    all_.savings_arrive(3, is_whole=True, is_shown=False)
    all_.decide_advice(4, CHECKER, is_exact=True, how="approve")
    all_.take_savings(1, 1_000)
    all_.die(1, 0)
    all_.savings_arrive(4, is_whole=True, is_shown=False)
    all_.advise(1, 5_000, 0, "")
    all_.ask_to_leave(1, is_open=True)
    all_.a_dealing(-100)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(UnitisedTransfers, database_urls[0]):
        live(UnitisedTransfers, everything, MUST_HAPPEN, capsys, histories=FAMILY)
