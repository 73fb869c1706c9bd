"""What every adapter that carries messages must hold, whatever its protocol."""

import functools
import re

import pytest
from msgspec.structs import replace

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import Unanswered, WireRequest
from engine.notices.ports import (
    DeliveryHint,
    DeliveryState,
    MessageAnswer,
    Messaging,
    OutgoingMessage,
    ReportForged,
    ReportUnreadable,
)
from engine.notices.rules.deliveries import furthest
from integrations.messaging.simulating import Fault
from tests.contracts.messaging.conftest import SECRET, Case

TEXT = "KES 500.00 received. You have saved [KES] 12,345.00 €"


def message(case: Case, *, to: str = "", reference: str = "m-0001", text: str = TEXT) -> OutgoingMessage:
    return OutgoingMessage(
        reference=reference, to=to or case.reader, text=text, sender=case.sender, subject="Your receipt"
    )


async def outcome(case: Case, asked: OutgoingMessage) -> ExchangeState:
    """Return what the engine then knows: no answer is unknown."""
    try:
        return (await case.adapter.send(asked)).state
    except Unanswered:
        return ExchangeState.UNKNOWN


async def hints(case: Case) -> list[DeliveryHint]:
    return [hint for report in await case.reports() for hint in case.adapter.read_report(report)]


def is_about(hint: DeliveryHint, answer: MessageAnswer, asked: OutgoingMessage) -> bool:
    """Return whether the hint names the message by the provider's id, or by our reference."""
    return bool(hint.provider_ref and hint.provider_ref == answer.provider_ref) or hint.reference == asked.reference


def test_it_answers_the_port(case: Case) -> None:
    assert isinstance(case.adapter, Messaging)


@pytest.mark.parametrize(
    "text", [TEXT, "Ọlá, ẹ kú iṣẹ́ ✓ 🙂", "Salio lako ni KES 1,000.00. " * 9], ids=["plain", "UCS-2", "long"]
)
async def test_an_accepted_message_is_carried_once_and_whole(case: Case, text: str) -> None:
    asked = message(case, text=text.strip())
    answer = await case.adapter.send(asked)

    assert (answer.state, answer.reason) == (ExchangeState.ACCEPTED, None)
    assert case.sent() == [asked.text]
    assert answer.parts >= 1
    if case.says_cost:
        assert re.fullmatch(r"[0-9]+\.[0-9]+", answer.cost)
        assert re.fullmatch(r"[A-Z]{3}", answer.currency)
    else:
        assert (answer.cost, answer.currency) == ("", "")


async def test_a_refused_message_is_carried_nowhere_and_has_a_reason(case: Case) -> None:
    answer = await case.adapter.send(message(case, to=case.refused))

    assert answer.state is ExchangeState.REJECTED
    assert answer.reason not in (None, Reason.OTHER)
    assert (answer.parts, answer.cost) == (0, "")
    assert answer.code
    assert case.sent() == []


async def test_a_delivered_message_is_reported_delivered(case: Case) -> None:
    asked = message(case)
    answer = await case.adapter.send(asked)
    told = await hints(case)

    assert told
    assert all(is_about(hint, answer, asked) for hint in told)
    assert functools.reduce(furthest, [hint.state for hint in told]) in (DeliveryState.DELIVERED, DeliveryState.READ)


async def test_a_message_that_did_not_arrive_is_reported_failed_with_a_reason(case: Case) -> None:
    asked = message(case, to=case.absent)
    answer = await case.adapter.send(asked)
    told = await hints(case)

    assert answer.state is ExchangeState.ACCEPTED
    (failed,) = (hint for hint in told if hint.state is DeliveryState.FAILED)
    assert is_about(failed, answer, asked)
    assert failed.reason is not None
    assert functools.reduce(furthest, [hint.state for hint in told]) is DeliveryState.FAILED


@pytest.mark.parametrize(
    "fault", [Fault.REPORT_TWICE, Fault.REPORTS_REORDERED, Fault.REPORT_LATE], ids=["twice", "reordered", "late"]
)
async def test_reports_that_misbehave_end_in_the_same_state(case: Case, fault: Fault) -> None:
    await case.adapter.send(message(case, reference="m-0001"))
    right = functools.reduce(furthest, [hint.state for hint in await hints(case)])
    before = len(await case.reports())
    case.faults.plan(fault)
    await case.adapter.send(message(case, reference="m-0002"))
    reports = (await case.reports())[before:]
    told = [hint for report in reports for hint in case.adapter.read_report(report)]

    assert case.faults.happened[fault] == 1
    assert functools.reduce(furthest, [hint.state for hint in told]) is right


async def test_a_report_that_never_came_leaves_the_message_accepted(case: Case) -> None:
    case.faults.plan(Fault.REPORT_DROPPED, 5)
    await case.adapter.send(message(case))

    assert await hints(case) == []


async def test_the_same_report_gives_the_same_hints(case: Case) -> None:
    await case.adapter.send(message(case))

    for report in await case.reports():
        assert case.adapter.read_report(report) == case.adapter.read_report(report)


@pytest.mark.parametrize("fault", [Fault.LATE, Fault.DROPPED, Fault.HTML_PAGE, Fault.HALF_A_BODY])
async def test_an_answer_that_is_none_is_unknown_though_the_message_went_out(case: Case, fault: Fault) -> None:
    case.faults.plan(fault)
    state = await outcome(case, message(case))

    assert case.faults.happened[fault] == 1
    assert state is ExchangeState.UNKNOWN
    assert len(case.sent()) == 1


async def test_a_provider_that_is_down_has_accepted_nothing(case: Case) -> None:
    case.faults.plan(Fault.UNAVAILABLE)
    answer = await case.adapter.send(message(case))

    assert answer.state in (ExchangeState.UNKNOWN, ExchangeState.REJECTED)
    assert answer.reason in (Reason.PROVIDER_DOWN, Reason.AMBIGUOUS)
    assert case.sent() == []
    assert (await case.adapter.send(message(case))).state is ExchangeState.ACCEPTED


async def test_what_is_no_report_is_never_an_outcome(case: Case) -> None:
    for body in (b"", b"\x00" * 40, b"<html></html>", b"{}", b"status=Success", b"id=1&status=Success" * 9000):
        report = WireRequest(method="POST", url="/reports?x", headers={"content-type": "text/html"}, body=body)
        try:
            told = case.adapter.read_report(report)
        except (ReportUnreadable, ReportForged):
            continue
        assert told == ()


async def test_a_report_that_is_not_proved_is_refused_where_reports_are_proved(case: Case) -> None:
    if not case.proves_reports:
        pytest.skip("its reports carry no proof: they are hints by anyone")
    await case.adapter.send(message(case))
    for report in await case.reports():
        stripped = replace(report, headers={}, url=re.sub(r"token=[^&]*", "token=guess", report.url))
        with pytest.raises(ReportForged):
            case.adapter.read_report(stripped)


async def test_no_handshake_for_a_stranger(case: Case) -> None:
    query = "hub.mode=subscribe&hub.verify_token=guess&hub.challenge=1"
    for method, url in (("GET", f"/reports?{query}"), ("GET", "/reports"), ("POST", "/reports")):
        assert case.adapter.answer_handshake(WireRequest(method=method, url=url)) is None


async def test_neither_secret_nor_reader_stands_in_what_may_be_logged(case: Case) -> None:
    asked = message(case)
    answer = await case.adapter.send(asked)
    told = await hints(case)
    seen = f"{case.adapter!r} {asked!r} {answer!r} {told!r}"

    assert SECRET[:8] not in seen
    assert asked.to.removeprefix("+") not in seen
    assert asked.text not in seen
