"""Everything that may happen to any scheme, in any order, against PostgreSQL: what is legal is done, all else is refused.

After every history the laws of the books hold, the bank's statement is the books', statements say what was paid in, and the
exported log proves itself. A failure prints its steps, and `@reproduce_failure` replays them.
"""

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from engine.access.errors import SamePerson
from engine.benefits.errors import ClaimDiffers, PayoutChanged
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.rules.paying import Payout
from engine.contributions.errors import AmountNotPositive, BelowMinimum, KeyReused, ReversalDiffers
from engine.contributions.rules import Receipt
from engine.contributions.service import Reversal
from engine.enrolment.service import Enrolled
from engine.kernel.errors import EngineError
from engine.runtime.database import Database
from tests.machine.world import CHECKER, MAKER, Country, World, sums

CLOSED_ACCOUNT = "0666"
HISTORIES = int(os.environ.get("AKIBA_HISTORIES", "0"))
FAMILY = 2  # histories of a family of operations, beside the two schemes that try all
Found = TypeVar("Found")
Fired = Counter[tuple[str, str]]
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


class AnyScheme(RuleBasedStateMachine):
    """One tenant a history; `db`, `folder` and `counts` are the test's."""

    db: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]
    counts: ClassVar[Counter[tuple[str, str]]]
    country: ClassVar[Country]
    least: ClassVar[int]
    youngest: ClassVar[int]
    access: ClassVar[Request]
    retirement: ClassVar[Request]
    identity: ClassVar[str]

    def __init_subclass__(cls, *, weight: int = 1, **more: Any) -> None:
        """Have a family's own rules tried `weight` times as often as others."""
        super().__init_subclass__(**more)
        for name, own in list(vars(cls).items()):
            if hasattr(own, RULE_MARKER):
                for again in range(1, weight):
                    setattr(cls, f"{name}_{again}", own)

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory(prefix="akiba-machine-")
        self.world = self.run(World.open(self.db, Path(self.home.name), self.country, self.counts))
        self.savers: list[Saver] = []
        self.paid: list[Paid] = []
        self.suspended: list[Paid] = []
        self.payable: list[ClaimRow] = []
        self.payouts: list[Payout] = []
        self.sent_back: dict[int, Payout] = {}
        self.state_paid = 0
        self.serial = 0

    def run(self, doing: Coroutine[Any, Any, Found]) -> Found:
        return self.runner.run(doing)

    @property
    def living(self) -> list[Saver]:
        return [one for one in self.savers if not one.is_dead]

    # -- people

    @rule(age=st.sampled_from([8, 14, 15, 30, 45, 59, 60, 72]))
    def join(self, age: int) -> None:
        born = self.world.now.date().replace(year=self.world.now.year - age, day=1)
        number = self.world.new_number(born)
        answer = self.run(self.world.join(born_on=born, number=number, name="Ama Invented"))
        assert isinstance(answer, Enrolled) is (age >= self.youngest), answer
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
    @rule(index=which, minor=st.integers(0, 90_000), times=st.integers(1, 3))
    def pay(self, index: int, minor: int, times: int) -> None:
        """The same payment may be sent by several connections at one moment."""
        saver = self.living[index % len(self.living)]
        reference, key = self.references()
        payment = self.world.payment(saver.number, minor, reference, key)
        answers = self.run(self.world.pay(*[payment] * times))
        if minor < self.least:
            assert all(isinstance(one, BelowMinimum | AmountNotPositive) for one in answers), answers
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
        number = before.saver.number if before.saver else self.country.nobody
        reference, _ = self.references()
        (answer,) = self.run(self.world.pay(self.world.payment(number, before.minor + 1, reference, before.key)))
        assert isinstance(answer, KeyReused), answer

    @rule(minor=st.integers(100, 9_000))
    def pay_for_nobody(self, minor: int) -> None:
        reference, key = self.references()
        (answer,) = self.run(self.world.pay(self.world.payment(self.country.nobody, minor, reference, key)))
        assert isinstance(answer, Receipt), answer
        assert answer.state == "suspended", answer
        self.suspended.append(self.came(Paid(reference, key, minor, int(answer.receipt), None)))

    @precondition(lambda self: self.suspended and self.living)
    @rule(index=which, whose=which, twice=st.booleans(), is_known=mostly)
    def resolve(self, index: int, whose: int, twice: bool, is_known: bool) -> None:
        paid = self.suspended[index % len(self.suspended)]
        saver = self.living[whose % len(self.living)]
        if not is_known:
            answer = self.run(self.world.resolve(paid.receipt, self.country.nobody))
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
            self.taken_back(paid, answer)
        else:
            raise AssertionError(answer)

    def taken_back(self, paid: Paid, _: Reversal) -> None:
        """Know that a payment is no longer its saver's."""
        paid.is_reversed = True
        assert paid.saver
        paid.saver.paid_minor -= paid.minor

    # -- days

    @rule()
    def a_day_at_the_bank(self) -> None:
        self.run(self.world.to(self.next_day()))
        self.settle()

    @rule()
    def close_of_business(self) -> None:
        self.run(self.world.to(self.next_day()))
        self.settle()
        self.run(self.world.close())

    # -- money out

    @precondition(lambda self: self.savers)
    @rule(index=which, minor=st.one_of(st.none(), st.integers(100, 30_000)))
    def take_savings(self, index: int, minor: int | None) -> None:
        self.claim(index, "access", minor, self.access)

    @precondition(lambda self: self.savers)
    @rule(index=which)
    def retire(self, index: int) -> None:
        self.claim(index, "retirement", None, self.retirement)

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

        answers = self.at_once(at_once, lambda: self.world.approve_claim(claim.claim_id, digest, by))
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
        self.claim(self.savers.index(saver), "access", minor, self.access)
        if len(saver.claims) == before:
            return
        claim = self.run(self.world.find_claim(saver.claims.pop()))
        answer = self.run(self.world.approve_claim(claim.claim_id, claim.digest, CHECKER))
        if not isinstance(answer, ClaimRow):
            return
        self.payable = [claim]
        self.turn_to_money()
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

        answers = self.at_once(at_once, lambda: self.world.approve_payout(payout, digest, by))
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

    def at_once(self, times: int, doing: Callable[[], Awaitable[Found]]) -> list[Found]:
        """Do the same several times at one moment, each by a connection of its own."""

        async def together() -> list[Found]:
            return list(await asyncio.gather(*(doing() for _ in range(times))))

        return self.run(together())

    def second_person(self, answer: object, by: str, *, is_exact: bool, differs: type[EngineError]) -> bool:
        """Check that who proposed a thing, or has not seen it, is refused; return whether the answer is of another matter."""
        if not is_exact:
            assert isinstance(answer, differs), answer
        elif by == MAKER:
            assert isinstance(answer, SamePerson), answer
        return is_exact and by != MAKER

    def references(self) -> tuple[str, str]:
        self.serial += 1
        return f"REF{self.serial:06d}", f"key-{self.serial}"

    def came(self, paid: Paid) -> Paid:
        """The bank has the money of a payment that was told."""
        self.paid.append(paid)
        self.world.bank.credit(paid.minor, end_to_end_id=paid.reference, text=paid.reference)
        return paid

    def next_day(self) -> date:
        """Return the next weekday."""
        day = self.world.now.date() + timedelta(days=1)
        while day.weekday() > 4:
            day += timedelta(days=1)
        return day

    def turn_to_money(self) -> None:
        """Let time pass until what was put up for sale is money."""
        self.a_day_at_the_bank()

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
            self.turn_to_money()
        offences = self.run(world.offences())
        assert offences == [], offences
        proof = self.run(world.proof())
        (account,) = [one for one in proof.accounts if one.account == self.country.channel]
        money = self.world.major(world.bank.balance)
        assert (account.books, account.closing, account.unexplained) == (money, money, world.major(0)), proof.lines()
        matched = 0
        for saver in self.savers:
            said = self.run(world.statement_of(saver.number, world.now.date()))
            # What a payment that was taken back left with the member stays theirs as what they owe.
            owed = sum(
                int(self.run(world.find_reversal(one.receipt)).owed.replace(".", ""))
                for one in self.paid
                if one.saver is saver and one.is_reversed
            )
            by_origin = sums([("", one.origin, one.amount_minor) for one in said.lines])
            assert by_origin.get(("", "own"), 0) == saver.paid_minor + owed, self.story_of(saver, said.lines)
            assert said.totals.contributed_minor == sum(by_origin.values()), said
            matched += by_origin.get(("", "state-match"), 0)
        assert matched == self.state_paid
        report = self.run(world.export(Path(self.home.name) / "package"))
        assert report.is_ok, report


