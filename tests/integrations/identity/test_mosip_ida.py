"""IDA over real HTTP: sealed and signed both ways; what it refuses and what cannot be its answer."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from engine.identity.ports import AssertedPerson, IdentityState, NotProven
from engine.kernel.clock import FixedClock, SystemClock
from engine.kernel.outcomes import Reason
from engine.kernel.transport import Unanswered, WireRequest, WireResponse
from engine.runtime.exchanges.transport import HttpTransport, open_transport
from integrations.identity.mosip_ida import sealing
from integrations.identity.mosip_ida.adapter import MosipIda
from integrations.identity.mosip_ida.simulator import IdaSimulator, Resident
from integrations.identity.mosip_ida.wire import Partner, read_answer
from integrations.messaging.simulating import Fault, HttpServer


def certified(name: str) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    ends = now + timedelta(days=1)
    serial = x509.random_serial_number()
    return key, x509.CertificateBuilder(subject, subject, key.public_key(), serial, now, ends).sign(
        key, hashes.SHA256()
    )


IDA, OURS, OTHER = certified("ida"), certified("akiba"), certified("another")
ASKED = AssertedPerson(
    reference="1", document="national-id", number="5408602380", full_name="Almaz Invented", born_on=date(1990, 2, 28)
)
RESIDENTS = {
    "5408602380": Resident(name="Almaz Invented", born_on="1990/02/28", phone="+251911000000", one_time_code="111222"),
    "5408602399": Resident(name="Gone Invented", born_on="1950/01/01", is_deactivated=True),
}


class Place:
    def __init__(self, simulator: IdaSimulator, server: HttpServer, transport: HttpTransport, partner: Partner) -> None:
        self.simulator, self.server, self.transport, self.partner = simulator, server, transport, partner
        self.agency = MosipIda(transport, partner, SystemClock())


@asynccontextmanager
async def place(**changes: Any) -> AsyncIterator[Place]:
    simulator = IdaSimulator(IDA[0], IDA[1], OURS[1], RESIDENTS)
    async with open_transport(seconds=2) as transport, HttpServer(simulator) as server:
        partner = Partner(
            base_url=server.url,
            license_key="misp",
            partner_id="akiba",
            api_key="key",
            domain_uri="https://ida.example",
            environment="Staging",
            language="eng",
            ida_certificate=IDA[1],
            certificate=OURS[1],
            private_key=OURS[0],
        )
        yield Place(simulator, server, transport, msgspec.structs.replace(partner, **changes))


async def test_yes_to_what_we_say_and_everything_with_a_code() -> None:
    async with place() as at:
        yes = await at.agency.verify(ASKED)
        known = await at.agency.verify(msgspec.structs.replace(ASKED, one_time_code="111222"))

    assert yes.state is known.state is IdentityState.VERIFIED
    assert yes.person is not None
    assert known.person is not None
    assert (yes.person.subject, yes.person.names) == ("token-2380", ())
    assert known.person.names == ("Almaz Invented",)
    assert (known.person.born_on, known.person.sex, known.person.phone) == (
        date(1990, 2, 28),
        "female",
        "+251911000000",
    )
    assert "Almaz" not in repr(known) + repr(ASKED)
    assert ASKED.number not in str(msgspec.to_builtins(known))


@pytest.mark.parametrize(
    ("changes", "state", "code"),
    [
        ({"full_name": "Another"}, IdentityState.MISMATCH, "IDA-DEA-001"),
        ({"born_on": date(1990, 2, 27)}, IdentityState.MISMATCH, "IDA-DEA-001"),
        ({"number": "5408602399"}, IdentityState.BLOCKED, "IDA-MLC-003"),
        ({"number": "5408602300"}, IdentityState.UNKNOWN_NUMBER, "IDA-MLC-002"),
        ({"one_time_code": "000000"}, IdentityState.MISMATCH, "IDA-OTA-004"),
        ({"full_name": "", "born_on": None}, IdentityState.REFUSED, "IDA-MLC-008"),
    ],
)
async def test_what_ida_refuses(changes: dict[str, Any], state: IdentityState, code: str) -> None:
    async with place() as at:
        answer = await at.agency.verify(msgspec.structs.replace(ASKED, **changes))

    assert (answer.state, answer.code, answer.person) == (state, code, None)


@pytest.mark.parametrize(
    "changes", [{"certificate": OTHER[1]}, {"private_key": OTHER[0]}, {"ida_certificate": OTHER[1]}]
)
async def test_a_certificate_that_does_not_match_is_refused(changes: dict[str, Any]) -> None:
    async with place(**changes) as at:
        if "certificate" in changes:
            at.simulator._partner = OTHER[1]
        answer = await at.agency.verify(ASKED)

    assert (answer.state, answer.reason) == (IdentityState.REFUSED, Reason.AUTH)


async def test_a_clock_that_is_wrong() -> None:
    async with place() as at:
        early = MosipIda(at.transport, at.partner, FixedClock(datetime.now(UTC) - timedelta(hours=1)))
        answer = await early.verify(ASKED)

    assert (answer.state, answer.code) == (IdentityState.REFUSED, "IDA-MLC-001")


async def test_an_old_answer_and_one_sealed_for_another_prove_nothing() -> None:
    coded = msgspec.structs.replace(ASKED, one_time_code="111222")
    async with place() as at:
        at.simulator.seals_for = OTHER[1]
        with pytest.raises(NotProven) as sealed:
            await at.agency.verify(coded)
        at.simulator.repeats = json.dumps(
            {"transactionID": "0000000000", "response": {"authStatus": True, "authToken": "t"}, "errors": None}
        ).encode()
        with pytest.raises(NotProven) as replayed:
            await at.agency.verify(ASKED)

    assert (sealed.value.code, replayed.value.code) == ("unreadable", "replayed")


async def test_html_503_and_half_a_body() -> None:
    async with place() as at:
        at.server.faults.plan(Fault.HTML_PAGE)
        page = await at.agency.verify(ASKED)
        at.server.faults.plan(Fault.UNAVAILABLE)
        unavailable = await at.agency.verify(ASKED)
        at.server.faults.plan(Fault.HALF_A_BODY)
        with pytest.raises(Unanswered):
            await at.agency.verify(ASKED)

    assert page.state is unavailable.state is IdentityState.UNKNOWN


async def test_a_no_without_an_error_is_no_yes() -> None:
    async with place() as at:
        body = b'{"transactionID": "1", "response": {"authStatus": "true"}, "errors": []}'
        answer = read_answer(WireResponse(status=200, body=body), at.partner, transaction="1", now=datetime.now(UTC))
        assert answer.state is IdentityState.MISMATCH


def test_what_was_sealed_is_opened_by_its_key_alone_and_whole() -> None:
    sealed = sealing.seal("ያ".encode(), IDA[1])

    assert sealing.unseal(sealed.text, sealed.session_key, IDA[0], sealed.digest) == "ያ".encode()
    for text, key, private, digest in (
        (sealed.text, sealed.session_key, OTHER[0], ""),
        (sealed.text[:-4] + "AAAA", sealed.session_key, IDA[0], ""),
        (sealed.text, sealed.session_key, IDA[0], sealed.text),
        ("", sealed.session_key, IDA[0], ""),
        ("?", sealed.session_key, IDA[0], ""),
    ):
        with pytest.raises(sealing.Unsealable):
            sealing.unseal(text, key, private, digest)


async def test_a_body_changed_on_its_way_is_not_signed() -> None:
    async with place() as at:
        signature = sealing.sign(b"{}", OURS[0], OURS[1])
        request = WireRequest(method="POST", url="", headers={"signature": signature}, body=b"{} ")

        assert sealing.is_signed(signature, b"{}", OURS[1])
        assert not sealing.is_signed(signature, request.body, at.partner.certificate)
