"""A pack as it is read: its hash, its languages, its consents, its scheme years."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tenancy.errors import PackErrors, UnknownProduct
from engine.tenancy.rules import Pot, Product, content_hash
from engine.tenancy.service import load_pack

if TYPE_CHECKING:
    from tests.engine.tenancy.conftest import Kinds, MakeToy, ToyPack

FILES_OF_BYTES = st.dictionaries(
    st.from_regex(r"[a-d]{1,2}(/[a-d]{1,2})?", fullmatch=True), st.binary(max_size=8), min_size=1
)


@given(FILES_OF_BYTES, st.data())
def test_the_hash_changes_with_any_byte_any_name_and_any_file(files: dict[str, bytes], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(files)))
    content = files[path]
    at = data.draw(st.integers(0, len(content)))
    spoilt = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] if at < len(content) else content + b"\0"
    others = {key: value for key, value in files.items() if key != path}
    hashes = {
        content_hash(files),
        content_hash({**files, path: spoilt}),
        content_hash({**others, f"{path}x": content}),
        content_hash(others),
        content_hash({**files, "e": b""}),
    }
    assert len(hashes) == 5


@given(FILES_OF_BYTES)
def test_the_hash_is_of_no_order_and_of_no_demo(files: dict[str, bytes]) -> None:
    backwards = dict(sorted(files.items(), reverse=True))
    assert content_hash(backwards) == content_hash(files)
    assert content_hash({**files, "demo.toml": b"x", "demo/prices.csv": b"y"}) == content_hash(files)
    assert content_hash({**files, "demolition.toml": b"x"}) != content_hash(files)


def test_the_hash_is_what_sha256sum_would_list() -> None:
    listing = f"{hashlib.sha256(b'A').hexdigest()}  a\n{hashlib.sha256(b'B').hexdigest()}  b/c\n"
    assert content_hash({"b/c": b"B", "a": b"A"}) == hashlib.sha256(listing.encode()).hexdigest()


def test_a_moved_folder_has_the_same_hash_and_a_changed_byte_another(
    tmp_path: Path, make_toy: MakeToy, toy_kinds: Kinds
) -> None:
    here = make_toy(tmp_path / "here")
    there = make_toy(tmp_path / "there").write("demo/data.csv", "x").write(".hidden", "x")
    assert load_pack(here.path, toy_kinds).sha256 == load_pack(there.path, toy_kinds).sha256
    there.append("scenarios/payments.toml", "# a remark\n")
    assert load_pack(here.path, toy_kinds).sha256 != load_pack(there.path, toy_kinds).sha256


def test_a_pack_that_fails_raises_all_its_problems(toy: ToyPack, toy_kinds: Kinds) -> None:
    toy.replace("pack.toml", '"KES"', '"XXX"').remove("branding/logo.svg")
    with pytest.raises(PackErrors) as raised:
        load_pack(toy.path, toy_kinds)
    assert str(raised.value) == (
        "ke-toy/branding/logo.svg: is missing\n"
        'ke-toy/pack.toml: currency: "XXX" is not a currency of ISO 4217, such as KES'
    )


def test_a_language_falls_back_to_its_plain_form_and_then_to_the_first(toy: ToyPack, toy_kinds: Kinds) -> None:
    pack = load_pack(toy.path, toy_kinds)
    assert [pack.language(wanted) for wanted in ("sw", "sw-TZ", "sw_TZ", "fr", "", None)] == [
        "sw",
        "sw",
        "sw",
        "en",
        "en",
        "en",
    ]
    assert pack.locale("sw-TZ") == "sw_KE"
    assert pack.locale(None) == "en_KE"


def test_a_consent_has_a_version_that_changes_with_its_words(toy: ToyPack, toy_kinds: Kinds) -> None:
    before = load_pack(toy.path, toy_kinds).consent("rules", "sw")
    assert before is not None
    assert (before.language, before.title, len(before.version)) == ("sw", "Kanuni", 16)
    toy.replace("content/sw/consents.toml", "Ninakubali", "Nakubali")
    pack = load_pack(toy.path, toy_kinds)
    after = pack.consent("rules", "sw")
    assert after is not None
    assert after.version != before.version
    assert pack.consent("rules") == pack.consent("rules", "en") != after
    assert pack.consent("other", "en") is None


def test_an_unknown_product_is_told_which_there_are(toy: ToyPack, toy_kinds: Kinds) -> None:
    pack = load_pack(toy.path, toy_kinds)
    assert pack.product("main").pot_codes == ("savings",)
    with pytest.raises(UnknownProduct) as raised:
        pack.product("other")
    assert raised.value.details == {"field": "product", "product": "other", "allowed": "main"}


@given(st.dates(date(1990, 1, 1), date(2090, 12, 31)), st.sampled_from(["01-01", "04-01", "07-01", "12-31"]))
def test_each_day_lies_in_one_scheme_year(day: date, start: str) -> None:
    product = _product(start)
    first, next_first = product.scheme_year(day)
    assert first <= day < next_first
    assert f"{first:%m-%d}" == f"{next_first:%m-%d}" == start
    assert product.scheme_year(next_first)[0] == next_first


def _product(start: str) -> Product:
    return Product(
        code="main",
        name="Main",
        pots=(Pot(code="savings", name="Savings"),),
        origins=("own",),
        scheme_year_start=start,
        opened_on=date(1990, 1, 1),
        source="invented",
    )
