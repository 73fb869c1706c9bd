"""Bodies that nobody should send: each refused by a problem of its own, none in the books, none of it in the logs."""

import io
import json
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
import pytest_asyncio
import structlog
from sqlalchemy import text

from engine.kernel.permissions import Permission
from engine.ledger.rules import EventKind
from engine.runtime.http import PROBLEM
from engine.runtime.locale import ENGINE_LOCALES
from engine.runtime.logging import ALLOWED_KEYS, configure_logging
from tests.api.site import Site
from tests.factories.schemes import application

CONTRIBUTIONS = "/v1/contributions"
MEGABYTE = 1_000_000


def send(site: Site, body: Any, *, path: str = CONTRIBUTIONS, key: str = "", **headers: str) -> httpx.Response:
    """Send bytes as they are, as the partner."""
    sent = {
        **site.partner.headers,
        "Content-Type": "application/json",
        "Idempotency-Key": key or secrets.token_hex(8),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return httpx.post(
        site.address + path,
        content=body,
        headers=[(name.encode(), value.encode()) for name, value in sent.items() if value],
        timeout=60,
    )


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    """Tell whether an answer is the refusal it should be, in the form of RFC 9457."""
    assert answer.headers["content-type"] == PROBLEM, answer.text
    problem = answer.json()
    assert problem["title"]
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    return True


async def payments_of(site: Site) -> int:
    async with site.db.unit_of_work(site.tenant.tenant_id) as session:
        kinds = [int(EventKind.CONTRIBUTION_RECEIVED), int(EventKind.CONTRIBUTION_SUSPENDED)]
        found = await session.scalar(text("select count(*) from events where kind = any (:kinds)"), {"kinds": kinds})
    return int(found or 0)


@pytest_asyncio.fixture(loop_scope="session")
async def untouched(site: Site) -> AsyncIterator[Site]:
    """The scheme, in whose books there must be not one payment more afterwards."""
    before = await payments_of(site)
    yield site
    assert await payments_of(site) == before


def body_of(site: Site, **others: str) -> bytes:
    return json.dumps(site.payment(site.members[0].number, **others)).encode()


# -- what cannot be read


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"member": ',
        b"nonsense",
        b"[1, 2",
        b"{'member': '5'}",
        b'{"member": "5",}',
        b'{"amount": NaN}',
        b'{"member": "5"} {"member": "5"}',
        b'{"member": "\\ud800"}',
        b'{"member": "tab\tin it"}',
        b"\xef\xbb\xbf{}",
        b"\x00",
    ],
)
@pytest.mark.parametrize("path", [CONTRIBUTIONS, f"{CONTRIBUTIONS}/batch", "/v1/members", "/v1/members/batch"])
def test_what_is_not_json_is_400(untouched: Site, path: str, body: bytes) -> None:
    answer = send(untouched, body, path=path)

    assert is_problem(answer, 400, "request.malformed")
    assert "not JSON" in answer.json()["detail"]


def test_a_json_body_cut_short_is_400(untouched: Site) -> None:
    body = body_of(untouched)
    for length in range(1, len(body), 7):
        assert is_problem(send(untouched, body[:length]), 400, "request.malformed")


def test_no_body_is_400(untouched: Site) -> None:
    answer = send(untouched, b"")

    assert is_problem(answer, 400, "request.malformed")
    assert "empty" in answer.json()["detail"]


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"caf\xe9"])
@pytest.mark.parametrize("place", ["channel", "name"])
def test_what_is_not_utf_8_is_400(untouched: Site, bad: bytes, place: str) -> None:
    good = b'{"channel": "upi", "amount": "1.00"}'
    body = good.replace(b"upi", bad) if place == "channel" else good.replace(b"channel", bad)

    assert is_problem(send(untouched, body), 400, "request.malformed")


