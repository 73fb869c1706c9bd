"""Members who identify themselves at a simulated provider's page over HTTP: each sign-in counts once, and in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import RSAKey

from engine.app import LAWS, adapter
from engine.enrolment import service
from engine.enrolment.errors import CannotVerify, SignInUsed
from engine.enrolment.rules import VerificationState
from engine.enrolment.service import Enrolled, Verification, Verifiers
from engine.kernel.transport import WireRequest
from engine.ledger import service as ledger
from engine.outside import Joined, Outside
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.transport import HttpTransport, open_transport
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from integrations.identity.openid_connect.simulator import Lie, OpenIdSimulator
from integrations.identity.openid_connect.wire import Provider
from integrations.messaging.simulating import Fault, HttpServer
from tests.factories.schemes import enrol, serve
from tests.factories.wallets import PACE, write_counterparties

SIGNING = RSAKey.generate_key(2048, {"kid": "ours"})


@dataclass
class Place:
    db: Database
    keys: FileKeyStore
    tenant: Tenant
    member: Enrolled
    simulator: OpenIdSimulator
    server: HttpServer
    transport: HttpTransport
    joined: Joined

    async def go(self) -> dict[str, str]:
        """Start, let the member go to the provider, and return what they come back with."""
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            url = await service.start_sign_in(
                session, self.keys, self.tenant, self.joined.verifiers, number=self.member.number, language="hi"
            )
        answer = await self.transport.send(WireRequest(method="GET", url=url))
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def come_back(self, returned: dict[str, str]) -> Verification:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.finish_sign_in(
                session, self.keys, self.tenant, self.joined.verifiers, returned, actor="partner:1"
            )

    async def decided(self, asked: Verification) -> Verification:
        async with asyncio.timeout(10):
            while True:
                await self.joined.exchanges.work(self.tenant.tenant_id)
                async with self.db.unit_of_work(self.tenant.tenant_id) as session:
                    found = await service.find_verification(session, self.keys, asked.reference, actor="staff:1")
                if found.state is not VerificationState.ASKED:
                    return found
                await asyncio.sleep(0.02)

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            connection = await driver(session)
            return list(await (await connection.execute(sql.encode())).fetchall())


@asynccontextmanager
async def place(db: Database, keys: FileKeyStore, folder: Path) -> AsyncIterator[Place]:
    tenant = await serve(db, folder / "packs", changes={"[adapters]\n": '[adapters]\nSignIn = "openid-connect"\n'})
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    simulator: OpenIdSimulator

    async def answer(request: WireRequest) -> Any:
        return await simulator(request)

    async with open_transport(seconds=2) as transport, HttpServer(answer) as server:
        table = {
            "authority": "invented-agency",
            "issuer": server.url,
            "authorization_endpoint": f"{server.url}/authorize",
            "token_endpoint": f"{server.url}/oauth/v2/token",
            "userinfo_endpoint": f"{server.url}/oidc/userinfo",
            "jwks_uri": f"{server.url}/.well-known/jwks.json",
            "client_id": "akiba",
            "redirect_uri": "https://scheme.example/back",
        }
        simulator = OpenIdSimulator(Provider(**table), SIGNING)
        simulator.person = {"name": "Asha Example", "birthdate": "1990/05/01", "gender": "Female"}
        ours = {"signing_key": SIGNING.as_pem(private=True).decode(), "signing_key_id": "ours", "pace": PACE}
        write_counterparties(folder, {tenant.code: {service.SIGN_IN: {**table, **ours}}})
        file = CounterpartyFile(folder / "counterparties.toml")
        joined = Outside(db, keys, file, "http://127.0.0.1:1", adapter, transport).of(tenant)
        yield Place(db, keys, tenant, member, simulator, server, transport, joined)


async def test_a_sign_in_counts_once_also_of_two_at_once(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        returned = await at.go()
        races = await asyncio.gather(*(at.come_back(returned) for _ in range(2)), return_exceptions=True)
        [asked] = [one for one in races if isinstance(one, Verification)]
        done = await at.decided(asked)
        with pytest.raises(SignInUsed):
            await at.come_back(returned)
        with pytest.raises(SignInUsed):
            await at.come_back({"state": "never begun", "code": "x"})
        kept = await at.select("select document from sign_ins")
        async with db.unit_of_work(at.tenant.tenant_id) as session:
            offences = list(await ledger.check(session, LAWS))

    assert sorted(type(one).__name__ for one in races) == ["SignInUsed", "Verification"]
    assert (done.state, done.score_bp, done.source) == (VerificationState.VERIFIED, 10_000, "sign-in")
    assert returned["state"].encode() not in kept[0][0]
    assert offences == []


async def test_a_sign_in_that_took_too_long_is_refused(
    db: Database, keys: FileKeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.enrolment.service.verifying.SIGN_IN_MINUTES", 0)
    async with place(db, keys, tmp_path) as at:
        with pytest.raises(SignInUsed):
            await at.come_back(await at.go())


@pytest.mark.parametrize("lie", [Lie.EXPIRED, Lie.OTHER_NONCE, Lie.OTHER_KEY, Lie.OTHER_PERSON, Lie.UNSIGNED])
async def test_tokens_that_prove_nothing_verify_nobody(
    db: Database, keys: FileKeyStore, tmp_path: Path, lie: Lie
) -> None:
    async with place(db, keys, tmp_path) as at:
        at.simulator.lie = lie
        done = await at.decided(await at.come_back(await at.go()))
        kept = await at.select("select document from verifications")

    assert done.state is VerificationState.NOT_PROVEN
    assert kept == [(None,)]


async def test_who_declines_is_refused_and_somebody_else_is_no_member(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        at.simulator.declines = True
        declined = await at.decided(await at.come_back(await at.go()))
        at.simulator.declines = False
        at.simulator.person = {"name": "Otieno Odhiambo", "birthdate": "1990/05/01"}
        other = await at.decided(await at.come_back(await at.go()))

    assert declined.state is VerificationState.REFUSED
    assert other.state is VerificationState.MISMATCH


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.DROPPED, Fault.HALF_A_BODY])
async def test_an_answer_that_is_lost_leaves_a_state_to_start_again_from(
    db: Database, keys: FileKeyStore, tmp_path: Path, fault: Fault
) -> None:
    async with place(db, keys, tmp_path) as at:
        returned = await at.go()
        asked = await at.come_back(returned)
        at.server.faults.plan(fault)
        done = await at.decided(asked)
        again = await at.decided(await at.come_back(await at.go()))

    # A provider that had taken the code before its answer was lost does not take it twice.
    taken = fault is not Fault.UNAVAILABLE
    assert done.state is (VerificationState.NOT_PROVEN if taken else VerificationState.VERIFIED)
    assert again.state is VerificationState.VERIFIED


async def test_nobody_is_sent_where_no_authority_is_joined(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        with pytest.raises(CannotVerify):
            async with db.unit_of_work(at.tenant.tenant_id) as session:
                await service.start_sign_in(
                    session,
                    keys,
                    at.tenant,
                    Verifiers(at.joined.exchanges),
                    number=at.member.number,
                    language="",
                )
