"""A pack that `akiba pack new` begins is whole and proven at once, whatever money, language and country it is of."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from engine.app import CHECKS, KINDS, RUNNERS
from engine.tenancy.errors import PackErrors
from engine.tenancy.service import NewPack, check_pack, load_pack, new_pack

OPENED = date(2024, 2, 29)


@pytest.mark.parametrize(
    ("wanted", "least", "locales", "time_zone"),
    [
        pytest.param(
            NewPack(code="bj-savings", opened_on=OPENED, languages=("fr",)), "10", ["fr_BJ"], "Africa/Porto-Novo",
            id="no decimals",
        ),
        pytest.param(NewPack(code="ke-savings", opened_on=OPENED), "10.00", ["en_KE"], "Africa/Nairobi", id="two"),
        pytest.param(
            NewPack(code="tn-savings", opened_on=OPENED, languages=("ar", "fr")), "10.000", ["ar_TN", "fr_TN"],
            "Africa/Tunis", id="three",
        ),
        pytest.param(
            NewPack(code="xx-savings", opened_on=OPENED, currency="UGX", time_zone="Africa/Kampala"), "10", ["en_UG"],
            "Africa/Kampala", id="a country that is none",
        ),
    ],
)  # fmt: skip
def test_a_new_pack_is_proven_at_once(
    tmp_path: Path, wanted: NewPack, least: str, locales: list[str], time_zone: str
) -> None:
    made = new_pack(tmp_path, wanted, KINDS)
    report = check_pack(tmp_path / wanted.code, KINDS, RUNNERS, checks=CHECKS, prove=True)
    assert [str(one) for one in report.problems] == []
    assert report.is_proven, (report.unproven, report.untried, report.survivors)
    assert report.survivors == ()
    assert least.partition(".")[2] == "0" * made.asset.scale
    assert f'minimum = "{least}"' in (tmp_path / wanted.code / "pension/rules/2024-02-29.toml").read_text("utf-8")
    assert [made.locale(language) for language in made.languages] == locales
    assert made.time_zone == time_zone


def test_names_are_written_as_they_are_given(tmp_path: Path) -> None:
    name = 'Épargne "du $peuple"'
    new_pack(tmp_path, NewPack(code="xx-savings", opened_on=OPENED, name=name), KINDS)
    assert load_pack(tmp_path / "xx-savings", KINDS).name == name


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "xx-savings").mkdir()
    kept = tmp_path / "xx-savings/pack.toml"
    kept.write_text("mine", encoding="utf-8")
    with pytest.raises(PackErrors, match="is there already: nothing was written"):
        new_pack(tmp_path, NewPack(code="xx-savings", opened_on=OPENED), KINDS)
    assert [kept] == [one for one in tmp_path.rglob("*") if one.is_file()]
    assert kept.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (NewPack(code="ke-savings", opened_on=OPENED, currency="ZZZ"), '"ZZZ" is not a currency of ISO 4217'),
        (NewPack(code="ke-savings", opened_on=OPENED, country="UG"), '"UG" is not the country in the folder\'s name'),
        (NewPack(code="ke-savings", opened_on=OPENED, languages=("Swahili",)), "is not a language tag"),
        (NewPack(code="ke-savings", opened_on=OPENED, time_zone="Nairobi"), "is not a time zone"),
        (NewPack(code="../savings", opened_on=OPENED, country="KE"), "is not named <country>-<scheme>"),
    ],
)
def test_what_makes_no_pack_writes_none(tmp_path: Path, wanted: NewPack, reason: str) -> None:
    inside = tmp_path / "packs"
    inside.mkdir()
    with pytest.raises(PackErrors) as raised:
        new_pack(inside, wanted, KINDS)
    assert reason in str(raised.value)
    assert list(tmp_path.rglob("*")) == [inside]
