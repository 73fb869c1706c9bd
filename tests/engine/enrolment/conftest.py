"""Two invented schemes, one joined through groups with a checked number, one by anyone with a number of its own form."""

import random
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from stdnum import verhoeff

from engine.enrolment.rules import RULE_KINDS, Application, ConsentGiven, DocumentGiven, NomineeGiven
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules import Pack, decode_pack
from engine.tenancy.service import Tenant

_MANIFEST = """\
name = "{name}"
short_name = "{name}"
country = "{country}"
currency = "{currency}"
time_zone = "{zone}"
calendar = "{country}"
phone_country = "{country}"
languages = ["en", "fr"]
hosts = ["{code}.localhost"]
log_origin = "{code}.localhost/log"
locales = {{ en = "en_{country}", fr = "fr_{country}" }}
regulator = {{ name = "The Regulator", short_name = "TR" }}
roles = {{ scheme = "The members" }}

[[channels]]
code = "till"
name = "Till"
account = "TILL 1"

[member_number]
digits = 12
prefix = "50"
source = "invented"

[[products]]
code = "main"
name = "Main"
pots = [{{ code = "savings", name = "Savings" }}]
origins = ["own"]
scheme_year_start = "04-01"
opened_on = 2020-04-01
source = "invented"
"""
_CONSENTS = """\
[[consent]]
id = "scheme-rules"
title = "Rules ({language})"
text = "I wish to join the scheme and know its rules ({language})."

[[consent]]
id = "personal-data"
title = "Data ({language})"
text = "I agree that the scheme keeps my data, encrypted ({language})."
"""
GROUPED_RULES = """\
[[rule]]
kind = "eligibility-age"
id = "joining-age"
minimum = 18
maximum = 60
source = "invented"
confidence = "high"

[[rule]]
kind = "identity-document"
id = "aadhaar"
document = "aadhaar"
validator = "stdnum.in_.aadhaar"
source = "invented"
confidence = "high"

[[rule]]
kind = "groups"
id = "groups"
required = true
groups = [{ code = "north", name = "North" }, { code = "south", name = "South" }]
source = "invented"
confidence = "high"

[[rule]]
kind = "nominees"
id = "nominees"
required = true
maximum = 3
source = "invented"
confidence = "high"

[[rule]]
kind = "consents"
id = "declarations"
purposes = ["scheme-rules", "personal-data"]
source = "invented"
confidence = "high"
"""
OPEN_RULES = """\
[[rule]]
kind = "eligibility-age"
id = "joining-age"
minimum = 16
source = "invented"
confidence = "high"

[[rule]]
kind = "identity-document"
id = "nid"
document = "nid"
validator = "pattern"
pattern = "(?P<person>[123](?P<birth_year>(19|20)[0-9]{2})(?P<sex>[78])[0-9]{7})[0-9]{3}"
sexes = { "8" = "male", "7" = "female" }
source = "invented"
confidence = "high"

[[rule]]
kind = "identity-document"
id = "passport"
document = "passport"
validator = "pattern"
pattern = "[A-Z]{1,2}[0-9]{6,8}"
source = "invented"
confidence = "high"
"""


def pack_files(code: str, country: str, currency: str, zone: str, rules: str) -> dict[str, bytes]:
    files = {
        "pack.toml": _MANIFEST.format(name="Scheme", code=code, country=country, currency=currency, zone=zone),
        "branding/theme.toml": (Path(__file__).parents[3] / "tenants/in-nps-lite/branding/theme.toml").read_text(),
        "branding/logo.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="M0 0h8v8H0z"/></svg>',
        "main/rules/2020-04-01.toml": rules,
        **{f"content/{one}/consents.toml": _CONSENTS.format(language=one) for one in ("en", "fr")},
    }
    return {path: content.encode() for path, content in files.items()}


def make_pack(code: str, country: str, currency: str, zone: str, rules: str) -> Pack:
    pack, problems = decode_pack(code, pack_files(code, country, currency, zone, rules), RULE_KINDS)
    assert pack is not None, problems
    return pack


@pytest.fixture(scope="session")
def grouped_pack() -> Pack:
    return make_pack("in-test", "IN", "INR", "Asia/Kolkata", GROUPED_RULES)


@pytest.fixture(scope="session")
def open_pack() -> Pack:
    return make_pack("rw-test", "RW", "RWF", "Africa/Kigali", OPEN_RULES)


@pytest.fixture
def keys(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys.toml")


def _set_clock(app_url: str, tenant_id: int) -> None:
    with psycopg.connect(app_url) as connection:
        connection.execute("update tenants set clock_at = '2023-04-03 06:00+00' where tenant_id = %s", (tenant_id,))


@pytest.fixture
def grouped(grouped_pack: Pack, tenant_id: int, database_urls: tuple[str, str]) -> Tenant:
    """The scheme joined through groups, on 3 April 2023."""
    _set_clock(database_urls[0], tenant_id)
    return Tenant(tenant_id, grouped_pack.code, grouped_pack, 0)


@pytest.fixture
def opened(open_pack: Pack, tenant_id: int, database_urls: tuple[str, str]) -> Tenant:
    """The scheme anyone may join, in another tenant than `grouped`, on 3 April 2023."""
    with psycopg.connect(database_urls[0]) as connection:
        row = connection.execute(
            "insert into tenants (code) values (%s) returning tenant_id", (f"rw-{tenant_id}-open",)
        ).fetchone()
    assert row is not None
    _set_clock(database_urls[0], row[0])
    return Tenant(int(row[0]), open_pack.code, open_pack, 0)


def aadhaar(seed: int) -> str:
    """A number of the form of an Aadhaar, from a seed; nobody's as far as anyone knows."""
    body = str(random.Random(seed).randint(2 * 10**10, 10**11 - 1))
    return body + str(verhoeff.calc_check_digit(body))


def consents(pack: Pack, language: str = "en") -> tuple[ConsentGiven, ...]:
    return tuple(
        ConsentGiven(consent=text.id, language=language, version=text.version, channel="agent")
        for (_, spoken), text in sorted(pack.consents.items())
        if spoken == language
    )


MakeApplication = Callable[..., Application]


@pytest.fixture
def applying(grouped_pack: Pack) -> MakeApplication:
    """An application to `grouped` by person number `seed`, with whatever else is said."""

    def make(seed: int = 1, **changes: Any) -> Application:
        return replace(
            Application(
                product="main",
                full_name=f"Lakshmi Devi {seed}",
                born_on=date(1987, 4, 15),
                sex="female",
                phone="098765 43210",
                documents=(DocumentGiven(document="aadhaar", number=aadhaar(seed)),),
                group="north",
                language="fr",
                address="Ward 4, Rampur",
                nominees=(
                    NomineeGiven(full_name="Meera Devi", relationship="daughter", share_bp=6_000, phone="9876543211"),
                    NomineeGiven(full_name="Ravi Devi", relationship="son", share_bp=4_000, born_on=date(2010, 1, 2)),
                ),
                consents=consents(grouped_pack),
            ),
            **changes,
        )

    return make


@pytest.fixture
def applying_openly() -> Callable[..., Application]:
    """An application to `opened`."""

    def make(**changes: Any) -> Application:
        told: Mapping[str, Any] = {
            "product": "main",
            "full_name": "Uwimana",
            "born_on": date(1990, 6, 1),
            "documents": (DocumentGiven(document="nid", number="1 1990 7 0012345 0 12"),),
        }
        return Application(**{**told, **changes})

    return make
