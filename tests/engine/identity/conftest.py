"""A tenant's keys, another tenant, and members to take in."""

import itertools
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psycopg
import pytest

from engine.identity.rules import IdentityDocument, NewMember, NomineePerson, Person, VaultDocument
from engine.kernel.ids import new_member_id
from engine.runtime.key_file import FileKeyStore

_events = itertools.count(1)


@pytest.fixture
def keys(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys.toml")


@pytest.fixture
def other_tenant(database_urls: tuple[str, str], tenant_id: int) -> int:
    with psycopg.connect(database_urls[0]) as connection:
        row = connection.execute(
            "insert into tenants (code) values (%s) returning tenant_id", (f"yy-{tenant_id}-other",)
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def new_member() -> Callable[..., NewMember]:
    def make(number: str, member_id: int | None = None, *, product: str = "main") -> NewMember:
        return NewMember(
            member_id=member_id or new_member_id(),
            enrolled_event=next(_events),
            product=product,
            joined_on=date(2023, 4, 3),
            group_code="sahyog",
            document=VaultDocument(
                member_number=number,
                person=Person(
                    full_name="Lakshmi Devi",
                    born_on=date(1987, 4, 15),
                    sex="female",
                    phones=("+919876543210",),
                    documents=(IdentityDocument("aadhaar", "234123412346"),),
                    language="hi",
                    address="Ward 4, Rampur",
                ),
                nominees=(NomineePerson(full_name="Meera Devi", relationship="daughter", share_bp=10_000),),
            ),
        )

    return make
