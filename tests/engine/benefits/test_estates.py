"""Who inherits and in which shares, without a database: every smallest unit has an heir, and the pack's order is kept."""

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.app import KINDS
from engine.benefits.errors import NoSuchRule
from engine.benefits.rules import CorpusRule, MinorTrustRule, ProofRule, SpouseRule
from engine.benefits.rules.estates import (
    DeathCase,
    DeathTerms,
    Entitled,
    Heir,
    entitled,
    majority_of,
    payee_lacks,
    share_parts,
    shared_anew,
)
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.tenancy.service import load_pack
from tests.engine.benefits.books import book_of, figures_in

PACKS = Path(__file__).parents[3] / "tenants"
DIED, ON = date(2023, 1, 20), date(2023, 2, 1)
PLACES = st.dictionaries(
    st.tuples(st.sampled_from(["savings", "retirement", "access"]), st.sampled_from(["own", "state-match", "gift"])),
    st.integers(0, 10**13), min_size=1,
)  # fmt: skip
WEIGHTS = st.dictionaries(st.integers(1, 30), st.integers(1, 10_000), min_size=1, max_size=20)


@given(PLACES, WEIGHTS)
def test_shares_lose_nothing_and_are_within_a_unit_of_exact(
    parts: dict[tuple[str, str], int], weights: dict[int, int]
) -> None:
    split = share_parts(parts, weights)
    for place, minor in parts.items():
        assert sum(of.get(place, 0) for of in split.values()) == minor
    whole, total = sum(parts.values()), sum(weights.values())
    for heir, of in split.items():
        assert all(minor > 0 for minor in of.values())
        assert abs(Fraction(whole * weights[heir], total) - sum(of.values())) < 1
        for place, minor in of.items():
            assert minor >= parts[place] * weights[heir] // total


@given(PLACES, WEIGHTS, st.data())
def test_new_shares_after_payments_lose_nothing_and_take_nothing_back(
    parts: dict[tuple[str, str], int], weights: dict[int, int], data: st.DataObject
) -> None:
    whole = sum(parts.values())
    first = share_parts(parts, weights)
    paid = {heir: data.draw(st.integers(0, sum(of.values()))) for heir, of in first.items()}
    late = {**weights, 31: data.draw(st.integers(1, 10_000))}
    due = shared_anew(whole, paid, late)
    assert sum(due.values()) == whole - sum(paid.values())
    total = sum(late.values())
    for heir, minor in due.items():
        assert minor > 0
        assert paid.get(heir, 0) + minor <= Fraction(whole * late[heir], total) + 1, "nobody gets more than their share"


def test_shares_by_hand() -> None:
    """100 and 1 in thirds: 33.67 each, so 34, 34, 33; the one of the second origin goes to the first heir who lacks one."""
    split = share_parts({("p", "own"): 100, ("p", "state-match"): 1}, {1: 1, 2: 1, 3: 1})
    assert {heir: sum(of.values()) for heir, of in split.items()} == {1: 34, 2: 34, 3: 33}
    assert split[2] == {("p", "own"): 33, ("p", "state-match"): 1}


def terms_of(pack: str, product: str) -> tuple[DeathTerms, Figures]:
    """Return the rules of a real pack on the death."""
    loaded = load_pack(PACKS / pack, KINDS)
    dates = Dates(on=ON, joined_on=date(2021, 1, 1), born_on=date(1985, 1, 1), scheme_year_from=date(2022, 7, 1),
                  tranche_on=ON, benefit_from=ON, died_on=DIED)  # fmt: skip
    book = loaded.books[product]
    terms = DeathTerms(
        corpora=book.all_in_force(CorpusRule, dates),
        spouse=book.in_force(SpouseRule, dates),
        proofs=book.all_in_force(ProofRule, dates),
        trust=book.in_force(MinorTrustRule, dates),
    )
    return terms, Figures(loaded.asset, loaded.series)


def nominee(heir_no: int, share_bp: int, **others: bool) -> Heir:
    return Heir(heir_no=heir_no, named_as="nominee", share_bp=share_bp, **others)


def by_law(heir_no: int, share_bp: int, **others: bool) -> Heir:
    return Heir(heir_no=heir_no, named_as="heir", share_bp=share_bp, **others)


def decided(terms: DeathTerms, figures: Figures, *heirs: Heir, **others: object) -> Entitled:
    case = DeathCase(on=ON, died_on=DIED, born_on=date(1985, 1, 1), is_registered=True, heirs=heirs, **others)  # type: ignore[arg-type]
    return entitled(terms, case, figures)


