"""Every kind of which a case asks one rule refuses two of them, and says so in words a pack's author can act on."""

import msgspec
import pytest

from engine.app import KINDS
from engine.benefits.rules import PayoutRouteRule
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import decode_book, holds_many

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
