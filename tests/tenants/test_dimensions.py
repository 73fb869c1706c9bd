"""The table of dimensions and packs is what the packs say, and nothing in it is blank."""

from pathlib import Path

from engine.app import KINDS
from engine.tenancy.rules.dimensions import BLANK, DIMENSIONS, Cell, cells, dimension_table
from engine.tenancy.service import load_pack, pack_folders

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/dimensions.md"


def test_the_page_is_what_the_packs_say_and_has_no_blank() -> None:
    page = dimension_table(load_pack(folder, KINDS) for folder in pack_folders([ROOT / "tenants"]))
    assert BLANK not in page
    assert PAGE.read_text(encoding="utf-8") == page, "run: akiba pack dimensions --out docs/dimensions.md"


def test_a_cell_says_by_which_rules_what_was_assumed_and_why_not() -> None:
    found = cells(load_pack(ROOT / "tenants/ke-haba-haba", KINDS))
    assert found.keys() == DIMENSIONS.keys()
    assert found["W13"] == Cell("expressed", "dependants, invalidity")
    assert found["C5"] == Cell("expressed", "contribution-split")
    assert found["T2"] == Cell("expressed", "pack.toml: scheme_year_start, the calendar year, assumed")
    assert found["R7"] == Cell("not-in-scheme", why="no loan or pledge was found")
    package = found["C7"]
    assert package is not None
    assert (package.mark, package.by) == ("assumption", "package")
    assert package.why.startswith("the parts make 60 without the 2")


def test_a_pack_that_says_nothing_has_blanks() -> None:
    page = dimension_table([load_pack(ROOT / "tests/packs/xx-funds", KINDS)])
    assert "| W14 | minors' trusts | **blank** |" in page
