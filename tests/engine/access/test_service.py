"""Partners, links and sessions against a real database."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from engine.access import rules, service
from engine.access.errors import (
    CodeTaken,
    ConflictingRoles,
    LinkUnusable,
    ScopeNotAllowed,
    TokenRefused,
    TooManyAttempts,
    UnknownPartner,
    UnknownStaff,
    WrongCredentials,
)
from engine.access.service import Attempts, NewPartner, Partner, Tokens
from engine.kernel.clock import FixedClock
from engine.kernel.permissions import Permission
from engine.runtime.database import Database

TABLES = ("partners", "staff", "staff_links", "staff_sessions")


@pytest.fixture
def other_tenant(database_urls: tuple[str, str], tenant_id: int) -> int:
    with psycopg.connect(database_urls[0]) as connection:
        row = connection.execute(
            "insert into tenants (code) values (%s) returning tenant_id", (f"yy-{tenant_id}-other",)
        ).fetchone()
    assert row is not None
    return int(row[0])


async def _partner(db: Database, tenant_id: int, *scopes: str) -> NewPartner:
    async with db.unit_of_work(tenant_id) as session:
        return await service.create_partner(
            session, code="wallet", name="A wallet", scopes=scopes or ("members:read", "members:enrol")
        )


async def _link(db: Database, tenant_id: int, clock: FixedClock, label: str = "first operator") -> str:
    async with db.unit_of_work(tenant_id) as session:
        return await service.bootstrap(session, label, clock=clock)


async def test_a_partner_gets_in_with_its_secret_alone(db: Database, tenant_id: int) -> None:
    made = await _partner(db, tenant_id)

    found = await service.authenticate_partner(db, client_id=made.client_id, client_secret=made.client_secret)

    assert found == Partner(
        tenant_id, made.partner_id, made.client_id, frozenset({Permission.MEMBERS_READ, Permission.MEMBERS_ENROL})
    )
    for client_id, secret in (
        (made.client_id, made.client_secret[:-1] + "!"),
        (made.client_id, ""),
        (made.client_id, "\ud800"),
        (made.client_id[:-1] + "!", made.client_secret),
        (made.client_id.replace(f"-{tenant_id}-", f"-{tenant_id + 1}-"), made.client_secret),
        ("akiba-999999999-" + "x" * 22, made.client_secret),
        ("akiba-99999999999-" + "x" * 22, made.client_secret),
    ):
        with pytest.raises(WrongCredentials):
            await service.authenticate_partner(db, client_id=client_id, client_secret=secret)


async def test_secrets_are_stored_as_argon2id_and_links_and_cookies_as_digests(
    db: Database, tenant_id: int, clock: FixedClock
) -> None:
    made = await _partner(db, tenant_id)
    link = await _link(db, tenant_id, clock)
    cookie = await service.enter(db, link, now=clock.now())

    async with db.unit_of_work(tenant_id) as session:
        rows = [str((await session.execute(text(f"select t::text from {table} t"))).all()) for table in TABLES]

    assert "$argon2id$" in rows[0]
    stored = " ".join(rows)
    for secret in (made.client_secret, link, cookie, link.partition(".")[2], cookie.partition(".")[2]):
        assert secret not in stored


async def test_a_secret_never_shows_in_a_repr(db: Database, tenant_id: int) -> None:
    made = await _partner(db, tenant_id)

    assert made.client_secret not in repr(made)


async def test_a_renewed_secret_ends_the_old_one(db: Database, tenant_id: int) -> None:
    made = await _partner(db, tenant_id)

    async with db.unit_of_work(tenant_id) as session:
        secret = await service.renew_secret(session, "wallet")

    await service.authenticate_partner(db, client_id=made.client_id, client_secret=secret)
    with pytest.raises(WrongCredentials):
        await service.authenticate_partner(db, client_id=made.client_id, client_secret=made.client_secret)


async def test_a_suspended_partner_gets_nothing_until_it_is_resumed(db: Database, tenant_id: int) -> None:
    made = await _partner(db, tenant_id)

    async with db.unit_of_work(tenant_id) as session:
        await service.suspend_partner(session, "wallet")
    with pytest.raises(WrongCredentials):
        await service.authenticate_partner(db, client_id=made.client_id, client_secret=made.client_secret)
    async with db.unit_of_work(tenant_id) as session:
        await service.resume_partner(session, "wallet")

    await service.authenticate_partner(db, client_id=made.client_id, client_secret=made.client_secret)


async def test_a_partner_is_refused_with_the_reason(db: Database, tenant_id: int) -> None:
    await _partner(db, tenant_id)
    with pytest.raises(ScopeNotAllowed):
        await _partner(db, tenant_id, "prices:approve")
    with pytest.raises(CodeTaken):
        await _partner(db, tenant_id)
    async with db.unit_of_work(tenant_id) as session:
        for act in (service.renew_secret, service.suspend_partner, service.resume_partner):
            with pytest.raises(UnknownPartner):
                await act(session, "nobody")
        with pytest.raises(UnknownStaff):
            await service.suspend_staff(session, "nobody")


async def test_a_link_lets_in_once(db: Database, tenant_id: int, clock: FixedClock) -> None:
    link = await _link(db, tenant_id, clock)
    assert await service.is_link_good(db, link, now=clock.now())
    assert await service.is_link_good(db, link, now=clock.now()), "looking does not use it up"

    cookie = await service.enter(db, link, now=clock.now())

    caller = await service.session_caller(db, cookie, now=clock.now())
    assert caller is not None
    assert (caller.tenant_id, caller.kind) == (tenant_id, "staff")
    assert caller.permissions == rules.permissions_of(rules.FIRST_ROLES)
    assert not await service.is_link_good(db, link, now=clock.now())
    with pytest.raises(LinkUnusable):
        await service.enter(db, link, now=clock.now())


async def test_of_two_who_use_a_link_at_once_one_gets_in(db: Database, tenant_id: int, clock: FixedClock) -> None:
    link = await _link(db, tenant_id, clock)

    came = await asyncio.gather(*(service.enter(db, link, now=clock.now()) for _ in range(5)), return_exceptions=True)

    assert sorted(type(one).__name__ for one in came) == ["LinkUnusable"] * 4 + ["str"]


async def test_a_link_ends_after_a_quarter_of_an_hour(db: Database, tenant_id: int, clock: FixedClock) -> None:
    link = await _link(db, tenant_id, clock)
    clock.instant += rules.LINK_LIFE

    with pytest.raises(LinkUnusable):
        await service.enter(db, link, now=clock.now())


async def test_a_newer_link_ends_an_older_one(db: Database, tenant_id: int, clock: FixedClock) -> None:
    older = await _link(db, tenant_id, clock)
    newer = await _link(db, tenant_id, clock)

    with pytest.raises(LinkUnusable):
        await service.enter(db, older, now=clock.now())
    assert await service.enter(db, newer, now=clock.now())


@pytest.mark.parametrize("link", ["", "x", "1", "1.", "0." + "a" * 43, "1." + "a" * 42, "99999999999." + "a" * 43])
async def test_nonsense_is_no_link(db: Database, clock: FixedClock, link: str) -> None:
    with pytest.raises(LinkUnusable):
        await service.enter(db, link, now=clock.now())
    assert not await service.is_link_good(db, link, now=clock.now())
    assert await service.session_caller(db, link, now=clock.now()) is None


async def test_a_link_opens_no_other_tenant(db: Database, tenant_id: int, other_tenant: int, clock: FixedClock) -> None:
    link = await _link(db, tenant_id, clock)
    moved = f"{other_tenant}.{link.partition('.')[2]}"

    with pytest.raises(LinkUnusable):
        await service.enter(db, moved, now=clock.now())


async def test_a_session_ends_when_idle_and_at_the_end_of_the_day(
    db: Database, tenant_id: int, clock: FixedClock
) -> None:
    cookie = await service.enter(db, await _link(db, tenant_id, clock), now=clock.now())
    for _ in range(48):  # eight hours, looking every ten minutes
        assert await service.session_caller(db, cookie, now=clock.now()) is not None
        clock.instant += timedelta(minutes=10)
    assert await service.session_caller(db, cookie, now=clock.now()) is None, "eight hours are over"

    cookie = await service.enter(db, await _link(db, tenant_id, clock), now=clock.now())
    clock.instant += rules.SESSION_IDLE - timedelta(seconds=1)
    assert await service.session_caller(db, cookie, now=clock.now()) is not None
    clock.instant += rules.SESSION_IDLE
    assert await service.session_caller(db, cookie, now=clock.now()) is None, "idle for a quarter of an hour"


async def test_who_leaves_or_is_suspended_is_out_at_once(db: Database, tenant_id: int, clock: FixedClock) -> None:
    cookie = await service.enter(db, await _link(db, tenant_id, clock), now=clock.now())
    await service.leave(db, cookie, now=clock.now())
    assert await service.session_caller(db, cookie, now=clock.now()) is None

    cookie = await service.enter(db, await _link(db, tenant_id, clock), now=clock.now())
    link = await _link(db, tenant_id, clock)
    async with db.unit_of_work(tenant_id) as session:
        await service.suspend_staff(session, "first operator", clock=clock)
    assert await service.session_caller(db, cookie, now=clock.now()) is None
    with pytest.raises(LinkUnusable):
        await service.enter(db, link, now=clock.now())


async def test_conflicting_roles_are_refused_at_the_start(db: Database, tenant_id: int, clock: FixedClock) -> None:
    with pytest.raises(ConflictingRoles):
        async with db.unit_of_work(tenant_id) as session:
            await service.bootstrap(session, "both", roles=("price-maker", "price-checker"), clock=clock)


async def test_what_happens_is_in_the_books_without_names(db: Database, tenant_id: int, clock: FixedClock) -> None:
    await _partner(db, tenant_id)
    await service.enter(db, await _link(db, tenant_id, clock, "Asha Rao"), now=clock.now())
    await _link(db, tenant_id, clock, "Asha Rao")  # someone known: no second event

    async with db.unit_of_work(tenant_id) as session:
        rows = (await session.execute(text("select kind, body::text from events order by event_id"))).all()

    assert [row.kind for row in rows] == [70, 71, 72]
    assert "Asha" not in str(rows)
    assert "wallet" in rows[0].body
    assert "reconciliation-officer" in rows[1].body


@pytest.mark.parametrize("table", TABLES)
async def test_each_tenant_sees_its_own(
    db: Database, tenant_id: int, other_tenant: int, clock: FixedClock, table: str
) -> None:
    await _partner(db, tenant_id)
    await service.enter(db, await _link(db, tenant_id, clock), now=clock.now())
    if table == "staff_links":
        await _link(db, tenant_id, clock)

    seen = {}
    for tenant in (tenant_id, other_tenant, None):
        async with db.unit_of_work(tenant) as session:
            seen[tenant] = await session.scalar(text(f"select count(*) from {table}"))

    assert seen == {tenant_id: 1, other_tenant: 0, None: 0}


def test_tokens_are_checked_in_full(clock: FixedClock) -> None:
    key = Ed25519PrivateKey.generate()
    tokens = Tokens(key, issuer="https://akiba.example", clock=clock)
    partner = Partner(7, 3, "akiba-7-x", frozenset({Permission.MEMBERS_READ}))
    issued = tokens.issue(partner, partner.scopes)

    assert tokens.caller_of(issued.token).tenant_id == 7
    assert tokens.caller_of(issued.token) is tokens.caller_of(issued.token), "remembered"
    header, claims, signature = issued.token.split(".")
    strangers = [
        Tokens(Ed25519PrivateKey.generate(), issuer="https://akiba.example", clock=clock),
        Tokens(key, issuer="https://other.example", clock=clock),
    ]
    for bad in (
        "",
        "x",
        "a.b.c",
        f"{header}.{claims}.",
        f"{header}.{claims}.{signature[:-4]}AAAA",
        f"{header}..{signature}",
    ):
        with pytest.raises(TokenRefused):
            tokens.caller_of(bad)
    for stranger in strangers:
        with pytest.raises(TokenRefused):
            stranger.caller_of(issued.token)


def test_an_unsigned_token_is_refused(clock: FixedClock) -> None:
    import base64
    import json

    key = Ed25519PrivateKey.generate()
    tokens = Tokens(key, issuer="https://akiba.example", clock=clock)
    issued = tokens.issue(Partner(7, 3, "akiba-7-x", frozenset()), frozenset()).token
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode()).rstrip(b"=").decode()

    with pytest.raises(TokenRefused):
        tokens.caller_of(f"{none}.{issued.split('.')[1]}.")


def test_a_token_ends_after_ten_minutes_though_it_is_remembered(clock: FixedClock) -> None:
    tokens = Tokens(Ed25519PrivateKey.generate(), issuer="https://akiba.example", clock=clock)
    remembered = tokens.issue(Partner(7, 3, "akiba-7-x", frozenset()), frozenset()).token
    fresh = tokens.issue(Partner(7, 3, "akiba-7-x", frozenset()), frozenset()).token
    tokens.caller_of(remembered)

    clock.instant += rules.TOKEN_LIFE - timedelta(seconds=1)
    tokens.caller_of(remembered)
    clock.instant += timedelta(seconds=1)

    for token in (remembered, fresh):
        with pytest.raises(TokenRefused):
            tokens.caller_of(token)


def test_attempts_are_counted_and_come_back() -> None:
    attempts = Attempts(2, timedelta(seconds=60))
    attempts.take("a")
    attempts.take("a")
    with pytest.raises(TooManyAttempts) as refused:
        attempts.take("a")
    assert 1 <= int(str(refused.value.details["seconds"])) <= 60
    assert refused.value.headers["Retry-After"] == str(refused.value.details["seconds"])
    attempts.take("b")
    attempts.give_back("a")
    attempts.take("a")

    brief = Attempts(1, timedelta(0))
    brief.take("a")
    brief.take("a")
