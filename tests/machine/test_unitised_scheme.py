"""Everything that may happen to a unitised scheme, in any order, against PostgreSQL: what is legal is done, all else refused.

After every history the laws of the books hold, the bank's statement is the books', statements say what was paid in, a statement
of a day gone by says what it said then, and the exported log proves itself. A failure prints its steps, and
`@reproduce_failure` replays them.
"""

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from engine.access.errors import SamePerson
from engine.benefits.errors import ClaimDiffers, PayoutChanged
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.rules.paying import Payout
from engine.contributions.errors import BelowMinimum, KeyReused, ReversalDiffers
from engine.contributions.rules import Receipt
from engine.contributions.service import Reversal
from engine.enrolment.service import Enrolled
from engine.funds.service import PriceImport
from engine.runtime.database import Database
from tests.machine.world import CHECKER, DONE, MAKER, Country, World, dealing_days, sums

FUND = "TIER3-FUND"
GHANA = Country(
    pack="gh-tier3-informal",
    product="tier3",
    channel="bank",
    account="TIER3COLLECTIONS",
    document="ghana-card",
    number="GHA{:09d}0",
    consents=("scheme-rules", "personal-data"),
    funds=((FUND, "MANAGER"),),
    rules="""
[[rule]]
kind = "price-tolerance"
id = "price-tolerance"
move_bp = 500
source = "Invented: prices that move by more than a twentieth are looked at"
confidence = "high"

[[rule]]
kind = "investing"
id = "investing"
invested_from = "reconciled"
reversal_difference_to = "scheme"
source = "Invented: the pool bears what a reversal gains or loses"
confidence = "high"
""",
)
LEAST = 100
_EVENING = time(16, 30)
CLOSED_ACCOUNT = "0666"
Found = TypeVar("Found")
which = st.integers(0, 10_000)
people = st.sampled_from([MAKER, CHECKER, CHECKER, CHECKER])
mostly = st.sampled_from([True, True, True, False])


@dataclass
class Saver:
    """What the machine knows of a member, by itself."""

    number: str
    member_id: int
    document: str
    born_on: date
    paid_minor: int = 0
    is_dead: bool = False
    claims: list[int] = field(default_factory=list)


@dataclass
class Paid:
    """A payment that was taken."""

    reference: str
    key: str
    minor: int
    receipt: int
    saver: Saver | None
    is_reversed: bool = False
    is_sent_back: bool = False


