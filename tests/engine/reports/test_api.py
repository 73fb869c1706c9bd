"""The statement's routes: shape, permission, refusals, the golden document."""

import io
import re
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pypdf import PdfReader
from sqlalchemy import text

from tests.engine.reports.scheme import Scheme
from tests.engine.web.site import make_app, signed_in

GOLDEN = Path(__file__).parent / "statement.golden.json"


async def a_year(india: Scheme) -> str:
    """One member, three payments: the first two priced, the last on its way."""
    await india.advance(date(2023, 4, 3))
    number = await india.enrol(group="sahyog", name="सुनीता देवी", language="hi")
    first = await india.pay(number, "1000.00")
    await india.reconcile([first])
    await india.advance(date(2023, 4, 5))
    await india.prices(date(2023, 4, 4), {"SM001009": "32.6034"})
    await india.deal(date(2023, 4, 3))
    await india.deal(date(2023, 4, 5))
    second = await india.pay(number, "1100.55")
    await india.reconcile([second])
    await india.advance(date(2023, 4, 6))
    await india.prices(date(2023, 4, 6), {"SM001009": "32.7001"})
    await india.deal(date(2023, 4, 5))
    await india.deal(date(2023, 4, 6))
    await india.advance(date(2024, 3, 28))
    for step in range(10):
        await india.prices(date(2023, 5 + step // 2, 1 + 14 * (step % 2)), {"SM001009": f"{33 + step * 0.4:.4f}"})
    await india.pay(number, "250.00")
    return number


async def test_the_golden_statement(india: Scheme) -> None:
    number = await a_year(india)
    client = await signed_in(make_app(india), india)

    answer = await client.get(f"/v1/members/{number}/statement", params={"as_of": "2024-03-28"})

    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = re.sub(rb'"receipt":"[0-9]+"', b'"receipt":"#"', answer.content.replace(number.encode(), b"#"))
    expected = msgspec.json.encode(msgspec.json.decode(GOLDEN.read_bytes()))
    assert msgspec.json.format(told) == msgspec.json.format(expected)


async def test_today_where_no_day_is_asked_for(india: Scheme) -> None:
    number = await a_year(india)
    client = await signed_in(make_app(india), india)
    place = f"/v1/members/{number}/statement"

    assert (await client.get(place)).json()["as_of"] == "2024-03-28"
    spaced = f"/v1/members/{number[:3]}%20{number[3:]}/statement"
    assert (await client.get(spaced)).json() == (await client.get(place)).json()


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("as_of=2024-03-29", 422, "reports.date-in-future"),
        ("as_of=20240328", 400, "reports.date-malformed"),
        ("as_of=2024-02-30", 400, "reports.date-malformed"),
        ("as_of=2024-03-28T00", 400, "request.invalid"),
        ("as_of=yesterday", 400, "reports.date-malformed"),
        ("log_size=0", 422, "request.invalid"),
        ("log_size=many", 422, "request.invalid"),
    ],
)
async def test_refuses(india: Scheme, query: str, status: int, code: str) -> None:
    number = await a_year(india)
    client = await signed_in(make_app(india), india)

    answer = await client.get(f"/v1/members/{number}/statement?{query}", headers={"accept": "application/json"})

    if code == "request.invalid":
        assert answer.status_code in (400, 422), answer.text
    else:
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_needs_the_permission(india: Scheme) -> None:
    number = await a_year(india)
    client = await signed_in(make_app(india), india, "price-maker")

    for place in (f"/v1/members/{number}/statement", f"/v1/members/{number}/statement.pdf"):
        answer = await client.get(place)
        assert (answer.status_code, answer.json()["code"]) == (403, "access.missing-permission")


async def test_another_tenants_member_is_answered_like_nobody(india: Scheme, rwanda: Scheme) -> None:
    keza = await rwanda.enrol()
    rwanda.keys = india.keys
    client = await signed_in(make_app(india, rwanda), india)

    answers = [
        await client.get(f"/v1/members/{number}/{kind}")
        for kind in ("statement", "statement.pdf")
        for number in (keza, "2000000005", "x", "%00")
    ]

    assert {(answer.status_code, answer.content) for answer in answers} == {(404, answers[0].content)}
    assert answers[0].json()["code"] == "reports.unknown-member"


async def test_the_pdf_is_in_the_members_language_and_its_reading_is_on_record(india: Scheme) -> None:
    number = await a_year(india)
    client = await signed_in(make_app(india), india)
    place = f"/v1/members/{number}/statement.pdf?as_of=2024-03-28"

    own = await client.get(place)
    english = await client.get(f"{place}&lang=en")
    klingon = await client.get(f"{place}&lang=rw")

    assert own.headers["content-type"] == "application/pdf"
    assert own.headers["cache-control"] == "no-store"
    assert own.headers["content-disposition"] == 'inline; filename="statement-2024-03-28.pdf"'
    assert number not in own.headers["content-disposition"]
    assert own.content[:5] == english.content[:5] == b"%PDF-"
    assert own.content == (await client.get(place)).content
    assert own.content != english.content
    roots: list[Any] = [PdfReader(io.BytesIO(one.content)).trailer["/Root"] for one in (own, english)]
    assert [root["/Lang"] for root in roots] == ["hi", "en"]
    assert (klingon.status_code, klingon.json()["code"]) == (422, "reports.unknown-language")
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        rows = (await session.execute(text("select actor, reason, member_ids from vault_reads"))).all()
    assert len(rows) == 3
    assert {(row.reason, tuple(row.member_ids)) for row in rows} == {("statement", (india.numbers[number].member_id,))}
    assert all(row.actor.startswith("staff:") for row in rows)
