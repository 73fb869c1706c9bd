"""Signing in at an OpenID provider, over real HTTP, and every way in which what comes back proves nothing."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from joserfc.jwk import RSAKey

from engine.identity.ports import IdentityState, NotProven, SignInStarted
from engine.kernel.clock import FixedClock, SystemClock
from engine.kernel.outcomes import Reason
from engine.kernel.transport import Unanswered, WireRequest
from engine.runtime.exchanges.transport import HttpTransport, open_transport
from integrations.identity.openid_connect.adapter import OpenIdSignIn
from integrations.identity.openid_connect.simulator import Lie, OpenIdSimulator
from integrations.identity.openid_connect.wire import Provider
from integrations.messaging.simulating import Fault, HttpServer

SIGNING = RSAKey.generate_key(2048, {"kid": "ours"})
SEALING = RSAKey.generate_key(2048, {"kid": "ours-for-sealing"})
PERSON: dict[str, Any] = {
    "name": "Almaz Invented",
    "name#am": "አልማዝ",
    "birthdate": "1990/02/28",
    "gender": "Female",
    "phone_number": "+251911000000",
    "picture": "data:image/jpeg;base64," + "A" * 200_000,
}


@dataclasses.dataclass
class Place:
    simulator: OpenIdSimulator
    server: HttpServer
    transport: HttpTransport
    sign_in: OpenIdSignIn
    provider: Provider

    async def back(self, started: SignInStarted) -> dict[str, str]:
        """Let the person go to the provider and return what they come back with."""
        answer = await self.transport.send(WireRequest(method="GET", url=started.url))
        assert answer.status == 303
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


@asynccontextmanager
async def place(*, seals: bool = False, framework: str = "", client_key: RSAKey = SIGNING) -> AsyncIterator[Place]:
    async with open_transport(seconds=2) as transport:
        simulator: OpenIdSimulator

        async def answer(request: WireRequest) -> Any:
            return await simulator(request)

        async with HttpServer(answer) as server:
            provider = Provider(
                authority="invented-agency",
                issuer=server.url,
                authorization_endpoint=f"{server.url}/authorize",
                token_endpoint=f"{server.url}/oauth/v2/token",
                userinfo_endpoint=f"{server.url}/oidc/userinfo",
                jwks_uri=f"{server.url}/.well-known/jwks.json",
                client_id="akiba",
                redirect_uri="https://scheme.example/back",
                trust_framework=framework,
            )
            simulator = OpenIdSimulator(provider, client_key, seals_for=SEALING if seals else None)
            simulator.person = PERSON
            sign_in = OpenIdSignIn(transport, provider, SIGNING, SystemClock(), SEALING)
            yield Place(simulator, server, transport, sign_in, provider)


@pytest.mark.parametrize("seals", [False, True])
async def test_a_person_signs_in(seals: bool) -> None:
    async with place(seals=seals) as at:
        started = await at.sign_in.start(locale="am")
        answer = await at.sign_in.finish(started, await at.back(started))

    assert answer.state is IdentityState.VERIFIED
    person = answer.person
    assert person is not None
    assert person.names == ("Almaz Invented", "አልማዝ")
    assert (person.born_on, person.sex, person.phone) == (date(1990, 2, 28), "female", "+251911000000")
    assert (person.subject, person.assurance) == ("pairwise-1", "mosip:idp:acr:id-token")
    assert abs(person.as_of - datetime.now(UTC)) < timedelta(minutes=1)
    assert "Almaz" not in repr(answer)
    assert started.state not in repr(started)


async def test_only_what_is_verified_under_the_framework_is_taken() -> None:
    verified = {
        "verification": {"trust_framework": "et", "time": "2026-03-01T10:00:00Z", "assurance_level": "high"},
        "claims": {"given_name": "Almaz", "family_name": "Verified"},
    }
    async with place(framework="et") as at:
        at.simulator.person = {**PERSON, "verified_claims": [{"verification": {"trust_framework": "other"}}, verified]}
        started = await at.sign_in.start()
        person = (await at.sign_in.finish(started, await at.back(started))).person
        at.simulator.person = PERSON
        again = await at.sign_in.start()
        back = await at.back(again)
        with pytest.raises(NotProven) as refused:
            await at.sign_in.finish(again, back)

    assert person is not None
    assert (person.names, person.born_on, person.phone) == (("Almaz Verified",), None, "")
    assert (person.as_of, person.assurance) == (datetime(2026, 3, 1, 10, tzinfo=UTC), "high")
    assert refused.value.code == "incomplete"


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (Lie.OTHER_AUDIENCE, "not-for-us"),
        (Lie.OTHER_ISSUER, "from-another"),
        (Lie.OTHER_KEY, "signature-wrong"),
        (Lie.UNKNOWN_KEY, "signer-unknown"),
        (Lie.EXPIRED, "expired"),
        (Lie.OTHER_NONCE, "replayed"),
        (Lie.OTHER_PERSON, "from-another"),
        (Lie.UNSIGNED, "not-signed"),
    ],
)
async def test_a_token_that_is_not_what_it_should_be_proves_nothing(lie: Lie, code: str) -> None:
    async with place() as at:
        at.simulator.lie = lie
        started = await at.sign_in.start()
        back = await at.back(started)
        with pytest.raises(NotProven) as refused:
            await at.sign_in.finish(started, back)

    assert refused.value.code == code


async def test_a_return_is_used_once_and_by_whom_it_was_begun() -> None:
    async with place() as at:
        mine, others = await at.sign_in.start(), await at.sign_in.start()
        back = await at.back(mine)
        with pytest.raises(NotProven) as of_another:
            await at.sign_in.finish(others, back)
        with pytest.raises(NotProven) as elsewhere:
            await at.sign_in.finish(mine, {**back, "iss": "https://elsewhere.example"})
        assert (await at.sign_in.finish(mine, back)).state is IdentityState.VERIFIED
        with pytest.raises(NotProven) as again:
            await at.sign_in.finish(mine, back)
        stolen = await at.sign_in.start()
        code = await at.back(stolen)
        with pytest.raises(NotProven) as without_verifier:
            await at.sign_in.finish(msgspec.structs.replace(stolen, code_verifier="guessed"), code)

    assert [one.value.code for one in (of_another, elsewhere, again, without_verifier)] == [
        "replayed", "from-another", "expired", "expired",
    ]  # fmt: skip


async def test_a_clock_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place() as at:
        early = FixedClock(datetime.now(UTC) - timedelta(minutes=10))
        sign_in = OpenIdSignIn(at.transport, at.provider, SIGNING, early)
        monkeypatch.setattr(at.simulator, "_is_client", bool)  # only our side's clock is on trial
        started = await sign_in.start()
        back = await at.back(started)
        with pytest.raises(NotProven) as refused:
            await sign_in.finish(started, back)

    assert refused.value.code == "not-yet-valid"


async def test_the_person_declines_and_the_provider_does_not_know_us() -> None:
    async with place() as at:
        at.simulator.declines = True
        started = await at.sign_in.start()
        declined = await at.sign_in.finish(started, await at.back(started))
    async with place(client_key=SEALING) as at:
        started = await at.sign_in.start()
        unknown = await at.sign_in.finish(started, await at.back(started))

    assert (declined.state, declined.reason, declined.code) == (
        IdentityState.REFUSED, Reason.PAYER_REJECTED, "access_denied",
    )  # fmt: skip
    assert (unknown.state, unknown.reason, unknown.code) == (IdentityState.REFUSED, Reason.AUTH, "invalid_client")


async def test_a_page_of_html_a_503_and_half_a_body_are_no_answer() -> None:
    async with place() as at:
        started = await at.sign_in.start()
        back = await at.back(started)
        at.server.faults.plan(Fault.UNAVAILABLE)
        unavailable = await at.sign_in.finish(started, back)
        at.server.faults.plan(Fault.HTML_PAGE)
        with pytest.raises(NotProven) as page:
            await at.sign_in.finish(started, back)
        again = await at.sign_in.start()
        back = await at.back(again)
        at.server.faults.plan(Fault.HALF_A_BODY)
        with pytest.raises(Unanswered):
            await at.sign_in.finish(again, back)

    assert (unavailable.state, unavailable.reason) == (IdentityState.UNKNOWN, Reason.PROVIDER_DOWN)
    assert page.value.code == "incomplete"
