"""A translation is reviewed while its words are those that a speaker of the language signed."""

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine import cli
from engine.runtime import reviews
from engine.runtime.reviews import languages, review_of, sign

HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n'
DAY = date(2026, 3, 1)


def write(locales: Path, body: str, language: str = "sw") -> None:
    path = locales / language / "LC_MESSAGES" / "engine.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + body, encoding="utf-8")


FUND = '\nmsgid "fund"\nmsgstr "mfuko"\n'
DAYS = '\nmsgid "{count} day"\nmsgid_plural "{count} days"\nmsgstr[0] "siku {count}"\nmsgstr[1] "siku {count}"\n'


def test_every_language_says_whether_it_is_reviewed() -> None:
    assert languages() == ("ar", "fr", "hi", "rw", "sw")
    for language in languages():
        found = review_of(language)
        assert found.missing == 0
        assert found.signed.reviewed or len(found.unsigned) == len(found.texts) > 400


def test_a_changed_text_loses_its_review_and_no_other_does(tmp_path: Path) -> None:
    write(tmp_path, FUND + DAYS)
    assert not review_of("sw", tmp_path).is_reviewed
    assert sign("sw", by=" Amina Wanjiru ", on=DAY, locales=tmp_path).is_reviewed

    signed = review_of("sw", tmp_path)
    assert (signed.signed.by, signed.signed.on, signed.unsigned) == ("Amina Wanjiru", DAY, ())

    write(tmp_path, FUND.replace("mfuko", "hazina") + DAYS)
    assert review_of("sw", tmp_path).unsigned == ("fund",)
    write(tmp_path, FUND + DAYS.replace('[1] "siku', '[1] "masiku'))
    assert review_of("sw", tmp_path).unsigned == ("{count} day\n{count} days",)
    write(tmp_path, FUND + DAYS + FUND.replace("fund", "unit"))
    assert review_of("sw", tmp_path).unsigned == ("unit",)
    assert not review_of("sw", tmp_path).is_reviewed
    write(tmp_path, DAYS + FUND)
    assert review_of("sw", tmp_path).is_reviewed


def test_what_is_missing_or_of_nobody_cannot_be_signed(tmp_path: Path) -> None:
    write(tmp_path, FUND.replace("mfuko", ""))
    with pytest.raises(ValueError, match="1 texts are not translated"):
        sign("sw", by="Amina", on=DAY, locales=tmp_path)
    write(tmp_path, FUND)
    with pytest.raises(ValueError, match="names who signs"):
        sign("sw", by="  ", on=DAY, locales=tmp_path)
    (tmp_path / "sw" / "review.toml").write_text('reviewed = true\nby = "Amina"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"review\.toml: reviewed texts say by whom"):
        review_of("sw", tmp_path)


def test_an_operator_sees_and_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, FUND)
    monkeypatch.setattr(reviews, "ENGINE_LOCALES", tmp_path)
    assert reviews.languages() == ("sw",)
    run = CliRunner()

    first = run.invoke(cli.app, ["texts", "status"])
    assert first.output == "sw: 1 texts, 0 missing; not reviewed, 1 texts to sign; signed by nobody\n"
    assert run.invoke(cli.app, ["texts", "list", "sw", "--unsigned"]).output == "fund\n    mfuko\n"
    signed = run.invoke(cli.app, ["texts", "sign", "sw", "--by", "Amina Wanjiru"])
    assert signed.exit_code == 0
    assert "sw: 1 texts, 0 missing; reviewed; signed by Amina Wanjiru on 2" in signed.output
    (found,) = json.loads(run.invoke(cli.app, ["--json", "texts", "status"]).output)
    assert (found["reviewed"], found["unsigned"], found["signed_by"]) == (True, 0, "Amina Wanjiru")
    assert run.invoke(cli.app, ["texts", "list", "sw", "--unsigned"]).output == "none\n"
    assert run.invoke(cli.app, ["texts", "sign", "xx", "--by", "A"]).exit_code == 1
