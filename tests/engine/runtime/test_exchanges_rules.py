"""What an answer changes: the lattice of an exchange, by table and for any order of answers."""

from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.outcomes import Answer, ExchangeState, Reason, RequestState
from engine.runtime.exchanges import rules
from engine.runtime.exchanges.pacing import Gate, Pace, wait_after
from engine.runtime.exchanges.rules import OPENED, Purpose, Standing

S, X = RequestState, ExchangeState
UNKNOWN = Standing(state=X.UNKNOWN, outcome=S.SENT, answer=Answer(state=S.SENT))
TAKEN = Standing(state=X.ACCEPTED, outcome=S.PENDING, answer=Answer(state=S.PENDING, handle="ours"))
DONE = Answer(state=S.SUCCEEDED, provider_ref="T1", amount="5")
NO = Answer(state=S.FAILED, reason=Reason.PAYER_REJECTED)
ANSWERS = st.builds(
    Answer,
    state=st.sampled_from(list(S)),
    reason=st.sampled_from([None, *Reason]),
    provider_ref=st.sampled_from(["", "T1", "T2"]),
    handle=st.sampled_from(["", "h1", "h2"]),
)


@pytest.mark.parametrize(
    ("said", "state", "outcome"),
    [
        pytest.param(Answer(state=S.CREATED), X.REQUESTED, S.CREATED, id="not taken: may be asked again"),
        pytest.param(Answer(state=S.SENT), X.UNKNOWN, S.SENT, id="nobody knows"),
        pytest.param(Answer(state=S.PENDING), X.ACCEPTED, S.PENDING, id="taken"),
        pytest.param(DONE, X.ACCEPTED, S.SUCCEEDED, id="done at once"),
        pytest.param(Answer(state=S.SUCCEEDED), X.ACCEPTED, S.PENDING, id="done without a transaction proves nothing"),
        pytest.param(NO, X.REJECTED, S.FAILED, id="refused"),
    ],
)
def test_after_asking(said: Answer, state: ExchangeState, outcome: RequestState) -> None:
    standing = rules.after_request(OPENED, said)

    assert (standing.state, standing.outcome) == (state, outcome)


@pytest.mark.parametrize(
    ("known", "said", "state", "outcome"),
    [
        pytest.param(UNKNOWN, Answer(state=S.SENT), X.UNKNOWN, S.SENT, id="nothing learned"),
        pytest.param(TAKEN, Answer(state=S.SENT), X.ACCEPTED, S.PENDING, id="nothing learned of what was taken"),
        pytest.param(UNKNOWN, Answer(state=S.CREATED), X.REQUESTED, S.CREATED, id="never arrived: asked again"),
        pytest.param(
            TAKEN, Answer(state=S.CREATED), X.ACCEPTED, S.PENDING, id="taken, then unheard of: asked after again"
        ),
        pytest.param(UNKNOWN, Answer(state=S.PENDING), X.ACCEPTED, S.PENDING, id="it was taken"),
        pytest.param(UNKNOWN, DONE, X.ACCEPTED, S.SUCCEEDED, id="it was done"),
        pytest.param(TAKEN, NO, X.ACCEPTED, S.FAILED, id="taken, then failed"),
        pytest.param(TAKEN, Answer(state=S.SUCCEEDED), X.ACCEPTED, S.PENDING, id="done without a transaction"),
    ],
)
def test_after_an_enquiry(known: Standing, said: Answer, state: ExchangeState, outcome: RequestState) -> None:
    standing = rules.after_enquiry(known, said)

    assert (standing.state, standing.outcome) == (state, outcome)


def test_the_requests_own_name_is_kept() -> None:
    assert rules.after_enquiry(TAKEN, msgspec.structs.replace(DONE, handle="the question's")).answer.handle == "ours"


def test_a_callback_tells_the_name_of_a_lost_answer_and_never_changes_one() -> None:
    hinted = msgspec.structs.replace(DONE, handle="theirs")

    assert rules.after_hint(UNKNOWN, hinted).answer.handle == "theirs"
    assert rules.after_hint(UNKNOWN, hinted).outcome is S.SENT
    assert rules.after_hint(TAKEN, hinted) == TAKEN


@pytest.mark.parametrize(
    ("outcome", "is_sent", "purpose"),
    [
        (S.CREATED, False, Purpose.REQUEST),
        (S.CREATED, True, Purpose.ENQUIRY),
        (S.SENT, True, Purpose.ENQUIRY),
        (S.PENDING, True, Purpose.ENQUIRY),
    ],
)
def test_what_may_have_gone_out_is_asked_after(outcome: RequestState, is_sent: bool, purpose: Purpose) -> None:
    assert rules.next_purpose(outcome, is_sent=is_sent) is purpose


@given(st.lists(ANSWERS, max_size=8))
def test_what_is_final_stays_final_and_success_always_has_a_transaction(answers: list[Answer]) -> None:
    known, decided = UNKNOWN, None
    for said in answers:
        known = rules.after_hint(rules.after_enquiry(known, said), said)
        if decided:
            assert known == decided
        if known.is_final:
            decided = known
        assert known.outcome is not S.SUCCEEDED or known.answer.provider_ref
        assert (known.outcome is S.SENT) <= (known.state is X.UNKNOWN)


@given(ANSWERS, ANSWERS)
def test_a_hint_decides_nothing(first: Answer, hinted: Answer) -> None:
    known = rules.after_enquiry(UNKNOWN, first)

    assert rules.after_hint(known, hinted).outcome is known.outcome
    assert rules.after_hint(known, hinted).state is known.state


def test_in_every_order_what_was_done_ends_as_done() -> None:
    """Whatever else is said on the way, and however the answers are reordered."""
    others = [Answer(state=S.SENT), Answer(state=S.PENDING), Answer(state=S.SENT), Answer(state=S.SUCCEEDED), DONE]
    for order in permutations(others):
        known = UNKNOWN
        for said in order:
            known = rules.after_enquiry(known, said)
        assert (known.outcome, known.answer.provider_ref) == (S.SUCCEEDED, "T1")


# -- pace


@given(st.integers(1, 10_000))
def test_waits_grow_to_a_limit_with_jitter(calls: int) -> None:
    pace = Pace(first_wait=2, longest_wait=3600)
    longest = min(3600, 2 * 2 ** min(calls - 1, 40))

    assert longest / 2 <= wait_after(pace, calls) <= longest


class Now:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_counterparty_that_is_down_is_left_alone_then_tried_once() -> None:
    now = Now()
    gate = Gate(Pace(breaks_after=3, breaks_for=30, per_second=100, at_once=10), now)
    for _ in range(3):
        gate.ended(is_down=True)

    assert gate.admit() == 0
    assert gate.is_open
    now.seconds = 31
    assert gate.admit() == 1
    gate.ended(is_down=True)
    assert gate.admit() == 0  # still down: left alone again
    now.seconds = 62
    assert gate.admit() == 1
    gate.ended(is_down=False)
    assert gate.admit() == 10


def test_no_more_calls_begin_than_the_rate_allows() -> None:
    now = Now()
    gate = Gate(Pace(per_second=5, at_once=100), now)

    assert gate.admit() == 5
    gate.began(5)
    assert gate.admit() == 0
    now.seconds = 0.4
    assert gate.admit() == 2
    now.seconds = 100
    assert gate.admit() == 5  # what was not used is not saved up
