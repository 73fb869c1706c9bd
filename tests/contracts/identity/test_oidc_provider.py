"""Our side of signing in, against a certified OpenID provider that others wrote: private_key_jwt, PKCE, sealed userinfo."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import msgspec
import pytest
from joserfc.jwk import KeySet, RSAKey

from engine.identity.ports import IdentityState, NotProven, SignInStarted
from engine.kernel.clock import SystemClock
from engine.kernel.outcomes import Reason
from engine.runtime.exchanges.transport import open_transport
from integrations.identity.openid_connect.adapter import OpenIdSignIn
from integrations.identity.openid_connect.wire import Provider
from tests.conformance.places import node_modules

SERVER = Path(__file__).parent / "clients" / "serve_oidc_provider.mjs"
SIGNING = RSAKey.generate_key(2048, {"kid": "ours", "use": "sig", "alg": "RS256"})
SEALING = RSAKey.generate_key(2048, {"kid": "ours-for-sealing", "use": "enc", "alg": "RSA-OAEP-256"})
PERSON = {"name": "Almaz Invented", "birthdate": "1990-02-28", "gender": "female", "phone_number": "+251911000000"}


@asynccontextmanager
async def provider(broken: str = "") -> AsyncIterator[Provider]:
    """Start a provider; what it has to say of itself is read from it."""
    node, modules = node_modules()
    keys = json.dumps(KeySet([SIGNING, SEALING]).as_dict(private=False))
    process = await asyncio.create_subprocess_exec(
        node, SERVER, str(modules), keys, json.dumps(PERSON), broken,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={"PATH": os.environ.get("PATH", "")},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        issuer = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        async with httpx.AsyncClient() as asked:
            said = (await asked.get(f"{issuer}/.well-known/openid-configuration")).json()
        names = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
        yield Provider(
            authority="invented-agency",
            client_id="akiba",
            redirect_uri="https://scheme.example/back",
            **{name: said[name] for name in names},
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def back(started: SignInStarted) -> dict[str, str]:
    """Follow the person through the provider's pages and return what they come back with."""
    async with httpx.AsyncClient() as browser:
        url = started.url
        for _ in range(10):
            answer = await browser.get(url)
            assert answer.is_redirect, answer.text
            url = urljoin(url, answer.headers["location"])
            if url.startswith("https://scheme.example/back"):
                return dict(parse_qsl(urlsplit(url).query))
    raise AssertionError(url)


@pytest.mark.artefact("oidc-provider (npm)")
async def test_a_person_signs_in_at_a_provider_by_others() -> None:
    async with provider() as at, open_transport(seconds=5) as transport:
        sign_in = OpenIdSignIn(transport, at, SIGNING, SystemClock(), SEALING)
        started = await sign_in.start(locale="am")
        returned = await back(started)
        answer = await sign_in.finish(started, returned)
        with pytest.raises(NotProven) as again:
            await sign_in.finish(started, returned)

    assert answer.state is IdentityState.VERIFIED
    person = answer.person
    assert person is not None
    assert (person.names, person.born_on, person.sex) == (("Almaz Invented",), date(1990, 2, 28), "female")
    assert (person.phone, person.subject) == ("+251911000000", "person-1")
    assert again.value.code == "expired"


@pytest.mark.artefact("oidc-provider (npm)", breaks=True)
async def test_the_provider_refuses_an_assertion_that_another_key_signed() -> None:
    other = RSAKey.generate_key(2048, {"kid": "ours", "use": "sig", "alg": "RS256"})
    async with provider() as at, open_transport(seconds=5) as transport:
        sign_in = OpenIdSignIn(transport, at, other, SystemClock(), SEALING)
        started = await sign_in.start()
        answer = await sign_in.finish(started, await back(started))

    assert (answer.state, answer.reason, answer.code) == (IdentityState.REFUSED, Reason.AUTH, "invalid_client")


@pytest.mark.artefact("oidc-provider (npm)", breaks=True)
async def test_the_provider_refuses_another_verifier() -> None:
    async with provider() as at, open_transport(seconds=5) as transport:
        sign_in = OpenIdSignIn(transport, at, SIGNING, SystemClock(), SEALING)
        started = await sign_in.start()
        with pytest.raises(NotProven) as refused:
            await sign_in.finish(msgspec.structs.replace(started, code_verifier="x" * 43), await back(started))

    assert refused.value.code == "expired"


@pytest.mark.artefact("oidc-provider (npm)", breaks=True)
async def test_a_person_whom_the_provider_did_not_sign_is_not_taken() -> None:
    async with provider("unsigned-userinfo") as at, open_transport(seconds=5) as transport:
        sign_in = OpenIdSignIn(transport, at, SIGNING, SystemClock(), SEALING)
        started = await sign_in.start()
        with pytest.raises(NotProven) as refused:
            await sign_in.finish(started, await back(started))

    assert refused.value.code == "not-signed"