class Months(AnyScheme, weight=3):
    """Time that passes faster."""

    @rule()
    def a_month_ends(self) -> None:
        self.run(self.world.to((self.world.now.date().replace(day=1) + timedelta(days=31)).replace(day=1)))
        self.run(self.world.to(self.next_day()))
        self.settle()


@contextmanager
def under_hand(machine: type[AnyScheme], app_url: str) -> Iterator[type[AnyScheme]]:
    """Give a machine a database and an event loop of its own."""
    with asyncio.Runner() as runner:
        database = Database(app_url)
        machine.db, machine.runner, machine.counts = database, runner, Counter()
        yield machine
        runner.run(database.dispose())


def live(
    machine: type[AnyScheme],
    everything: Callable[[], None],
    must_happen: set[tuple[str, str]],
    capsys: pytest.CaptureFixture[str],
    *,
    histories: int = 6,
) -> None:
    """Run a history of everything and others at random; tell how often each operation ended how.

    AKIBA_HISTORIES sets how many; given, they are others each time.

    Raises:
        AssertionError: something that must happen never did.
    """
    everything()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=HISTORIES or histories,
            stateful_step_count=30,
            derandomize=not HISTORIES,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    with capsys.disabled():
        sys.stdout.write("\n")
        for (operation, outcome), count in sorted(machine.counts.items()):
            sys.stdout.write(f"{count:6d}  {operation}: {outcome}\n")
    assert set(machine.counts) >= must_happen, must_happen - set(machine.counts)
