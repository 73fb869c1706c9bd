"""A DCI register over real HTTP: deaths and classes, and messages that prove nothing."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from joserfc.jwk import KeySet, RSAKey

from engine.identity.ports import CivilRegistry, NotProven, SocialRegistry
from engine.kernel.clock import SystemClock
from engine.kernel.outcomes import Reason
from engine.kernel.transport import Callback, Unanswered
from engine.runtime.exchanges.transport import open_transport
from integrations.messaging.simulating import Fault, HttpServer
from integrations.registries.dci.adapter import DciRegistry
from integrations.registries.dci.simulator import DciSimulator
from integrations.registries.dci.wire import Registry

OURS = RSAKey.generate_key(2048, {"kid": "ours"})
ITS = RSAKey.generate_key(2048, {"kid": "of-the-register"})
OTHER = RSAKey.generate_key(2048, {"kid": "of-the-register"})
DEAD: dict[str, Any] = {
    "identifier": [
        {"identifier_type": "DRN", "identifier_value": "2026-000017"},
        {"identifier_type": "NID", "identifier_value": "1198070000000001"},
    ],
    "name": {"surname": "Invented", "given_name": "Jean", "second_name": "Bosco"},
    "birth_date": "1980-05-01",
    "death_date": "2026-10-30",
}
POOR: dict[str, Any] = {
    "identifier": [{"identifier_type": "NID", "identifier_value": "1199080000000002"}],
    "class": "C1",
    "registration_date": "2025-07-01",
}


@dataclass
class Place:
    simulator: DciSimulator
    server: HttpServer
    register: DciRegistry
    registry: Registry


@asynccontextmanager
async def place(*, its: RSAKey = ITS, ours: RSAKey = OURS, **changes: str) -> AsyncIterator[Place]:
    async with open_transport(seconds=2) as transport:
        registry = Registry(base_url="", sender_id="akiba", receiver_id="crvs", reg_type="ns:org:RegistryType:Civil")
        theirs = msgspec.structs.replace(registry, **changes)
        simulator = DciSimulator(theirs, its, KeySet([OURS]), [DEAD, POOR])
        async with HttpServer(simulator) as server:
            registry = msgspec.structs.replace(registry, base_url=server.url)
            register = DciRegistry(transport, registry, ours, KeySet([ITS]), SystemClock())
            yield Place(simulator, server, register, registry)


async def test_deaths_and_classes_are_found() -> None:
    async with place() as at:
        deaths = await at.register.deaths_of("NID", ["1198070000000001", "1199080000000002", "0"])
        classes = await at.register.classes_of("NID", ["1199080000000002"])
        nobody = await at.register.deaths_of("NID", ["0"])

    [death] = deaths.deaths
    assert (death.registry, death.record, death.identifiers) == ("crvs", "2026-000017", {"NID": "1198070000000001"})
    assert (death.names, death.died_on, death.is_void) == (("Jean Bosco Invented",), date(2026, 10, 30), False)
    [social] = classes.classes
    assert (social.name, social.as_of) == ("C1", date(2025, 7, 1))
    assert nobody.was_searched
    assert nobody.deaths == ()
    assert "Invented" not in repr(death)
    assert isinstance(at.register, CivilRegistry)
    assert isinstance(at.register, SocialRegistry)


async def test_a_notice_tells_of_a_death_and_other_events_of_none() -> None:
    now = datetime.now(UTC)
    async with place() as at:
        told = Callback(method="POST", body=at.simulator.notice({**DEAD, "registration_status": "VOID"}))
        [death] = at.register.read_notice(told, now)
        birth = at.simulator.notice(DEAD, event="spdci-common:RegistryEventType:LiveBirth")

        assert at.register.read_notice(Callback(method="POST", body=birth), now) == ()
        assert (death.record, death.is_void) == ("2026-000017", True)
        assert json.loads(at.register.acknowledge(told, now))["message"]["ack_status"] == "ACK"
        refused = json.loads(at.register.acknowledge(told, now, refusal="signature-wrong"))["message"]
        assert (refused["ack_status"], refused["error"]["code"]) == ("NACK", "err.signature.invalid")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"its": OTHER}, "signature-wrong"),
        ({"its": OURS}, "signer-unknown"),
        ({"receiver_id": "elsewhere"}, "from-another"),
        ({"sender_id": "another"}, "not-for-us"),
    ],
)
async def test_a_notice_of_another_or_for_another_proves_nothing(changes: dict[str, Any], code: str) -> None:
    async with place(**changes) as at:
        with pytest.raises(NotProven) as refused:
            at.register.read_notice(Callback(method="POST", body=at.simulator.notice(DEAD)), datetime.now(UTC))

    assert refused.value.code == code


async def test_a_notice_that_was_changed_is_old_or_is_not_whole_proves_nothing() -> None:
    now = datetime.now(UTC)
    async with place() as at:
        body = at.simulator.notice(DEAD)
        nobody = at.simulator.notice({**DEAD, "identifier": []})
        unsigned = json.dumps({**json.loads(body), "signature": ""}).encode()
        for raw, at_instant, code in (
            (body.replace(b"2026-10-30", b"2026-10-31"), now, "signature-wrong"),
            (body, now + timedelta(hours=25), "too-old"),
            (body, now - timedelta(minutes=6), "not-yet-valid"),
            (body[: len(body) // 2], now, "unreadable"),
            (b"<html>502</html>", now, "unreadable"),
            (unsigned, now, "not-signed"),
            (nobody, now, "incomplete"),
        ):
            with pytest.raises(NotProven) as refused:
                at.register.read_notice(Callback(method="POST", body=raw), at_instant)
            assert refused.value.code == code


async def test_an_answer_to_another_question_proves_nothing() -> None:
    async with place() as at:
        old = {"transaction_id": str(uuid4()), "search_response": []}
        at.simulator.repeats = at.simulator._envelope("on-search", old, datetime.now(UTC))
        with pytest.raises(NotProven) as refused:
            await at.register.deaths_of("NID", ["1"])

    assert refused.value.code == "replayed"


async def test_a_key_that_the_register_does_not_know_html_503_and_half_a_body() -> None:
    async with place(ours=OTHER) as at:
        unknown = await at.register.deaths_of("NID", ["1"])
    async with place() as at:
        at.server.faults.plan(Fault.HTML_PAGE)
        page = await at.register.deaths_of("NID", ["1"])
        at.server.faults.plan(Fault.UNAVAILABLE)
        unavailable = await at.register.deaths_of("NID", ["1"])
        at.server.faults.plan(Fault.HALF_A_BODY)
        with pytest.raises(Unanswered):
            await at.register.deaths_of("NID", ["1"])

    assert (unknown.was_searched, unknown.reason) == (False, Reason.AUTH)
    assert page.reason is unavailable.reason is Reason.PROVIDER_DOWN
