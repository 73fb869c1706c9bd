"""Editors complete packs from JSON Schemas; two versions of a pack differ in words."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import msgspec
import pytest

from engine.app import KINDS, RUNNERS
from engine.tenancy.rules.differing import differences
from engine.tenancy.rules.schemas import schemas
from engine.tenancy.service import load_pack
from tests.engine.tenancy.conftest import KINDS as TOYS

if TYPE_CHECKING:
    from tests.engine.tenancy.conftest import ToyPack

TENANTS = Path(__file__).resolve().parents[3] / "tenants"
CHANGED = (
    "main: least-payment changes from 2024-01-01 by joining: amount was 20, becomes 25; "
    "applies_by was event, becomes joining"
)
FOLDERS = {
    "pack": "pack.toml",
    "rules": "*/rules/*.toml",
    "scenarios": "scenarios/*.toml",
    "theme": "branding/theme.toml",
}


def plain(path: Path) -> Any:
    return msgspec.json.decode(msgspec.json.encode(tomllib.loads(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", FOLDERS)
def test_every_file_of_every_pack_is_as_the_schema_says(name: str) -> None:
    validator = jsonschema_rs.validator_for(schemas(KINDS, sorted(RUNNERS))[name])
    files = [path for pack in TENANTS.glob("*/pack.toml") for path in pack.parent.glob(FOLDERS[name])]
    assert files
    for path in files:
        assert [f"{path}: {error.message}" for error in validator.iter_errors(plain(path))] == []


def test_the_schema_refuses_what_the_decoder_refuses() -> None:
    validator = jsonschema_rs.validator_for(schemas(TOYS, ["pay"])["rules"])
    rule = {"kind": "least", "id": "one", "amount": 1, "source": "page", "confidence": "high"}
    assert validator.is_valid({"rule": [rule]})
    for spoilt in ({**rule, "ammount": 1}, {**rule, "kind": "most"}, {**rule, "confidence": "sure"}, {"kind": "least"}):
        assert not validator.is_valid({"rule": [spoilt]})


def test_the_same_pack_differs_in_nothing(toy: ToyPack) -> None:
    pack = load_pack(toy.path, TOYS)
    assert differences(pack, pack) == []


def test_a_change_is_said_in_words(toy: ToyPack) -> None:
    old = load_pack(toy.path, TOYS)
    toy.write(
        "main/rules/2024-01-01.toml",
        '[[rule]]\nkind = "least"\nid = "least-payment"\namount = 25\nsource = "page 3"\nconfidence = "high"\n'
        'applies_by = "joining"\n\n[[rule]]\nkind = "other"\nid = "new-one"\nsource = "page 8"\nconfidence = "high"\n\n'
        '[[repeal]]\nid = "licence"\nsource = "page 9"\n',
    )
    toy.replace("pack.toml", 'name = "Toy Saving Scheme"', 'name = "Toy Pension Scheme"')
    assert differences(old, load_pack(toy.path, TOYS)) == [
        CHANGED,
        "main: new-one is added from 2024-01-01: kind other; value 0; source page 8; confidence high",
        "main: licence is repealed",
        "pack.toml: name was Toy Saving Scheme, becomes Toy Pension Scheme",
    ]


def test_what_is_rewritten_or_taken_out_is_said_so(toy: ToyPack) -> None:
    old = load_pack(toy.path, TOYS)
    toy.replace("main/rules/2020-01-01.toml", "amount = 10", "amount = 11").remove("main/rules/2022-01-01.toml")
    toy.write(
        "scenarios/payments.toml",
        '[[scenario]]\nname = "At the least"\nkind = "pay"\nproduct = "main"\non = 2020-06-01\n'
        'given = { amount = 11 }\nexpect = { taken = "11" }\nsource = "page 1"\n',
    )
    assert differences(old, load_pack(toy.path, TOYS)) == [
        "main: least-payment@2022-01-01 is taken out of the book: what it decided before is decided without it",
        "main: licence@2022-01-01 is taken out of the book: what it decided before is decided without it",
        "main: least-payment@2020-01-01 is rewritten in place: amount was 10, becomes 11",
        "scenarios/payments.toml: changed",
    ]