def test_utf_16_is_400(untouched: Site) -> None:
    body = body_of(untouched).decode().encode("utf-16")

    assert is_problem(send(untouched, body, Content_Type="application/json; charset=utf-16"), 400, "request.malformed")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"items": [{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    ],
)
@pytest.mark.parametrize("path", [CONTRIBUTIONS, "/v1/members", "/v1/members/batch"])
def test_what_is_nested_without_end_is_400(untouched: Site, path: str, body: bytes) -> None:
    """And the process lives on."""
    assert is_problem(send(untouched, body, path=path), 400, "request.malformed")
    assert send(untouched, b"{", path=path).status_code == 400


def test_numbers_without_end_are_refused(untouched: Site) -> None:
    for number in (b"9" * 100_000, b"1e999999", b"-" + b"9" * 5_000, b"0." + b"1" * 100_000):
        answer = send(untouched, b'{"amount": ' + number + b"}")
        assert answer.status_code in {400, 422}, answer.text
        assert answer.headers["content-type"] == PROBLEM


# -- what is too large, or of another kind


def test_ten_megabytes_that_say_so_are_413(untouched: Site) -> None:
    answer = send(untouched, b'{"member": "' + b"5" * 10 * MEGABYTE + b'"}')

    assert is_problem(answer, 413, "http.413")


def test_ten_megabytes_that_say_so_are_refused_before_they_are_sent(untouched: Site) -> None:
    """The answer comes while the body has not."""
    with connected(untouched) as (wire, head):
        wire.sendall(head(f"Content-Length: {10 * MEGABYTE}\r\n"))
        assert status_of(wire) == 413


def test_ten_megabytes_that_do_not_say_so_are_413(untouched: Site) -> None:
    """Chunked, until what may be is reached."""
    with connected(untouched) as (wire, head):
        wire.sendall(head("Transfer-Encoding: chunked\r\n"))
        chunk = b"5" * 100_000
        sent = 0
        try:
            for _ in range(100):
                wire.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                sent += len(chunk)
        except OSError:
            pass  # the server has hung up, and its answer is there to be read
        assert status_of(wire) == 413


def test_a_list_of_too_many_is_refused_whole(untouched: Site) -> None:
    item = untouched.payment(untouched.members[0].number)
    answer = send(untouched, json.dumps({"items": [item] * 1001}).encode(), path=f"{CONTRIBUTIONS}/batch")

    assert is_problem(answer, 422, "request.invalid")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/json",
    ],
)
@pytest.mark.parametrize("path", [CONTRIBUTIONS, "/v1/members"])
def test_another_content_type_is_415_and_told_which(untouched: Site, path: str, kind: str) -> None:
    """Also where the bytes would do as JSON: a form of another site can send those without asking."""
    answer = send(untouched, body_of(untouched), path=path, Content_Type=kind)

    assert is_problem(answer, 415, "http.415")
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", ""])
def test_json_by_its_names_is_read(site: Site, kind: str) -> None:
    assert send(site, body_of(site), Content_Type=kind).status_code == 201


# -- what breaks off


