"""All that a pack says to people: messages, a telephone menu, lessons; each in every language of the pack, or in none.

`content/<language>/review.toml` says whether somebody who speaks the language has signed the texts:

    reviewed = false
    # reviewed = true needs who and when:
    # by = "…"
    # on = 2026-01-31
"""

from collections.abc import Mapping, Sequence
from datetime import date

from msgspec import Struct

from engine.notices.rules.lessons import decode_lessons
from engine.notices.rules.menu_files import Actions, decode_menu
from engine.notices.rules.templates import Occasions, decode_templates
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode
from engine.tenancy.rules.packs import Pack

OCCASIONS: Occasions = {
    "welcome": frozenset({"scheme", "name", "member"}),
    "contribution-received": frozenset({"scheme", "amount", "total", "receipt"}),
    "contribution-refused": frozenset({"scheme", "amount", "reason"}),
    "contribution-reminder": frozenset({"scheme", "amount", "due"}),
    "match-progress": frozenset({"scheme", "saved", "missing", "until"}),
    "statement-ready": frozenset({"scheme", "day", "total"}),
    "payout-sent": frozenset({"scheme", "amount", "account"}),
    "payout-account-changed": frozenset({"scheme", "account", "until"}),
    "lesson": frozenset({"scheme", "title", "text"}),
}
"""What the engine tells people, and the values it then has."""

REQUIRED = frozenset(
    {
        "welcome",
        "contribution-received",
        "contribution-refused",
        "statement-ready",
        "payout-sent",
        "payout-account-changed",
    }
)
"""Occasions that every scheme has words for."""

ACTIONS: Actions = {
    "join": frozenset({"id_number", "consent", "pin"}),
    "save": frozenset({"amount"}),
    "show-balance": frozenset[str](),
    "show-last-payments": frozenset[str](),
    "show-plan": frozenset[str](),
    "show-match": frozenset[str](),
    "ask-to-withdraw": frozenset({"amount"}),
    "choose-language": frozenset({"language"}),
    "ask-for-call": frozenset[str](),
    "complain": frozenset[str](),
    "read-lesson": frozenset[str](),
    "leave": frozenset[str](),
}
"""What a session on the telephone's menu may end in, and the answers each needs."""

VALUES = frozenset(
    {"scheme", "name", "balance", "amount", "total", "last_payments", "plan", "match", "title", "text", "until"}
)
"""What the engine can show on a screen."""


class Review(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether a speaker of the language has signed the texts of a pack: who, and when."""

    reviewed: bool
    by: str = ""
    on: date | None = None

    def __post_init__(self) -> None:
        """Check that a signature has a name and a day."""
        if self.reviewed != bool(self.by and self.on):
            raise ValueError("reviewed texts say by whom and on which day; others say neither")


def content_problems(pack: Pack) -> list[PackProblem]:
    """Return everything that is wrong with what a pack says to people.

    A kind of text that stands in one language stands in all, with the same ids; every file is sound by itself.
    """
    found: list[PackProblem] = []
    for name in ("messages", "ussd", "lessons", "review"):
        files = {one: pack.files.get(f"content/{one}/{name}.toml") for one in pack.languages}
        if not any(files.values()):
            continue
        ids: dict[str, frozenset[str]] = {}
        for language, content in files.items():
            file = f"content/{language}/{name}.toml"
            if content is None:
                found.append(PackProblem(file, "", "is missing: the texts stand in another language of the pack"))
                continue
            ids[language], problems = _READERS[name](file, content)
            found.extend(problems)
        found.extend(_unequal(name, ids))
    return found


def reviewed(pack: Pack, language: str) -> bool:
    """Return whether a speaker of the language has signed the pack's texts."""
    content = pack.files.get(f"content/{language}/review.toml")
    table = read_toml("", content, []) if content else None
    return bool(table and table.get("reviewed"))


def _unequal(name: str, ids: Mapping[str, frozenset[str]]) -> list[PackProblem]:
    every = frozenset().union(*ids.values()) if ids else frozenset()
    return [
        PackProblem(
            f"content/{language}/{name}.toml",
            "",
            f"lacks {', '.join(sorted(every - here))}, which another language has; write it here too",
        )
        for language, here in ids.items()
        if every - here
    ]


def _messages(file: str, content: bytes) -> tuple[frozenset[str], list[PackProblem]]:
    templates, problems = decode_templates(file, content, occasions=OCCASIONS)
    missing: Sequence[str] = sorted(REQUIRED - templates.keys())
    if missing and not problems:
        problems.append(
            PackProblem(
                file,
                "",
                f"has no words for {', '.join(missing)}, which every member must be told; add a row with that id",
            )
        )
    return frozenset(templates), problems


def _menu(file: str, content: bytes) -> tuple[frozenset[str], list[PackProblem]]:
    menu, problems = decode_menu(file, content, actions=ACTIONS, values=VALUES)
    return frozenset(one.id for one in menu.screen) if menu else frozenset(), problems


def _lessons(file: str, content: bytes) -> tuple[frozenset[str], list[PackProblem]]:
    lessons, problems = decode_lessons(file, content)
    return frozenset(lessons), problems


def _review(file: str, content: bytes) -> tuple[frozenset[str], list[PackProblem]]:
    problems: list[PackProblem] = []
    table = read_toml(file, content, problems)
    if table is not None:
        problems.extend(decode(table, Review, file=file)[1])
    return frozenset(), problems


_READERS = {"messages": _messages, "ussd": _menu, "lessons": _lessons, "review": _review}
