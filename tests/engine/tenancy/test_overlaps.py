"""Every kind of which a case asks one rule refuses two of them, and says so in words a pack's author can act on."""

import shutil
from pathlib import Path

import msgspec
import pytest

from engine.app import KINDS
from engine.benefits.rules import FeeRule, PayoutRouteRule, pension_problems
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import decode_book, holds_many
from engine.tenancy.service import load_pack

PACK = Path(__file__).parents[3] / "tenants" / "rw-ejoheza"
BY_CASE = [kind for kind in KINDS if kind.one_for]
ROUTE = """
[[rule]]
kind = "payout-route"
id = "{id}"
rail = "{id}"
rank = {rank}
{limits}
name_check = "none"
account = "any"
source = "test"
confidence = "high"
"""


def test_kinds_of_one_case_hold_many_and_name_their_own_figures() -> None:
    assert len(BY_CASE) > 15
    for kind in BY_CASE:
        assert holds_many(kind), kind
        assert set(kind.one_for) <= {one.name for one in msgspec.structs.fields(kind)}, kind
        assert kind.overlaps is Rule.overlaps, kind


@pytest.mark.parametrize(
    ("first", "second", "meets"),
    [
        ((1, ""), (1, ""), True),
        ((1, ""), (2, ""), False),
        ((1, 'below_amount = "100"'), (1, 'from_amount = "100"'), False),
        ((1, 'below_amount = "101"'), (1, 'from_amount = "100"'), True),
        ((1, 'from_amount = "100"'), (1, 'below_amount = "100"'), False),
        ((1, 'below_amount = { series = "wage" }'), (1, 'from_amount = "100"'), True),
    ],
)
def test_rails_of_one_rank_share_amounts_out(first: tuple[int, str], second: tuple[int, str], meets: bool) -> None:
    text = "".join(
        ROUTE.format(id=name, rank=rank, limits=limits)
        for name, (rank, limits) in (("bank", first), ("wallet", second))
    )
    _, problems = decode_book("main", {"main/rules/2020-01-01.toml": text.encode()}, (PayoutRouteRule,))
    assert [str(one) for one in problems] == [
        (
            "main/rules/2020-01-01.toml: rule[2]: wallet could decide the same case as bank@2020-01-01 from 2020-01-01 on; "
            "let one end where the other begins, or repeal one"
        )
    ] * meets


FEE = """
[[rule]]
kind = "fee"
id = "{id}"
charged = "{charged}"
payee = "operator"
amount = "5"
part_period = "whole"
taken_from = "billed"
rank = {rank}
when_short = "owe"
rounding = "down"
source = "test"
confidence = "high"
"""


@pytest.mark.parametrize(("rank", "meets"), [(1, True), (2, False)])
def test_fees_of_one_rank_are_refused_for_nothing_says_which_goes_first(rank: int, *, meets: bool) -> None:
    first = FEE.format(id="yearly", charged="year", rank=1).encode()
    later = FEE.format(id="leaving", charged="exit", rank=rank).encode()
    files = {"main/rules/2020-01-01.toml": first, "main/rules/2021-01-01.toml": later}
    _, problems = decode_book("main", files, (FeeRule,))
    assert [str(one) for one in problems] == [
        (
            "main/rules/2021-01-01.toml: rule[1]: leaving could decide the same case as yearly@2020-01-01 from 2021-01-01 on; "
            "give one another rank, let one end where the other begins, or repeal one"
        )
    ] * meets


PENSION = """
[[rule]]
kind = "pension"
id = "{id}"
form = "fixed"
amount = "3000"
every_months = 1
due = "in-advance"
pay_day = "day-of-start"
rounding = "down"
source = "test"
confidence = "high"
"""
OPTION = """
[[rule]]
kind = "retirement-option"
id = "for-life"
grounds = ["retirement"]
order = {{ pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}
least_lump_bp = 0
most_lump_bp = 0
lump_rounding = "down"
rest = "{rest}"
source = "test"
confidence = "high"
"""


@pytest.mark.parametrize(
    ("rest", "other", "meets"),
    [("fixed-pension", "larger", True), ("programmed-withdrawal", "larger", False), ("fixed-pension", "", False)],
)
def test_two_pensions_that_one_option_could_pay_are_refused(
    tmp_path: Path, rest: str, other: str, *, meets: bool
) -> None:
    copy = tmp_path / "rw-ejoheza"
    shutil.copytree(PACK, copy)
    book = min((copy / "ltss" / "rules").iterdir())
    book.write_text(book.read_text() + OPTION.format(rest=rest) + PENSION.format(id="smaller"))
    later = book.with_name("2024-01-01.toml")
    if other:
        later.write_text((later.read_text() if later.exists() else "") + PENSION.format(id=other))
    assert [str(one) for one in pension_problems(load_pack(copy, KINDS))] == [
        (
            "ltss/rules/2024-01-01.toml: larger: for-life could pay larger as well as smaller@2018-12-14 from 2024-01-01 on; "
            "let one end where the other begins, repeal one, or put them into products of their own"
        )
    ] * meets
