"""Reports come late, twice and reordered; the state they end in is the same."""

import functools
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.notices.ports import OutgoingMessage, UssdRequest
from engine.notices.rules.deliveries import DeliveryState, furthest

UNDER_WAY, DELIVERED, READ, FAILED = DeliveryState


@given(st.lists(st.sampled_from(DeliveryState), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_neither_order_nor_number_matters(told: list[DeliveryState], chance: object) -> None:
    once = functools.reduce(furthest, told)
    shuffled = told * 2
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert functools.reduce(furthest, shuffled) is once


@pytest.mark.parametrize(
    ("told", "state"),
    [
        pytest.param([DELIVERED, UNDER_WAY], DELIVERED, id="a late 'sent' takes nothing back"),
        pytest.param([READ, DELIVERED], READ, id="nor does a late 'delivered'"),
        pytest.param([FAILED, DELIVERED], DELIVERED, id="delivered at the second try"),
        pytest.param([UNDER_WAY, FAILED, UNDER_WAY], FAILED, id="failed stays failed"),
    ],
)
def test_states(told: list[DeliveryState], state: DeliveryState) -> None:
    for order in itertools.permutations(told):
        assert functools.reduce(furthest, order) is state


def test_what_may_be_logged_holds_no_number_text_or_pin() -> None:
    message = OutgoingMessage(reference="m-1", to="+254711000111", text="Your balance is KES 5.00")
    step = UssdRequest(session="s-1", phone="+254711000111", service_code="*384#", inputs=("1", "4711"))

    assert repr(message) == "OutgoingMessage(reference='m-1')"
    assert f"{step!r} {step}" == "UssdRequest(session='s-1', inputs=2) UssdRequest(session='s-1', inputs=2)"
