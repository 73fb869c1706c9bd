"""Every kind of rule has a tag and a name of its own, and says what it means and who needs it."""

from collections import Counter

from engine.app import KINDS, RUNNERS


def test_every_kind_has_a_tag_and_a_name_of_its_own() -> None:
    for names in (Counter(str(kind.__struct_config__.tag) for kind in KINDS), Counter(kind.__name__ for kind in KINDS)):
        assert [name for name, count in names.items() if count > 1] == []


def test_every_kind_says_what_it_means() -> None:
    assert [kind.__name__ for kind in KINDS if len((kind.__doc__ or "").split()) < 8] == []


def test_every_decision_says_what_it_needs() -> None:
    assert [name for name, runner in RUNNERS.items() if not runner.__doc__] == []