def test_apy_asks_for_the_spouse_first_who_leaves_or_pays_in_on_until_the_member_would_have_been_60() -> None:
    """Born on 1 January 1985: until 1 January 2045."""
    terms, figures = terms_of("in-apy", "apy")
    nobody = decided(terms, figures, nominee(1, 10_000))
    assert (nobody.basis, nobody.missing) == ("nominees", ("no-spouse-declaration",))
    alone = decided(terms, figures, nominee(1, 10_000), documents=frozenset({"no-spouse-declaration"}))
    assert (alone.basis, dict(alone.weights), alone.missing) == ("nominees", {1: 10_000}, ())
    spouse = nominee(1, 10_000, is_spouse=True)
    assert decided(terms, figures, spouse).missing == ("spouse-choice",)
    leaves = decided(terms, figures, spouse, choice="exit")
    assert (leaves.basis, dict(leaves.weights), leaves.missing) == ("spouse", {1: 1}, ())
    goes_on = decided(terms, figures, spouse, choice="contribute-on")
    assert (goes_on.goes_on, goes_on.until, dict(goes_on.weights)) == (True, date(2045, 1, 1), {})
    married = decided(terms, figures, nominee(1, 10_000), by_law(2, 10_000, is_spouse=True), choice="exit")
    assert (married.basis, married.missing) == ("spouse", ("marriage-certificate",))
    widowed = decided(terms, figures, nominee(1, 10_000), by_law(2, 10_000, is_spouse=True, is_out=True))
    assert (widowed.basis, dict(widowed.weights), widowed.missing) == ("nominees", {1: 10_000}, ())


def test_pm_sym_returns_the_corpus_to_the_fund_after_a_benefit_began_and_no_spouse_lives() -> None:
    terms, figures = terms_of("in-pm-sym", "maan-dhan")
    found = decided(terms, figures, nominee(1, 10_000), has_begun=True)
    assert (found.basis, dict(found.weights), found.missing) == ("fund", {}, ("no-spouse-declaration",))
    widowed = decided(terms, figures, nominee(1, 10_000, is_spouse=True, is_out=True), has_begun=True)
    assert (widowed.basis, dict(widowed.weights), widowed.missing) == ("fund", {}, ())
    married = decided(terms, figures, nominee(1, 10_000, is_spouse=True), has_begun=True)
    assert (married.goes_on, married.pension_bp, dict(married.weights)) == (True, 5_000, {})


def test_nps_lite_pays_nominees_and_without_one_the_heirs() -> None:
    terms, figures = terms_of("in-nps-lite", "nps-lite")
    found = decided(terms, figures, nominee(1, 6_000), nominee(2, 4_000, is_out=True))
    assert (found.basis, dict(found.weights), found.missing) == ("nominees", {1: 6_000}, ())
    assert [one.partition("@")[0] for one in found.rules] == ["death-before-benefit"]
    without = decided(terms, figures, nominee(1, 10_000, is_out=True))
    assert (without.basis, without.missing) == ("heirs", ("succession-certificate", "heirs"))
    with pytest.raises(NoSuchRule):
        decided(terms, figures, nominee(1, 10_000), has_begun=True)


def test_haba_haba_pays_the_survivors_whoever_was_named_by_the_county_s_letter() -> None:
    terms, figures = terms_of("ke-haba-haba", "haba-haba")
    found = decided(terms, figures, nominee(1, 10_000), by_law(2, 10_000))
    assert (found.basis, dict(found.weights)) == ("heirs", {2: 10_000})
    assert found.missing == ("death-certificate + county-administration-letter",)
    papers = frozenset({"death-certificate", "county-administration-letter"})
    proven = decided(terms, figures, nominee(1, 10_000), by_law(2, 10_000), documents=papers)
    assert proven.missing == ()
    assert [one.partition("@")[0] for one in proven.rules] == ["survivors", "dependants"]


RULES = """
[[rule]]
kind = "corpus"
id = "before"
after = "member-before-benefit"
to = "nominees"
without_nominee = "heirs"

[[rule]]
kind = "proof"
id = "small-estates"
fact = "survivors"
alternatives = [{ documents = ["letter-of-the-chief"], most = "50000.00" }, { documents = ["succession-certificate"] }]

[[rule]]
kind = "proof"
id = "death"
fact = "death"
alternatives = [{ documents = ["death-certificate"] }]
"""


def test_below_a_threshold_no_court_s_certificate_is_asked_for() -> None:
    book, figures = book_of(RULES), figures_in("KES")
    dates = Dates(on=ON)
    terms = DeathTerms(corpora=book.all_in_force(CorpusRule, dates), proofs=book.all_in_force(ProofRule, dates))
    letter = frozenset({"letter-of-the-chief", "death-certificate"})
    assert decided(terms, figures, by_law(1, 10_000), minor=50_000_00, documents=letter).missing == ()
    above = decided(terms, figures, by_law(1, 10_000), minor=50_000_01, documents=letter)
    assert above.missing == ("letter-of-the-chief / succession-certificate",)
    ruled = decided(terms, figures, by_law(1, 10_000), minor=1, documents=frozenset({"letter-of-the-chief"}))
    assert ruled.missing == ("death-certificate",), "a register's word is not enough where a rule asks for papers"


def test_who_is_paid_shows_papers_and_a_child_a_guardian_s() -> None:
    terms, figures = DeathTerms(), figures_in("KES")
    assert payee_lacks(terms, frozenset(), 1, figures, ON, is_minor=False) == ("identity",)
    assert payee_lacks(terms, frozenset({"identity"}), 1, figures, ON, is_minor=False) == ()
    lacks = payee_lacks(terms, frozenset({"birth-certificate"}), 1, figures, ON, is_minor=True)
    assert lacks == ("guardian-identity",)
    assert majority_of(None, date(2008, 2, 29)) == date(2026, 3, 1)
