"""A tenant on the Indian pack, for benchmarks of whole capabilities."""

import atexit
import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from stdnum import verhoeff

from benchmarks.stage import Stage
from engine.app import KINDS, RUNNERS
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven, NomineeGiven
from engine.enrolment.service import Enrolled, Enrolment
from engine.kernel.clock import SystemClock
from engine.ledger import service as ledger
from engine.ledger.rules import Account
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, Tenants

PACKS = Path(__file__).resolve().parent.parent / "tenants"
PACK = "in-nps-lite"


def keys_in_a_folder() -> FileKeyStore:
    """Return a key store of its own; it is gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="akiba-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return FileKeyStore(Path(folder) / "keys.toml")


async def tenant_on(where: Stage, db: Database) -> tuple[Tenant, Stage]:
    """Create the pack's tenant; return it, and the stage with its accounts."""
    tenants = Tenants.load([PACKS / PACK], KINDS, RUNNERS)
    tenant = await tenants.create_tenant(db, PACK)
    collections = Account("collections", "INR", party="upi")
    cash = Account("cash", "INR", product="nps-lite", pot="retirement", origin="own")
    async with db.unit_of_work(tenant.tenant_id) as session:
        codes = await ledger.account_codes(session, [collections, cash])
    return tenant, replace(where, tenant_id=tenant.tenant_id, collections=codes[collections], cash=codes[cash])


async def enrolled(db: Database, keys: FileKeyStore, tenant: Tenant, count: int) -> list[str]:
    """Enrol `count` invented people; return their member numbers."""
    people = [Enrolment(secrets.token_hex(8), _application(tenant, number)) for number in range(count)]
    answers = await enrolment.enrol(db, tenant, keys, people, actor="partner:1")
    numbers = [answer.number for answer in answers if isinstance(answer, Enrolled)]
    assert len(numbers) == count, next(answer for answer in answers if not isinstance(answer, Enrolled))
    return numbers


def _application(tenant: Tenant, number: int) -> Application:
    body = f"98{number:09d}"
    return Application(
        product="nps-lite",
        full_name="Bench Example",
        born_on=SystemClock().now().date().replace(year=1990, day=1),
        documents=(DocumentGiven("aadhaar", body + str(verhoeff.calc_check_digit(body))),),
        group=("sahyog", "gramin", "shramik")[number % 3],
        language="en",
        nominees=(NomineeGiven(full_name="Second Example", relationship="daughter", share_bp=10_000),),
        consents=tuple(
            ConsentGiven(consent=consent, language="en", version=text.version, channel="agent")
            for consent in ("scheme-rules", "personal-data")
            if (text := tenant.pack.consent(consent, "en")) is not None
        ),
    )
