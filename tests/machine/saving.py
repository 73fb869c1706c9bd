"""A scheme of savings with declared interest: whole francs, the state's match, interest declared and revised."""

from datetime import UTC, date, datetime

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from engine.access.errors import SamePerson
from engine.benefits.queries.claiming import Request
from engine.contributions.errors import ClaimChanged, MoreThanClaimed
from engine.contributions.queries.matching import MatchClaim
from engine.contributions.service import ClaimShared
from tests.machine.machine import AnyScheme, mostly, people, which
from tests.machine.world import MAKER, Country

RWANDA = Country(
    pack="rw-ejoheza",
    product="ltss",
    channel="mtn-momo",
    account="EJOHEZACOLLECTIONMOMO",
    document="nid",
    number="1{year:04d}7{serial:07d}012",
    consents=("scheme-rules", "personal-data"),
    nobody="2999999999",
    rules="""
[[rule]]
kind = "identity-check"
id = "register-knows-nid"
document = "nid"
at_joining = false
register_kind = "nid"
source = "Invented: the social register knows households by the identity number"
confidence = "high"
""",
    opens=datetime(2023, 12, 18, 8, 0, tzinfo=UTC),
)
YEAR = date(2023, 1, 1)
CLASSES = ("ubudehe-1", "ubudehe-2", "ubudehe-3", "ubudehe-4", "category of no scheme")


class SavingScheme(AnyScheme):
    """One tenant a history; it begins two weeks before a scheme year ends."""

    country = RWANDA
    least = 1
    youngest = 16
    access = Request(rule="early-access", purpose="education")
    retirement = Request(rule="all-at-once", ground="retirement")
    identity = "identity"

    @initialize(amounts=st.lists(st.integers(15_000, 90_000), min_size=3, max_size=3), is_over=st.booleans())
    def begin(self, amounts: list[int], *, is_over: bool) -> None:
        """Three people have saved enough for the state's match: one young, one who may retire, one older than that."""
        for age, minor in zip((30, 55, 72), amounts, strict=True):
            self.join(age)
            self.pay(len(self.savers) - 1, minor, 1)
        if is_over:
            for index, name in enumerate(CLASSES[:3]):
                self.tell_class(index, name)
            self.the_year_ends()
        self.a_day_at_the_bank()

    # -- the state's money

    @precondition(lambda self: self.savers)
    @rule(index=which, name=st.sampled_from(CLASSES))
    def tell_class(self, index: int, name: str) -> None:
        saver = self.savers[index % len(self.savers)]
        self.run(self.world.classify(saver.document, name))

    @rule()
    def the_year_ends(self) -> None:
        """On 2 February a year's match may be claimed."""
        if self.world.now.year == YEAR.year:
            self.run(self.world.to(date(2024, 2, 2)))
            self.settle()

    @rule(by=people, is_exact=mostly)
    def claim_match(self, by: str, is_exact: bool) -> None:
        claim = self.run(self.world.prepare_match(YEAR))
        if not isinstance(claim, MatchClaim):
            return
        answer = self.run(self.world.send_match(claim.claim_no, claim.digest if is_exact else "0" * 64, by))
        if by == MAKER:
            assert isinstance(answer, SamePerson), answer
        elif not is_exact:
            assert isinstance(answer, ClaimChanged), answer
        else:
            assert isinstance(answer, MatchClaim), answer

    @rule(part=st.integers(1, 110), is_shown=mostly)
    def the_state_pays(self, part: int, is_shown: bool) -> None:
        """All of a claim, a part of it, or more than it asks for; shared once the bank shows it."""
        sent = [one for one in self.run(self.world.match_claims()) if one.state == "sent" and not one.received]
        if not sent or sent[0].total <= 0:
            return
        claim = sent[0]
        minor = max(claim.total * part // 100, 1) if part <= 100 else claim.total + part
        reference, _ = self.references()
        answer = self.run(self.world.receive_match(claim.claim_no, minor, reference))
        if part > 100:
            assert isinstance(answer, MoreThanClaimed), answer
            return
        assert isinstance(answer, MatchClaim), answer
        self.world.bank.credit(minor, end_to_end_id=reference, text=reference)
        if is_shown:
            self.a_day_at_the_bank()
        shared = self.run(self.world.share_match(claim.claim_no))
        assert isinstance(shared, ClaimShared) is is_shown, shared
        self.state_paid += minor if is_shown else 0

    # -- interest

    @rule(percent=st.sampled_from(["11.5", "12", "0", "7.25"]), by=people)
    def declare_and_credit(self, percent: str, by: str) -> None:
        """A rate of the year, accepted by another person; a later one replaces it and posts the difference."""
        answer = self.run(self.world.declare("declared-interest", YEAR, percent, by))
        if by == MAKER and answer:
            assert not isinstance(answer, list), answer
        self.run(self.world.credit_interest(YEAR))
