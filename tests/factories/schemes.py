"""Tenants on the real packs, each under a code of its own, and people enrolled in them."""

import itertools
import re
import secrets
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from stdnum import verhoeff

from engine.app import KINDS, RUNNERS
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven, NomineeGiven
from engine.enrolment.service import Enrolled, Enrolment
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, Tenants, advance_clock

PACKS = Path(__file__).parents[2] / "tenants"
START = datetime(2023, 4, 3, 4, 0, tzinfo=UTC)
_serial = itertools.count(secrets.randbelow(10**6) * 1000)


REPLACED = ("name-match", "identity-check")
"""Kinds of which a product has one rule a purpose or document, so that a test's stands in the place of the pack's."""


def without(book: str, kinds: Collection[str]) -> str:
    """Return the text of a rule book without its rules of those kinds."""
    head, *rules = re.split(r"(?m)^(?=\[\[rule\]\]$)", book)
    return "".join([head, *(rule for rule in rules if not any(f'kind = "{kind}"' in rule for kind in kinds))])


async def serve(
    db: Database,
    folder: Path,
    pack: str = "in-nps-lite",
    *,
    start: datetime | None = START,
    changes: Mapping[str, str] | None = None,
    rules: Mapping[str, str] | None = None,
    scenarios: bool = True,
    files: Mapping[str, str] | None = None,
) -> Tenant:
    """Create a tenant on a copy of a real pack, with a code and hosts of its own, its clock at `start`.

    `changes` are of the manifest's text; `rules` are added to the first file of a product's book, or are a later file of
    it ("product/2040-01-01"); of the kinds in REPLACED they stand in the place of the pack's own. Rules under which the
    pack's own `scenarios` end otherwise leave those out. `files` are others of the pack, by their path in it.
    """
    code = f"{pack[:2]}-t{secrets.token_hex(5)}"
    copy = folder / code
    shutil.copytree(PACKS / pack, copy, ignore=shutil.ignore_patterns("demo*", *([] if scenarios else ["scenarios"])))
    manifest = copy / "pack.toml"
    written = re.sub(rf"{pack}\.localhost", f"{code}.localhost", manifest.read_text())
    for old, new in (changes or {}).items():
        assert old in written, old
        written = written.replace(old, new)
    manifest.write_text(written)
    for product, added in (rules or {}).items():
        name, _, day = product.partition("/")
        books = copy / name / "rules"
        stated = {kind for kind in REPLACED if f'kind = "{kind}"' in added}
        for own in books.iterdir() if stated else ():
            own.write_text(without(own.read_text(), stated))
        book = books / f"{day}.toml" if day else min(books.iterdir())
        book.write_text((book.read_text() if book.exists() else "") + added)
    for name, written in (files or {}).items():
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(written)
    tenants = Tenants.load([copy], KINDS, RUNNERS)
    tenant = await tenants.create_tenant(db, code, actor="operator:test")
    if start is not None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await advance_clock(session, tenant, start, "development")
    return tenant


def aadhaar() -> str:
    """Return a number with a right check digit that no person has: the tests' own series."""
    body = f"99{next(_serial) % 10**9:09d}"
    return body + str(verhoeff.calc_check_digit(body))


def application(tenant: Tenant, *, group: str = "sahyog", name: str = "Asha Example") -> Application:
    """Return an application that the Indian pack accepts."""
    texts = {consent: tenant.pack.consent(consent, "en") for consent in ("scheme-rules", "personal-data")}
    return Application(
        product="nps-lite",
        full_name=name,
        born_on=date(1990, 5, 1),
        sex="female",
        phone="+91 98765 43210",
        documents=(DocumentGiven("aadhaar", aadhaar()),),
        group=group,
        language="hi",
        nominees=(NomineeGiven(full_name="Meera Example", relationship="daughter", share_bp=10_000),),
        consents=tuple(
            ConsentGiven(consent=consent, language="en", version=text.version, channel="agent")
            for consent, text in texts.items()
            if text is not None
        ),
    )


async def enrol(db: Database, keys: FileKeyStore, tenant: Tenant, groups: Sequence[str]) -> list[Enrolled]:
    """Enrol one person into each group named; all must be accepted."""
    answers = await enrolment.enrol(
        db,
        tenant,
        keys,
        [Enrolment(secrets.token_hex(8), application(tenant, group=group)) for group in groups],
        actor="partner:1",
    )
    for answer in answers:
        assert isinstance(answer, Enrolled), answer
    return [answer for answer in answers if isinstance(answer, Enrolled)]
