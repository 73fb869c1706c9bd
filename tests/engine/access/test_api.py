"""The guard, the token endpoint and the staff pages through the application."""

import re

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from engine.access import service
from engine.access.rules import LINK_LIFE, SESSION_IDLE, TOKEN_LIFE
from engine.access.service import NewPartner
from engine.kernel.clock import FixedClock
from engine.runtime.database import Database

Client = AsyncTestClient[Litestar]


@pytest.fixture
async def partner(db: Database, tenant_id: int) -> NewPartner:
    async with db.unit_of_work(tenant_id) as session:
        return await service.create_partner(
            session, code="wallet", name="A wallet", scopes=["members:read", "members:enrol"]
        )


@pytest.fixture
async def link(db: Database, tenant_id: int, clock: FixedClock) -> str:
    async with db.unit_of_work(tenant_id) as session:
        return await service.bootstrap(session, "first operator", clock=clock)


async def _token(client: Client, partner: NewPartner, **form: str) -> str:
    answer = await client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", **form},
        auth=(partner.client_id, partner.client_secret),
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def test_a_token_opens_what_its_scope_says(client: Client, partner: NewPartner, tenant_id: int) -> None:
    answer = await client.post(
        "/oauth/token",
        data={
            "grant_type": "client_credentials",
            "client_id": partner.client_id,
            "client_secret": partner.client_secret,
            "unheard_of": "ignored",
        },
    )

    body = answer.json()
    assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", TOKEN_LIFE.total_seconds())
    assert body["scope"] == "members:enrol members:read"
    assert answer.headers["cache-control"] == "no-store"
    who = await client.get("/who", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert who.json() == {"tenant": tenant_id, "actor": f"partner:{partner.partner_id}", "kind": "partner", "csrf": ""}


async def test_a_narrower_token_is_held_to_it(client: Client, partner: NewPartner) -> None:
    token = await _token(client, partner, scope="members:enrol")

    answer = await client.get("/who", headers={"Authorization": f"bearer {token}"})

    assert answer.status_code == 403
    assert answer.json()["code"] == "access.missing-permission"


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        pytest.param({}, 400, "invalid_request", id="nothing sent"),
        pytest.param({"grant_type": "password"}, 400, "unsupported_grant_type", id="another grant"),
        pytest.param({"grant_type": "client_credentials"}, 401, "invalid_client", id="no credentials"),
        pytest.param(
            {"grant_type": "client_credentials", "client_id": "akiba-1-x", "client_secret": "x"},
            401,
            "invalid_client",
            id="unknown client",
        ),
        pytest.param(
            {"grant_type": "client_credentials", "client_id": "a" * 300, "client_secret": "x"},
            401,
            "invalid_client",
            id="too long",
        ),
        pytest.param({"grant_type": ["client_credentials", "client_credentials"]}, 400, "invalid_request", id="twice"),
    ],
)
async def test_token_refusals_speak_oauth(client: Client, form: dict[str, str], status: int, error: str) -> None:
    answer = await client.post("/oauth/token", data=form)

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"


async def test_a_wrong_secret_is_refused_and_a_wrong_scope_named(client: Client, partner: NewPartner) -> None:
    wrong = await client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(partner.client_id, "wrong")
    )
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["www-authenticate"].startswith("Basic")

    scope = await client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "scope": "audit:read"},
        auth=(partner.client_id, partner.client_secret),
    )
    assert (scope.status_code, scope.json()["error"]) == (400, "invalid_scope")

    both = await client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "client_id": "x"},
        auth=(partner.client_id, partner.client_secret),
    )
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    broken = await client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": "Basic ???"}
    )
    assert broken.status_code == 401


async def test_wrong_secrets_are_counted_and_right_ones_are_not(client: Client, partner: NewPartner) -> None:
    for _ in range(8):
        await _token(client, partner)
    form = {"grant_type": "client_credentials"}
    codes = [
        (await client.post("/oauth/token", data=form, auth=(partner.client_id, "wrong"))).status_code for _ in range(6)
    ]
    assert codes == [401] * 5 + [429]
    last = await client.post("/oauth/token", data=form, auth=(partner.client_id, partner.client_secret))
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) >= 1


async def test_nobody_and_expired_and_forged_are_401(client: Client, partner: NewPartner, clock: FixedClock) -> None:
    token = await _token(client, partner)
    nobody = await client.get("/who")
    forged = await client.get("/who", headers={"Authorization": f"Bearer {token[:-6]}AAAAAA"})
    clock.instant += TOKEN_LIFE
    expired = await client.get("/who", headers={"Authorization": f"Bearer {token}"})

    assert (nobody.status_code, nobody.json()["code"]) == (401, "access.not-signed-in")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    for answer in (forged, expired):
        assert (answer.status_code, answer.json()["code"]) == (401, "access.token-refused")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/forgotten", "/misspelt"])
async def test_a_route_that_declares_nothing_is_closed(client: Client, partner: NewPartner, path: str) -> None:
    token = await _token(client, partner)

    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "access.route-closed")


async def test_an_open_route_is_open(client: Client) -> None:
    answer = await client.get("/open", headers={"Authorization": "Bearer nonsense"})

    assert (answer.status_code, answer.text) == (200, "public")


