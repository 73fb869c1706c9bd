"""A statement as a PDF for A4 paper: tagged, in the member's language, the same bytes each time it is made."""

import asyncio
from datetime import UTC, datetime, time
from functools import cache
from importlib.resources import files
from pathlib import Path

import fontpkg_noto_sans
import fontpkg_noto_sans_arabic
import fontpkg_noto_sans_devanagari
import msgspec
import typst
from sqlalchemy.ext.asyncio import AsyncSession

from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.reports.rules import Statement
from engine.reports.service.expecting import Expectation, expectation
from engine.reports.service.sheets import Letterhead
from engine.reports.service.wording import sheet_of
from engine.runtime.key_file import FileKeyStore
from engine.runtime.locale import find_locale, format_units
from engine.tenancy.service import Tenant

_FONT_PACKAGES = (fontpkg_noto_sans, fontpkg_noto_sans_arabic, fontpkg_noto_sans_devanagari)


async def print_statement(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    member: MemberRef,
    statement: Statement,
    *,
    actor: str,
    language: str | None = None,
) -> bytes:
    """Return the statement as a PDF with the member's name, in `language` or in the member's own.

    The name and the language come from the vault, which notes that `actor` read them. An erased member has neither.
    What to expect stands on it unless the statement is as an earlier log knew it: of that only the account is kept.
    """
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="statement")
    document = people.get(member.member_id)
    person_name, own = (document.person.full_name, document.person.language) if document else ("", "")
    letterhead = Letterhead.of(tenant, language or own)
    told = None
    if statement.log_size is None and document is not None:
        told = await expectation(session, tenant, member, document.person, on=statement.as_of)
    return await asyncio.to_thread(render_pdf, statement, letterhead, person_name=person_name, expectation=told)


def render_pdf(
    statement: Statement, letterhead: Letterhead, *, person_name: str, expectation: Expectation | None = None
) -> bytes:
    """Return the statement as a PDF/UA-1 document, dated by its own day.

    Fonts are those that come with the product: what the machine has installed changes nothing.
    """
    sheet = sheet_of(statement, letterhead, person_name=person_name, expectation=expectation)
    dated = datetime.combine(statement.as_of, time(), UTC)
    data = {
        "sheet": sheet,
        "language": letterhead.language.partition("-")[0],
        "digits": [format_units(digit, 0, letterhead.locale) for digit in range(10)],
        "direction": find_locale(letterhead.language).text_direction,
        "date": [statement.as_of.year, statement.as_of.month, statement.as_of.day],
        "colours": {
            "brand": letterhead.brand,
            "muted": letterhead.muted,
            "line": letterhead.line,
            "surface": letterhead.surface,
        },
        "logo": letterhead.logo,
    }
    made = typst.compile(
        _template(),
        format="pdf",
        font_paths=fonts(),
        sys_inputs={"data": msgspec.json.encode(data).decode()},
        pdf_standards="ua-1",
        timestamp=int(dated.timestamp()),
    )
    assert isinstance(made, bytes)
    return made


@cache
def _template() -> bytes:
    return files("engine.reports").joinpath("templates/statement.typ").read_bytes()


@cache
def fonts() -> typst.Fonts:
    """Return the fonts that documents are set in: those that come with the product, and no others."""
    folders = [Path(str(package.__file__)).parent / "files" for package in _FONT_PACKAGES]
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)