def test_a_body_that_breaks_off_is_no_payment(untouched: Site) -> None:
    """The caller hangs up half way through what it had announced."""
    body = body_of(untouched)
    for sent in (0, 1, len(body) // 2, len(body) - 1):
        with connected(untouched) as (wire, head):
            wire.sendall(head(f"Content-Length: {len(body)}\r\n") + body[:sent])
    assert send(untouched, b"{").status_code == 400


def test_what_is_no_http_is_refused(untouched: Site) -> None:
    with connected(untouched) as (wire, _):
        wire.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert status_of(wire) == 400


def test_two_lengths_are_refused(untouched: Site) -> None:
    """What one server takes for the end of a request another takes for the begin of the next."""
    with connected(untouched) as (wire, head):
        wire.sendall(head("Content-Length: 5\r\nContent-Length: 500\r\n") + b"hello")
        assert status_of(wire) == 400


@contextmanager
def connected(site: Site) -> Iterator[tuple[socket.socket, Any]]:
    """A bare connection, and what makes the head of a contribution's request with some more lines."""
    where = urlsplit(site.address)
    assert where.hostname is not None

    def head(lines: str) -> bytes:
        credentials = site.partner.headers["Authorization"]
        return (
            f"POST {CONTRIBUTIONS} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: {credentials}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {secrets.token_hex(8)}\r\n{lines}\r\n"
        ).encode()

    with socket.create_connection((where.hostname, where.port or 80), timeout=30) as wire:
        yield wire, head


def status_of(wire: socket.socket) -> int:
    with wire.makefile("rb") as answer:
        return int(answer.readline().split()[1])


# -- a name given twice


def test_of_a_name_given_twice_the_last_value_counts(site: Site) -> None:
    """Safe, because what is credited, what is answered and what a key is bound to are read once, from the same value."""
    member = site.members[0].number
    body = body_of(site, amount="100.00")
    twice = body[:-1] + b', "amount": "200.00"}'
    key = secrets.token_hex(8)
    answer = send(site, twice, key=key)
    plain = json.dumps(json.loads(body) | {"amount": "200.00"}).encode()

    assert (answer.status_code, answer.json()["amount"], answer.json()["member"]) == (201, "200.00", member)
    assert send(site, twice, key=key).content == answer.content
    assert send(site, plain, key=key).content == answer.content
    assert is_problem(send(site, body, key=key), 422, "contributions.key-reused")


def test_an_unknown_name_is_refused(untouched: Site) -> None:
    """A misspelt field is never left out in silence."""
    body = body_of(untouched)[:-1] + b', "paid_onn": "2023-04-03"}'

    assert is_problem(send(untouched, body), 422, "request.invalid")


# -- the key


def test_a_payment_without_a_key_is_400(untouched: Site) -> None:
    headers = {**untouched.partner.headers, "Content-Type": "application/json"}
    answer = httpx.post(untouched.address + CONTRIBUTIONS, content=body_of(untouched), headers=headers, timeout=60)

    assert is_problem(answer, 400, "contributions.key-missing")


@pytest.mark.parametrize("key", ['""', "schl\xfcssel", "ключ"])
def test_a_key_that_is_none_is_400(untouched: Site, key: str) -> None:
    headers = [
        (b"authorization", untouched.partner.headers["Authorization"].encode()),
        (b"content-type", b"application/json"),
        (b"idempotency-key", key.encode()),
    ]
    answer = httpx.post(untouched.address + CONTRIBUTIONS, content=body_of(untouched), headers=headers, timeout=60)

    assert is_problem(answer, 400, "contributions.key-missing")


def test_a_key_that_is_too_long_is_refused(untouched: Site) -> None:
    assert is_problem(send(untouched, body_of(untouched), key="k" * 67), 422, "request.invalid")


def test_a_key_in_quotes_and_the_same_one_bare_are_one_key(site: Site) -> None:
    body, key = body_of(site), secrets.token_hex(8)
    bare = send(site, body, key=key)
    quoted = send(site, body, key=f'"{key}"')
    other = send(site, body_of(site), key=f'"{key}"')

    assert (bare.status_code, quoted.content) == (201, bare.content)
    assert is_problem(other, 422, "contributions.key-reused")


def test_a_refused_payment_uses_no_key_up(site: Site) -> None:
    body, key = body_of(site, amount="-5"), secrets.token_hex(8)
    refused = send(site, body, key=key)
    right = send(site, json.dumps(json.loads(body) | {"amount": "500.00"}).encode(), key=key)

    assert (refused.status_code, right.status_code) == (422, 201)


# -- the language


@pytest.mark.parametrize("language", sorted(path.name for path in ENGINE_LOCALES.iterdir() if path.is_dir()))
def test_a_refusal_speaks_the_callers_language(untouched: Site, language: str) -> None:
    english = send(untouched, b"{").json()
    spoken = send(untouched, b"{", Accept_Language=f"{language};q=0.9, en;q=0.1")

    assert is_problem(spoken, 400, english["code"])
    assert spoken.json()["title"] != english["title"]
    assert spoken.json()["detail"] != english["detail"]


def test_hindi_is_written_in_its_script(untouched: Site) -> None:
    title = send(untouched, b"{", Accept_Language="hi-IN,hi;q=0.9,en;q=0.5").json()["title"]

    assert any("DEVANAGARI" in name for name in map(_script, title))


def _script(letter: str) -> str:
    import unicodedata

    return unicodedata.name(letter, "")


@pytest.mark.parametrize("wanted", ["xx", "*", ";;;", "en-GB", "\xff", "a" * 5_000, "hi;q=x", "../../etc"])
def test_whatever_language_is_asked_for_there_is_an_answer(untouched: Site, wanted: str) -> None:
    answer = send(untouched, b"{", Accept_Language=wanted)

    assert is_problem(answer, 400, "request.malformed")


# -- the logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process logs, all of it, as it would stand in its log."""
    root = logging.getLogger()
    before, level, known = root.handlers[:], root.level, structlog.get_config()
    stream = io.StringIO()
    configure_logging("debug", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.configure(**known)


def test_nothing_of_a_person_and_no_secret_is_in_the_logs(site: Site, lines: io.StringIO) -> None:
    """Of requests that fail in every way there is, and of some that do not."""
    person: dict[str, Any] = msgspec.to_builtins(application(site.tenant, name="Vishalakshi Unmistakable"))
    number = person["documents"][0]["number"]
    member = site.members[0].number
    payment = site.payment(member, "123.45")
    key = f"key-{secrets.token_hex(8)}"
    raw = json.dumps(person).encode()

    send(site, raw, path="/v1/members", key=key)
    send(site, raw, path="/v1/members", key=f"{key}-2")
    send(site, raw[:-9], path="/v1/members")
    send(site, raw.replace(b"Unmistakable", b"Unmistakable\xff"), path="/v1/members")
    send(site, raw.replace(b"Unmistakable", b"Unmistakable\\u0000"), path="/v1/members")
    send(site, json.dumps(person | {"sex": "Unmistakable", "phone": 5}).encode(), path="/v1/members")
    send(site, json.dumps({"items": [person, 5]}).encode(), path="/v1/members/batch")
    send(site, json.dumps(payment).encode(), key=key)
    send(site, json.dumps(payment | {"amount": "-123.45"}).encode(), key=key)
    send(site, json.dumps(payment | {"member": "Unmistakable"}).encode())
    send(site, b'{"member": ' + b"[" * 100_000)
    send(site, json.dumps(payment).encode(), Content_Type="text/plain")
    send(site, json.dumps(payment).encode(), Authorization="Bearer Unmistakable")
    httpx.get(
        f"{site.address}/v1/members/{member}/statement.pdf?lang=hi", headers=dict(site.partner.headers), timeout=60
    )
    httpx.get(f"{site.address}/v1/members/Unmistakable%00", headers=dict(site.partner.headers), timeout=60)
    httpx.get(f"{site.address}/staff/enter/1.Unmistakable", timeout=60)
    httpx.post(
        f"{site.address}/oauth/token",
        data={"grant_type": "client_credentials", "client_id": "Unmistakable", "client_secret": "Unmistakable"},
        timeout=60,
    )
    httpx.post(
        f"{site.address}/v1/operations/statements?name=Unmistakable%00&account=upi",
        content=f"date,reference,amount,currency\n2023-04-03,{payment['reference']},123.45,INR\n".encode(),
        headers=dict(site.caller(Permission.STATEMENTS_IMPORT).headers),
        timeout=60,
    )
    logging.getLogger("tests").info("so that there is a line to look at")

    logged = lines.getvalue()
    found = [json.loads(line) for line in logged.splitlines()]
    assert found
    assert {name for line in found for name in line} <= ALLOWED_KEYS
    assert not [line for line in found if line["event"] == "unexpected error"]
    secret = [
        site.partner.headers["Authorization"].removeprefix("Bearer "),
        *(s.headers["Cookie"][14:] for s in site.staff),
    ]
    for word in ("Vishalakshi", "Unmistakable", "98765", number, member, "123.45", payment["reference"], key, *secret):
        assert word not in logged, word