@pytest.mark.parametrize(
    ("wanted", "language", "direction"),
    [
        ("", "en", "ltr"),
        ("de, fr;q=0.5", "fr", "ltr"),
        ("ar-EG", "ar", "rtl"),
        ("fr;q=0, sw", "sw", "ltr"),
        ("//", "en", "ltr"),
    ],
)
async def test_the_page_of_a_link_is_in_a_language_that_has_a_catalogue(
    client: Client, link: str, wanted: str, language: str, direction: str
) -> None:
    shown = await client.get(f"/staff/enter/{link}", headers={"Accept-Language": wanted})

    assert f'<html lang="{language}" dir="{direction}">' in shown.text


async def test_a_one_time_link_from_preview_to_leaving(client: Client, link: str, tenant_id: int) -> None:
    for _ in range(2):  # a preview, then the person
        shown = await client.get(f"/staff/enter/{link}")
        assert shown.status_code == 200
        assert '<form method="post">' in shown.text
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in shown.headers["content-security-policy"]
    entered = await client.post(
        f"/staff/enter/{link}", headers={"Sec-Fetch-Site": "same-origin"}, follow_redirects=False
    )
    assert (entered.status_code, entered.headers["location"]) == (303, "/operator")
    cookie = entered.headers["set-cookie"]
    assert cookie.startswith(f"akiba_session={tenant_id}.")
    assert "HttpOnly" in cookie
    assert re.search("samesite=strict", cookie, re.IGNORECASE)

    who = (await client.get("/who")).json()
    assert (who["tenant"], who["kind"]) == (tenant_id, "staff")

    again = await client.post(f"/staff/enter/{link}", follow_redirects=False)
    assert again.status_code == 403
    assert "no longer good" in again.text
    assert (await client.get(f"/staff/enter/{link}")).status_code == 403

    forged = await client.post("/staff/leave", follow_redirects=False)
    assert forged.status_code == 403
    assert (await client.get("/who")).status_code == 200
    left = await client.post("/staff/leave", data={"csrf_token": who["csrf"]}, follow_redirects=False)
    assert left.status_code == 303
    client.cookies.set("akiba_session", cookie.partition("=")[2].partition(";")[0])
    assert (await client.get("/who")).status_code == 401, "the cookie is no good though a thief kept it"


async def test_an_old_link_and_an_idle_session_are_no_good(client: Client, link: str, clock: FixedClock) -> None:
    clock.instant += LINK_LIFE
    assert (await client.post(f"/staff/enter/{link}")).status_code == 403
    clock.instant -= LINK_LIFE
    assert (await client.post(f"/staff/enter/{link}", follow_redirects=False)).status_code == 303
    assert (await client.get("/who")).status_code == 200
    clock.instant += SESSION_IDLE
    assert (await client.get("/who")).status_code == 401


async def test_another_site_cannot_sign_anyone_in(client: Client, link: str) -> None:
    answer = await client.post(f"/staff/enter/{link}", headers={"Sec-Fetch-Site": "cross-site"}, follow_redirects=False)

    assert (answer.status_code, answer.json()["code"]) == (403, "access.forged-request")
    assert (await client.get(f"/staff/enter/{link}")).status_code == 200, "and the link is still good"


async def test_a_change_needs_the_pages_own_token(client: Client, link: str) -> None:
    await client.post(f"/staff/enter/{link}", follow_redirects=False)
    csrf = (await client.get("/who")).json()["csrf"]

    for headers, form, status in (
        ({}, {}, 403),
        ({}, {"csrf_token": "x" * 64}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, {"csrf_token": csrf}, 403),
        ({"Origin": "http://evil.example"}, {"csrf_token": csrf}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, {"csrf_token": csrf}, 201),
        ({"Origin": "http://akiba.example"}, {"csrf_token": csrf}, 201),
        ({"X-CSRF-Token": csrf}, {}, 201),
    ):
        answer = await client.post("/change", data=form, headers=headers)
        assert answer.status_code == status, (headers, form)


async def test_links_are_guessed_slowly(client: Client) -> None:
    codes = [(await client.post(f"/staff/enter/1.{'a' * 43}")).status_code for _ in range(21)]

    assert codes == [403] * 20 + [429]


async def test_the_cookie_of_https_can_be_planted_by_no_other_host(client: Client, link: str) -> None:
    client.base_url = "https://akiba.example"
    entered = await client.post(f"/staff/enter/{link}", follow_redirects=False)

    cookie = entered.headers["set-cookie"]
    assert cookie.startswith("__Host-akiba=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert "Path=/" in cookie
    assert (await client.get("/who")).status_code == 200
    client.cookies.clear()
    value = cookie.partition("=")[2].partition(";")[0]
    assert (await client.get("/who", headers={"Cookie": f"akiba_session={value}"})).status_code == 401


async def test_the_page_is_in_the_readers_language_and_nonsense_is_english(client: Client, link: str) -> None:
    for language in ("fr-RW,fr;q=0.9", "x" * 50, "<script>", "*"):
        answer = await client.get(f"/staff/enter/{link}", headers={"Accept-Language": language})
        assert answer.status_code == 200
        assert "<script>" not in answer.text
