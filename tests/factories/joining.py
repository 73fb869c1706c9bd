"""Tenants on the worked pack of joining, in which contributions are taken too, and people who join it."""

import itertools
import secrets
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from msgspec.structs import replace

from engine.app import KINDS, RUNNERS
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven, FactDeclared, GuardianGiven
from engine.enrolment.service import Answer, Enrolment
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, Tenants, advance_clock
from tests.factories.schemes import START

PACK = Path(__file__).parents[1] / "packs/xx-enrolment"
CONTRIBUTIONS = """
[[rule]]
kind = "contribution-amount"
id = "contribution-amount"
minimum = "1.00"
source = "Invented: the rules of contributions"
confidence = "high"

[[rule]]
kind = "contribution-split"
id = "contribution-split"
parts = [{ pot = "savings", share_bp = 10000 }]
source = "Invented: the rules of contributions"
confidence = "high"
"""
_serial = itertools.count(secrets.randbelow(10**6) * 10)


async def serve(db: Database, folder: Path, *, rules: Mapping[str, str] | None = None) -> Tenant:
    """Create a tenant on a copy of the worked pack, its clock at START (3 April 2023); `rules` are added to products' books."""
    code = f"xx-t{secrets.token_hex(5)}"
    copy = folder / code
    shutil.copytree(PACK, copy, ignore=shutil.ignore_patterns("scenarios"))
    manifest = copy / "pack.toml"
    manifest.write_text(manifest.read_text().replace("xx-enrolment.localhost", f"{code}.localhost"))
    for product in ("workers", "families"):
        book = copy / product / "rules/2020-04-01.toml"
        book.write_text(book.read_text() + CONTRIBUTIONS + (rules or {}).get(product, ""))
    tenant = await Tenants.load([copy], KINDS, RUNNERS).create_tenant(db, code, actor="operator:test")
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, START, "development")
    return tenant


def worker(tenant: Tenant, **others: object) -> Application:
    """Return the application of somebody of 33 that the product workers takes."""
    text = tenant.pack.consent("rules", "en")
    assert text is not None
    application = Application(
        product="workers",
        full_name="Amina Example",
        born_on=date(1990, 4, 3),
        documents=(DocumentGiven("nid", f"1990{next(_serial) % 10**8:08d}"),),
        monthly_income="9000.00",
        declared=(FactDeclared(fact="income-tax-payer", holds=False),),
        group_proof="union-letter",
        consents=(ConsentGiven(consent="rules", language="en", version=text.version, channel="agent"),),
    )
    return replace(application, **others)


def child(**others: object) -> Application:
    """Return the application of a child of 10 whose mother opens an account in the product families."""
    application = Application(
        product="families",
        full_name="Juma Example",
        born_on=date(2013, 4, 3),
        documents=(DocumentGiven("birth-certificate", f"{next(_serial) % 10**4:04d}"),),
        monthly_income="100.00",
        guardian=GuardianGiven(full_name="Amina Example", relationship="mother", document="card", number="123456"),
    )
    return replace(application, **others)


async def enrol(db: Database, keys: FileKeyStore, tenant: Tenant, *applications: Application) -> list[Answer]:
    """Send applications; return what became of each."""
    sent = [Enrolment(secrets.token_hex(8), one) for one in applications]
    return await enrolment.enrol(db, tenant, keys, sent, actor="partner:1")
