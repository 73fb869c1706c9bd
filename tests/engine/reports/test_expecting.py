"""What a member may expect, on their statement: the figures of the projection, what it assumes, and when nothing is said."""

import io
from datetime import date
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from pypdf import PdfReader
from sqlalchemy import text

from engine.identity import service as identity
from engine.reports import service as reports
from engine.reports.service import Expectation
from engine.reports.service.expected_words import expected_of
from engine.runtime.database import Database
from tests.engine.reports.scheme import Scheme, open_scheme
from tests.engine.reports.test_printing import LETTERHEADS, letterhead, squeezed, statement, text_of

DAY = date(2023, 6, 2)
RECORDED = text(
    "select count(*) from determinations where kind = 'projection' and tenant_id = current_setting('app.tenant')::int"
)


@pytest_asyncio.fixture
async def apy(db: Database, tmp_path: Path) -> Scheme:
    return await open_scheme(db, tmp_path, "in-apy")


@pytest_asyncio.fixture
async def india(db: Database, tmp_path: Path) -> Scheme:
    return await open_scheme(db, tmp_path, "in-nps-lite")


async def saver(scheme: Scheme, amount: str) -> str:
    await scheme.advance(date(2023, 6, 1))
    number = await scheme.enrol(group="sahyog")
    await scheme.pay(number, amount)
    await scheme.advance(DAY)
    return number


async def told(scheme: Scheme, number: str, on: date = DAY) -> Expectation | None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await reports.find_member(session, scheme.keys, number)
        return await reports.expectation_of(session, scheme.keys, scheme.tenant, member, on=on, actor="staff:1")


async def printed(scheme: Scheme, number: str, *, known_size: int | None = None) -> str:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await reports.find_member(session, scheme.keys, number)
        found = await reports.statement(session, scheme.tenant, member, number=number, as_of=DAY)
        found = msgspec.structs.replace(found, log_size=known_size)
        made = await reports.print_statement(
            session, scheme.keys, scheme.tenant, member, found, actor="staff:1", language="en"
        )
    return text_of(made)


async def test_it_is_the_projection_of_the_route_and_on_no_record(india: Scheme) -> None:
    number = await saver(india, "1234.50")
    found = await told(india, number)
    assert found is not None
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        assert await session.scalar(RECORDED) == 0
        member = await reports.find_member(session, india.keys, number)
        route = await reports.project_member(session, india.keys, india.tenant, member, on=DAY, actor="staff:1")
        assert await session.scalar(RECORDED) == 1
    assert found.illustrations == route.illustrated.projection.illustrations
    assert (found.saving, found.match) == (route.saving, route.match)
    assert found.promises == ()


async def test_a_pension_by_table_is_promised_exactly_for_each_choice(apy: Scheme) -> None:
    number = await saver(apy, "376.00")
    found = await told(apy, number)
    assert found is not None
    assert [(one.choice, one.amount) for one in found.promises] == [
        ((f"{rupees}",), rupees * 100) for rupees in (1000, 2000, 3000, 4000, 5000)
    ]
    years = found.benefit_on.year - DAY.year - ((found.benefit_on.month, found.benefit_on.day) < (DAY.month, DAY.day))
    worth = 100_000 / Fraction(104, 100) ** years
    assert worth / Fraction(104, 100) < found.promises[0].amount_today <= worth

    head = reports.Letterhead.of(apy.tenant, "en")
    section = expected_of(found, head, currency="INR", scale=2)
    assert section.promised is not None
    assert section.promised.rows[-1][:2] == ("5000", "₹5,000.00")
    assert [column.title for column in section.promised.columns] == ["Your choice", "Each month", "In today's money"]
    assert any("0.10 percent" in note for note in section.notes)


async def test_the_printed_statement_has_it_unless_an_earlier_log_is_asked_for(india: Scheme) -> None:
    number = await saver(india, "1234.50")
    section = squeezed("What you may expect")
    assert section in await printed(india, number)
    assert section not in await printed(india, number, known_size=1)


async def test_nothing_is_said_to_who_was_erased_or_draws_the_benefit(india: Scheme) -> None:
    number = await saver(india, "1234.50")
    assert await told(india, number, on=date(2049, 12, 31)) is not None
    assert await told(india, number, on=date(2050, 1, 1)) is None
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        member = await reports.find_member(session, india.keys, number)
        await identity.erase(session, member.member_id, actor="staff:1", business_date=DAY)
        assert await reports.expectation_of(session, india.keys, india.tenant, member, on=DAY, actor="staff:1") is None


@pytest.mark.parametrize("language", LETTERHEADS)
async def test_it_is_printed_whole_in_every_language(india: Scheme, language: str) -> None:
    found = await told(india, await saver(india, "1234.50"))
    assert found is not None
    head = letterhead(language)
    section = expected_of(found, head, currency="INR", scale=2)
    made = reports.render_pdf(statement(6), head, person_name="A", expectation=found)
    pages = PdfReader(io.BytesIO(made)).pages
    shown = text_of(made)
    assert len(pages) == 1
    assert len({bar.percent for bar in section.bars}) == 3
    assert max(bar.percent for bar in section.bars) == 100
    assert made == reports.render_pdf(statement(6), head, person_name="A", expectation=found)
    if language in ("en", "fr", "rw", "sw"):
        for row in section.outlooks.rows:
            for value in row:
                assert squeezed(value) in shown, value
        for figure in section.assumptions:
            assert squeezed(figure.label) in shown, figure
