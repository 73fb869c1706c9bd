"""Mistakes that whoever writes a pack makes: each is said with its file and key, the reason, and what to do about it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.app import CHECKS, KINDS, RUNNERS
from engine.tenancy.rules.places import line_of
from engine.tenancy.service import check_pack

TENANTS = Path(__file__).resolve().parents[2] / "tenants"
RULES = "haba-haba/rules/2019-12-01.toml"
EXPECTING = "scenarios/expecting.toml"


def put(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        text, count = re.subn(old, new, path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
        assert count == 1, (file, old)
        path.write_text(text, encoding="utf-8")

    return change


def second_age(folder: Path) -> None:
    path = folder / RULES
    text = path.read_text(encoding="utf-8")
    first = text.index("[[rule]]")
    row = text[first : text.index("[[rule]]", first + 1)]
    path.write_text(text + "\n" + row.replace('id = "', 'id = "second-'), encoding="utf-8")


MISTAKES: dict[str, tuple[str, Callable[[Path], None], tuple[str, ...]]] = {
    "a misspelt key": (
        "ke-haba-haba", put(RULES, "^minimum = ", "minimun = "),
        (f"{RULES}: rule[1].minimun:", "did you mean minimum?"),
    ),
    "dates in the wrong order": (
        "in-apy", put(EXPECTING, "joined_on = 2015-09-20", "joined_on = 2025-09-20"),
        (f"{EXPECTING}: scenario[1].joined_on:", "2025-09-20 is after 2024-01-15", "exchange them"),
    ),
    "a split that is not whole": (
        "ke-haba-haba", put(RULES, "share_bp = 10000", "share_bp = 100"),
        (f"{RULES}: rule[8]:", "sum to 100, and must sum to 10000", "100 is 1 %"),
    ),
    "a missing language": (
        "ke-haba-haba", lambda folder: (folder / "content/en/ussd.toml").unlink(),
        ("content/en/ussd.toml:", "is missing", "another language of the pack"),
    ),
    "a percentage as a fraction": (
        "ke-haba-haba", put(RULES, '^inflation_percent = "5"', "inflation_percent = 0.05"),
        (f"{RULES}: rule[21].inflation_percent:", "0.05 is not", 'five percent is "5"'),
    ),
    "an unknown product": (
        "ke-haba-haba", put(EXPECTING, 'product = "haba-haba"', 'product = "haba-hba"'),
        (f"{EXPECTING}: scenario[1].product:", "is not a product", "allowed: haba-haba"),
    ),
    "two rules at a time": (
        "ke-haba-haba", second_age,
        (f"{RULES}: rule[25].kind:", "one eligibility-age at a time, and joining-age is in force", "or repeal it"),
    ),
    "a table that was changed": (
        "in-apy", put("tables/chart.csv", "^18,1000,42", "18,1000,43"),
        ("tables/chart.csv:", "but pack.toml says", "restore the table, or state its new source and checksum"),
    ),
    "a logo with a script": (
        "ke-haba-haba", put("branding/logo.svg", "</svg>", "<script>alert(1)</script></svg>"),
        ("branding/logo.svg:", "has the element <script>", "allowed: circle"),
    ),
    "an example that contradicts its rule": (
        "ke-haba-haba", put(EXPECTING, 'pot = "345408.04"', 'pot = "345408.05"'),
        (f"{EXPECTING}: scenario[1].expect.cautious.pot:", 'expected "345408.05", came out as "345408.04"'),
    ),
    "an example before the scheme": (
        "ke-haba-haba", put(EXPECTING, "(?s)on = 2024-01-15(.*?)joined_on = 2020-03-01", r"on = 2014-01-15\1joined_on = 2013-03-01"),
        (f"{EXPECTING}: scenario[1].expect.refused:", "and 16 more, but was refused", "benefits.no-projection"),
    ),
    "outlooks that fall": (
        "ke-haba-haba", put(RULES, '^favourable_percent = "4"', 'favourable_percent = "0.04"'),
        (f"{RULES}: rule[21]:", "must rise or stay the same, in this order; they are 0, 2 and 0.04"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said_once_with_its_place_its_reason_and_what_to_do(mistake: str, tmp_path: Path) -> None:
    pack, change, said = MISTAKES[mistake]
    folder = tmp_path / pack
    shutil.copytree(TENANTS / pack, folder)
    change(folder)
    report = check_pack(folder, KINDS, RUNNERS, checks=CHECKS, prove=False)
    assert not report.ok
    found = [str(one) for one in report.problems if str(one).startswith(said[0])]
    assert len(found) == 1, report.problems
    assert all(part in found[0] for part in said), found


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("", 0),
        ("title", 1),
        ("locales.sw", 2),
        ("rule[1]", 5),
        ("rule[1].amount", 6),
        ("rule[1].parts[2].share", 7),
        ("rule[2].annuity.years", 11),
        ("rule[2].missing", 9),
        ("rule[3].amount", 12),
        ("rule[9].amount", 0),
        ("nothing", 0),
    ],
)
def test_a_key_is_found_on_its_line(key: str, line: int) -> None:
    text = """title = "x"
[locales]
sw = "sw_KE"

[[rule]]
amount = 1
parts = [{ share = 1 }, { share = 2 }]

[[rule]]
id = "b"
[rule.annuity]
[[rule]]
"""
    assert line_of(text, key) == line