class UnitisedScheme(RuleBasedStateMachine):
    """One tenant a history; `db`, `folder` and `counts` are the test's."""

    db: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]
    counts: ClassVar[Counter[tuple[str, str]]]

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory(prefix="akiba-machine-")
        self.world = self.run(World.open(self.db, Path(self.home.name), GHANA, self.counts))
        self.world.prices = {FUND: 10_000}
        self.days = dealing_days(self.world.now.date())
        self.savers: list[Saver] = []
        self.paid: list[Paid] = []
        self.suspended: list[Paid] = []
        self.payable: list[ClaimRow] = []
        self.payouts: list[Payout] = []
        self.sent_back: dict[int, Payout] = {}
        self.serial = 0

    def run(self, doing: Coroutine[Any, Any, Found]) -> Found:
        return self.runner.run(doing)

    @property
    def living(self) -> list[Saver]:
        return [one for one in self.savers if not one.is_dead]

    @initialize(amounts=st.lists(st.integers(5_000, 90_000), min_size=3, max_size=3))
    def begin(self, amounts: list[int]) -> None:
        """Three people hold units: one young, one who may retire, one older than that."""
        for age, minor in zip((30, 60, 72), amounts, strict=True):
            self.join(age)
            self.pay(len(self.savers) - 1, minor, 1)
        self.a_dealing(0)

    # -- people

    @rule(age=st.sampled_from([8, 14, 15, 30, 45, 59, 60, 72]))
    def join(self, age: int) -> None:
        born = self.world.now.date().replace(year=self.world.now.year - age, day=1)
        number = self.world.new_number()
        answer = self.run(self.world.join(born_on=born, number=number, name="Ama Invented"))
        assert isinstance(answer, Enrolled) is (age >= 15), answer
        if isinstance(answer, Enrolled):
            self.savers.append(Saver(answer.number, answer.member_id, number, born))

    @precondition(lambda self: self.savers)
    @rule(index=which)
    def join_again(self, index: int) -> None:
        saver = self.savers[index % len(self.savers)]
        answer = self.run(self.world.join(born_on=saver.born_on, number=saver.document, name="Ama Invented"))
        assert not isinstance(answer, Enrolled), answer

    # -- money in

    @precondition(lambda self: self.living)
    @rule(index=which, minor=st.one_of(st.just(LEAST - 1), st.integers(LEAST, 90_000)), times=st.integers(1, 3))
    def pay(self, index: int, minor: int, times: int) -> None:
        """The same payment may be sent by several connections at one moment."""
        saver = self.living[index % len(self.living)]
        reference, key = self.references()
        payment = self.world.payment(saver.number, minor, reference, key)
        answers = self.run(self.world.pay(*[payment] * times))
        if minor < LEAST:
            assert all(isinstance(one, BelowMinimum) for one in answers), answers
            return
        receipts = {one.receipt for one in answers if isinstance(one, Receipt)}
        assert len(receipts) == 1, answers
        assert all(isinstance(one, Receipt) for one in answers), answers
        self.came(Paid(reference, key, minor, int(receipts.pop()), saver))
        saver.paid_minor += minor

    @precondition(lambda self: self.paid)
    @rule(index=which)
    def pay_with_a_used_key(self, index: int) -> None:
        before = self.paid[index % len(self.paid)]
        number = before.saver.number if before.saver else "5000000000"
        reference, _ = self.references()
        (answer,) = self.run(self.world.pay(self.world.payment(number, before.minor + 1, reference, before.key)))
        assert isinstance(answer, KeyReused), answer

    @rule(minor=st.integers(LEAST, 9_000))
    def pay_for_nobody(self, minor: int) -> None:
        reference, key = self.references()
        (answer,) = self.run(self.world.pay(self.world.payment("5999999999", minor, reference, key)))
        assert isinstance(answer, Receipt), answer
        assert answer.state == "suspended", answer
        self.suspended.append(self.came(Paid(reference, key, minor, int(answer.receipt), None)))

    @precondition(lambda self: self.suspended and self.living)
    @rule(index=which, whose=which, twice=st.booleans(), is_known=mostly)
    def resolve(self, index: int, whose: int, twice: bool, is_known: bool) -> None:
        paid = self.suspended[index % len(self.suspended)]
        saver = self.living[whose % len(self.living)]
        if not is_known:
            answer = self.run(self.world.resolve(paid.receipt, "5999999999"))
            assert not isinstance(answer, Receipt), answer
            return
        answer = self.run(self.world.resolve(paid.receipt, saver.number))
        if paid.receipt in self.sent_back:
            assert not isinstance(answer, Receipt), answer
            return
        assert isinstance(answer, Receipt), answer
        self.suspended.remove(paid)
        paid.saver = saver
        saver.paid_minor += paid.minor
        if twice:
            assert not isinstance(self.run(self.world.resolve(paid.receipt, saver.number)), Receipt)

    @precondition(lambda self: any(one.saver and not one.is_reversed for one in self.paid))
    @rule(index=which, by=people, is_exact=mostly)
    def reverse(self, index: int, by: str, is_exact: bool) -> None:
        standing = [one for one in self.paid if one.saver and not one.is_reversed]
        paid = standing[index % len(standing)]
        proposed = self.run(self.world.reverse(paid.receipt))
        if not isinstance(proposed, Reversal):
            proposed = self.run(self.world.find_reversal(paid.receipt))
        assert proposed.state == "proposed", proposed
        digest = proposed.digest if is_exact else "0" * 64
        answer = self.run(self.world.confirm_reversal(paid.receipt, digest, by))
        if by == MAKER:
            assert isinstance(answer, SamePerson), answer
        elif not is_exact:
            assert isinstance(answer, ReversalDiffers), answer
        elif isinstance(answer, Reversal):
            paid.is_reversed = True
            assert paid.saver
            paid.saver.paid_minor -= paid.minor
        else:
            raise AssertionError(answer)

    # -- days

    @rule()
    def a_day_at_the_bank(self) -> None:
        self.run(self.world.to(next(self.days)))
        self.settle()

    @rule(move_bp=st.integers(-1_500, 1_500))
    def a_dealing(self, move_bp: int) -> None:
        """Dealing closes at 16:00; the next day's price may have to be looked at by a second person."""
        world = self.world
        day = next(self.days)
        self.run(world.to(day))
        self.settle()
        self.run(world.to(day, at=_EVENING))
        self.run(world.deal())
        self.run(world.to(next(self.days)))
        before = world.prices[FUND]
        world.prices[FUND] = max(before * (10_000 + move_bp) // 10_000, 1_000)
        report = self.run(world.price())
        assert isinstance(report, PriceImport), report
        if report.held:
            assert isinstance(self.run(world.approve_price(FUND, MAKER)), SamePerson)
            self.run(world.approve_price(FUND, CHECKER))
        self.run(world.deal())
        self.run(world.managers_pay())
        self.settle()

    @rule()
    def close_of_business(self) -> None:
        self.run(self.world.to(next(self.days)))
        self.settle()
        self.run(self.world.close())

    # -- money out

    @precondition(lambda self: self.savers)
    @rule(index=which, minor=st.one_of(st.none(), st.integers(100, 30_000)))
    def take_savings(self, index: int, minor: int | None) -> None:
        self.claim(index, "access", minor, Request(rule="personal-savings", purpose="education"))

    @precondition(lambda self: self.savers)
    @rule(index=which)
    def retire(self, index: int) -> None:
        self.claim(index, "retirement", None, Request(rule="savings-account", ground="retirement"))

    def claim(self, index: int, kind: Any, minor: int | None, request: Request) -> None:
        saver = self.savers[index % len(self.savers)]
        member = self.run(self.world.member(saver.number))
        self.serial += 1
        answer = self.run(self.world.claim(member, kind, minor=minor, key=f"claim-{self.serial}", request=request))
        if isinstance(answer, ClaimRow):
            assert answer.state in ("decided", "refused"), answer
            if saver.is_dead:
                assert answer.state == "refused", answer
            if answer.state == "decided":
                saver.claims.append(answer.claim_id)

    @precondition(lambda self: any(one.claims for one in self.savers))
    @rule(index=which, by=people, is_exact=mostly, at_once=st.integers(1, 3))
    def approve(self, index: int, by: str, is_exact: bool, at_once: int) -> None:
        having = [one for one in self.savers if one.claims]
        saver = having[index % len(having)]
        claim = self.run(self.world.find_claim(saver.claims[0]))
        digest = claim.digest if is_exact else "0" * 64

        async def together() -> list[Any]:
            return list(
                await asyncio.gather(*(self.world.approve_claim(claim.claim_id, digest, by) for _ in range(at_once)))
            )

        answers = self.run(together())
        done = [one for one in answers if isinstance(one, ClaimRow)]
        if saver.is_dead:  # what was asked for in life falls with a death that is confirmed
            assert not done, answers
            saver.claims.remove(claim.claim_id)
        elif by == MAKER:
            assert all(isinstance(one, SamePerson) for one in answers), answers
        elif not is_exact:
            assert all(isinstance(one, ClaimDiffers) for one in answers), answers
        else:
            assert len(done) <= 1, answers
            saver.claims.remove(claim.claim_id)
            self.payable.append(claim)

    @precondition(lambda self: any(one.claims for one in self.savers))
    @rule(index=which, by=people)
    def reject(self, index: int, by: str) -> None:
        having = [one for one in self.savers if one.claims]
        saver = having[index % len(having)]
        claim = self.run(self.world.find_claim(saver.claims[0]))
        answer = self.run(self.world.reject_claim(claim.claim_id, claim.digest, by))
        if by == MAKER and not saver.is_dead:
            assert isinstance(answer, SamePerson), answer
        else:
            saver.claims.remove(claim.claim_id)

    @precondition(lambda self: self.living)
    @rule(index=which, minor=st.integers(100, 2_000), is_open=mostly, comes_back=st.booleans())
    def take_savings_to_the_end(self, index: int, minor: int, is_open: bool, comes_back: bool) -> None:
        """Asked for, granted, sold, instructed, approved, sent, paid; and it may come back from a bank that had paid it."""
        saver = self.living[index % len(self.living)]
        before, paid_out = len(saver.claims), len(self.payouts)
        self.claim(self.savers.index(saver), "access", minor, Request(rule="personal-savings", purpose="education"))
        if len(saver.claims) == before:
            return
        claim = self.run(self.world.find_claim(saver.claims.pop()))
        answer = self.run(self.world.approve_claim(claim.claim_id, claim.digest, CHECKER))
        if not isinstance(answer, ClaimRow):
            return
        self.payable = [claim]
        self.a_dealing(10)
        self.instruct(0, is_open)
        if len(self.payouts) == paid_out:
            return
        payout = self.payouts.pop()
        self.run(self.world.approve_payout(payout, payout.digest, CHECKER))
        self.send_payouts()
        self.a_day_at_the_bank()
        self.a_day_at_the_bank()
        if comes_back and self.run(self.world.find_payout(payout)).state == "succeeded":
            minor = int(payout.amount.replace(".", ""))
            self.world.bank.credit(minor, end_to_end_id=payout.id.hex, text="RETURNED")
            self.a_day_at_the_bank()

    @precondition(lambda self: self.payable)
    @rule(index=which, is_open=mostly)
    def instruct(self, index: int, is_open: bool) -> None:
        claim = self.run(self.world.find_claim(self.payable[index % len(self.payable)].claim_id))
        amounts = sums([(one.pot, one.origin, one.minor) for one in claim.parts if not one.is_forfeited])
        if not amounts or claim.state != "payable":
            return
        amounts = {next(iter(amounts)): claim.amount}
        answer = self.run(self.world.instruct(claim, amounts, "0012345" if is_open else CLOSED_ACCOUNT))
        if isinstance(answer, Payout) and answer.state == "created":
            self.payouts.append(answer)

    @precondition(lambda self: self.payouts)
    @rule(index=which, by=people, is_exact=mostly, at_once=st.integers(1, 3))
    def approve_payout(self, index: int, by: str, is_exact: bool, at_once: int) -> None:
        payout = self.payouts[index % len(self.payouts)]
        digest = payout.digest if is_exact else "0" * 64

        async def together() -> list[Any]:
            return list(await asyncio.gather(*(self.world.approve_payout(payout, digest, by) for _ in range(at_once))))

        answers = self.run(together())
        if by == MAKER:
            assert not any(isinstance(one, Payout) for one in answers), answers
        elif not is_exact:
            assert not any(isinstance(one, Payout) for one in answers), answers
            assert any(isinstance(one, PayoutChanged) for one in answers), answers
        else:
            assert sum(isinstance(one, Payout) for one in answers) <= 1, answers
            self.payouts.remove(payout)

    @precondition(lambda self: self.payouts)
    @rule(index=which, by=people)
    def refuse_payout(self, index: int, by: str) -> None:
        payout = self.payouts[index % len(self.payouts)]
        answer = self.run(self.world.refuse_payout(payout, by))
        if by == MAKER:
            assert isinstance(answer, SamePerson), answer
        elif isinstance(answer, Payout):
            self.payouts.remove(payout)
            self.sent_back = {receipt: one for receipt, one in self.sent_back.items() if one.id != payout.id}

    @precondition(lambda self: self.suspended)
    @rule(index=which)
    def send_suspense_back(self, index: int) -> None:
        paid = self.suspended[index % len(self.suspended)]
        answer = self.run(self.world.refund(paid.receipt))
        if isinstance(answer, Payout):
            assert answer.state == "created", answer
            if paid.receipt not in self.sent_back:
                self.payouts.append(answer)
                self.sent_back[paid.receipt] = answer

    @rule()
    def send_payouts(self) -> None:
        self.world.bank.closed = {CLOSED_ACCOUNT}
        self.run(self.world.file_payouts())

    # -- death

    @precondition(lambda self: 2 * len(self.living) > len(self.savers))
    @rule(index=which, days_ago=st.integers(0, 3))
    def die(self, index: int, days_ago: int) -> None:
        saver = self.living[index % len(self.living)]
        self.run(self.world.die(saver.member_id, self.world.now.date() - timedelta(days=days_ago)))
        saver.is_dead = True
        self.run(self.world.carry_on())

    @rule(index=which, by=people)
    def approve_death_claim(self, index: int, by: str) -> None:
        claims = [one for one in self.run(self.world.death_claims()) if one.state == "decided"]
        if claims:
            claim = claims[index % len(claims)]
            self.run(self.world.approve_claim(claim.claim_id, claim.digest, by))

    @rule(index=which, heir=st.integers(1, 3), is_known=mostly)
    def pay_heir(self, index: int, heir: int, is_known: bool) -> None:
        claims = [one for one in self.run(self.world.death_claims()) if one.state == "payable"]
        if claims:
            claim = claims[index % len(claims)]
            if is_known and heir <= 2:
                self.run(self.world.document_heir(claim.claim_id, heir))
            answer = self.run(self.world.pay_heir(claim.claim_id, heir, "0098765"))
            if isinstance(answer, Payout) and answer.state == "created":
                self.payouts.append(answer)

    # -- what helps

    def references(self) -> tuple[str, str]:
        self.serial += 1
        return f"REF{self.serial:06d}", f"key-{self.serial}"

    def came(self, paid: Paid) -> Paid:
        """The bank has the money of a payment that was told."""
        self.paid.append(paid)
        self.world.bank.credit(paid.minor, end_to_end_id=paid.reference, text=paid.reference)
        return paid

    def settle(self) -> None:
        """Take in what the bank says, and let workers carry on."""
        for paid in (one for one in self.paid if one.is_reversed and not one.is_sent_back):
            if self.run(self.world.find_reversal(paid.receipt)).state == "reversed":
                paid.is_sent_back = True
                self.world.bank.debit(paid.minor, end_to_end_id=paid.reference, text=paid.reference)
        self.run(self.world.take_from_bank())
        self.run(self.world.carry_on())

    def story_of(self, saver: Saver, lines: object) -> str:
        """Tell what the machine knows of a member whose statement says something else."""
        payments = [
            (one, self.run(self.world.find_reversal(one.receipt)) if one.is_reversed else None)
            for one in self.paid
            if one.saver is saver
        ]
        return f"{saver}\n{payments}\n{lines}"

    # -- what must hold

    def teardown(self) -> None:
        try:
            self.must_hold()
        finally:
            self.home.cleanup()

    def must_hold(self) -> None:
        world = self.world
        self.send_payouts()
        for _ in range(3):  # what is under way ends
            self.a_dealing(0)
        offences = self.run(world.offences())
        assert offences == [], offences
        proof = self.run(world.proof())
        (account,) = [one for one in proof.accounts if one.account == GHANA.channel]
        money = f"{world.bank.balance / 100:.2f}"
        assert (account.books, account.closing, account.unexplained) == (money, money, "0.00"), proof.lines()
        for saver in self.savers:
            said = self.run(world.statement_of(saver.number, world.now.date()))
            # What a payment that was taken back left with the member stays theirs as what they owe.
            owed = sum(
                int(self.run(world.find_reversal(one.receipt)).owed.replace(".", ""))
                for one in self.paid
                if one.saver is saver and one.is_reversed
            )
            assert said.totals.contributed_minor == saver.paid_minor + owed, self.story_of(saver, said.lines)
        report = self.run(world.export(Path(self.home.name) / "package"))
        assert report.is_ok, report


@pytest.fixture
def machine(database_urls: tuple[str, str]) -> Iterator[type[UnitisedScheme]]:
    """The machine, with a database and an event loop of this test's own."""
    with asyncio.Runner() as runner:
        database = Database(database_urls[0])
        UnitisedScheme.db, UnitisedScheme.runner, UnitisedScheme.counts = database, runner, Counter()
        yield UnitisedScheme
        runner.run(database.dispose())


HISTORIES = int(os.environ.get("AKIBA_HISTORIES", "6"))
MUST_HAPPEN = {
    ("join", DONE),
    ("join", "enrolment.too-young"),
    ("join", "enrolment.already-member"),
    ("pay", DONE),
    ("pay", "contributions.below-minimum"),
    ("pay", "contributions.key-reused"),
    ("resolve suspense", DONE),
    ("resolve suspense", "contributions.already-resolved"),
    ("resolve suspense", "request.not-found"),
    ("refund suspense", DONE),
    ("propose reversal", DONE),
    ("propose reversal", "contributions.reversal-decided"),
    ("confirm reversal", DONE),
    ("confirm reversal", "access.same-person"),
    ("confirm reversal", "contributions.reversal-differs"),
    ("import statement", DONE),
    ("import prices", DONE),
    ("approve price", DONE),
    ("approve price", "access.same-person"),
    ("deal", DONE),
    ("close of business", DONE),
    ("claim access", DONE),
    ("claim access", "benefits.more-than-accessible"),
    ("claim access", "benefits.payments-suspended"),
    ("claim retirement", DONE),
    ("claim retirement", "benefits.before-benefit-age"),
    ("claim retirement", "benefits.payments-suspended"),
    ("approve claim", DONE),
    ("approve claim", "access.same-person"),
    ("approve claim", "benefits.claim-differs"),
    ("approve claim", "benefits.claim-decided"),
    ("reject claim", DONE),
    ("reject claim", "access.same-person"),
    ("instruct payout", DONE),
    ("approve payout", DONE),
    ("approve payout", "access.same-person"),
    ("approve payout", "benefits.payout-changed"),
    ("approve payout", "benefits.payout-decided"),
    ("refuse payout", DONE),
    ("refuse payout", "access.same-person"),
    ("file payouts", DONE),
    ("read report", DONE),
    ("report death", DONE),
    ("pay heir", DONE),
    ("pay heir", "benefits.documents-needed"),
    ("pay heir", "benefits.unknown-heir"),
}
"""What must have been tried, and what must have come of it: what never happened proves nothing."""


def one_history_of_everything(machine: type[UnitisedScheme]) -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = machine()
    all_.begin([60_000, 50_000, 40_000])
    all_.join(14)
    all_.join_again(0)
    all_.pay(0, LEAST - 1, 2)
    all_.pay(0, 7_001, 3)
    all_.pay_with_a_used_key(0)
    for _ in range(2):
        all_.pay_for_nobody(777)
    all_.resolve(0, 0, twice=False, is_known=False)
    all_.resolve(0, 0, twice=True, is_known=True)
    all_.send_suspense_back(0)
    all_.a_dealing(-1_400)
    all_.send_suspense_back(0)
    all_.reverse(0, MAKER, is_exact=True)
    all_.reverse(0, CHECKER, is_exact=False)
    all_.reverse(0, CHECKER, is_exact=True)
    all_.a_dealing(1_400)
    all_.pay(2, 5_000, 1)
    last = sum(1 for one in all_.paid if one.saver and not one.is_reversed) - 1
    all_.reverse(last, CHECKER, is_exact=True)
    all_.run(all_.world.reverse(all_.paid[-1].receipt))
    all_.take_savings(1, None)
    all_.take_savings(1, 1_000)
    all_.retire(0)
    all_.approve(0, MAKER, is_exact=True, at_once=1)
    all_.approve(0, CHECKER, is_exact=False, at_once=1)
    all_.reject(0, MAKER)
    all_.reject(0, CHECKER)
    all_.take_savings_to_the_end(1, 1_500, is_open=True, comes_back=True)
    all_.take_savings_to_the_end(1, 1_600, is_open=False, comes_back=False)
    all_.retire(2)
    all_.approve(0, CHECKER, is_exact=True, at_once=3)
    all_.a_dealing(0)
    all_.payable, all_.payouts = all_.payable[-1:], []
    all_.instruct(0, is_open=True)
    all_.refuse_payout(0, MAKER)
    all_.refuse_payout(0, CHECKER)
    all_.instruct(0, is_open=True)
    all_.approve_payout(0, MAKER, is_exact=True, at_once=1)
    all_.approve_payout(0, CHECKER, is_exact=False, at_once=1)
    all_.approve_payout(0, CHECKER, is_exact=True, at_once=3)
    all_.send_payouts()
    all_.close_of_business()
    all_.die(1, 2)
    all_.take_savings(1, 200)
    all_.retire(1)
    all_.approve_death_claim(0, CHECKER)
    all_.a_dealing(0)
    all_.pay_heir(0, 1, is_known=False)
    all_.pay_heir(0, 1, is_known=True)
    all_.pay_heir(0, 3, is_known=True)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(machine: type[UnitisedScheme], capsys: pytest.CaptureFixture[str]) -> None:
    """AKIBA_HISTORIES sets how many; a number of one's own tries others than the usual ones."""
    one_history_of_everything(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=30,
            derandomize="AKIBA_HISTORIES" not in os.environ,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    with capsys.disabled():
        for (operation, outcome), count in sorted(machine.counts.items()):
            sys.stdout.write(f"{count:6d}  {operation}: {outcome}\n")
    assert set(machine.counts) >= MUST_HAPPEN, MUST_HAPPEN - set(machine.counts)
