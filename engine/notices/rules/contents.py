"""All that a pack says to people: messages, a telephone menu, lessons; each in every language of the pack, or in none.

`content/<language>/review.toml` says whether somebody who speaks the language has signed the texts:

    reviewed = false
    # reviewed = true needs who and when:
    # by = "…"
    # on = 2026-01-31
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from msgspec import Struct

from engine.notices.rules.gsm7 import Encoding, fits, units
from engine.notices.rules.lessons import Lesson, decode_lessons
from engine.notices.rules.menu_files import Actions, decode_menu
from engine.notices.rules.menus import MEMBER, NEW, Menu
from engine.notices.rules.placeholders import written
from engine.notices.rules.templates import Occasions, Templates, decode_templates
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
    "claim-approved": frozenset({"scheme", "amount"}),
    "claim-refused": frozenset({"scheme"}),
    "payout-sent": frozenset({"scheme", "amount", "account"}),
    "payout-failed": frozenset({"scheme", "amount"}),
    "payout-account-changed": frozenset({"scheme", "account", "until"}),
    "interest-credited": frozenset({"scheme", "amount", "total"}),
    "units-bought": frozenset({"scheme", "amount", "total"}),
    "product-moved": frozenset({"scheme", "product", "total"}),
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
    "send-statement": frozenset[str](),
    "choose-language": frozenset({"language"}),
    "ask-for-call": frozenset[str](),
    "complain": frozenset[str](),
    "read-lesson": frozenset[str](),
    "leave": frozenset[str](),
}
"""What a session on the telephone's menu may end in, and the answers each needs."""

GUARDED = frozenset(
    {
        "save",
        "show-balance",
        "show-last-payments",
        "show-plan",
        "show-match",
        "ask-to-withdraw",
        "send-statement",
        "choose-language",
    }
)
"""Actions that move money, show what is a member's own, or change it: telephones are shared, so the PIN comes first."""

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
    return found or [one for language in pack.languages for one in _long_lessons(pack, language)]


def _long_lessons(pack: Pack, language: str) -> Iterator[PackProblem]:
    """Yield the lessons that are longer than the message that carries them says."""
    template = templates_of(pack).get(language, {}).get("lesson")
    room = template.placeholders.get("text") if template else None
    if template is None or room is None:
        return
    for one in lessons_of(pack, language):
        text = written(one.text, template.encoding)
        if template.encoding is Encoding.GSM_7 and not fits(text):
            reason = "has letters that its message cannot show"
        elif units(text, template.encoding) > room.longest:
            reason = f"takes more than the {room.longest} that its message has for it"
        else:
            continue
        yield PackProblem(f"content/{language}/lessons.toml", f"lesson {one.id}", reason)


def menus_of(pack: Pack) -> dict[str, Menu]:
    """Return the menu of each language of a sound pack, with the screens that ask for the PIN; none if it has no menu."""
    files = {one: f"content/{one}/ussd.toml" for one in pack.languages}
    read = {
        language: decode_menu(file, pack.files[file], guards=GUARDED)[0]
        for language, file in files.items()
        if file in pack.files
    }
    return {language: menu for language, menu in read.items() if menu is not None}


def templates_of(pack: Pack) -> dict[str, Templates]:
    """Return the message templates of each language of a sound pack."""
    files = {one: f"content/{one}/messages.toml" for one in pack.languages}
    return {
        language: decode_templates(file, pack.files[file])[0] for language, file in files.items() if file in pack.files
    }


def lessons_of(pack: Pack, language: str) -> Sequence[Lesson]:
    """Return the lessons of a sound pack in one of its languages, in their order."""
    file = f"content/{language}/lessons.toml"
    return list(decode_lessons(file, pack.files[file])[0].values()) if file in pack.files else []


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
    menu, problems = decode_menu(file, content, actions=ACTIONS, values=VALUES, guards=GUARDED)
    if menu is not None:
        problems += [
            PackProblem(file, f"starts.{who}", "is missing") for who in (MEMBER, NEW) if who not in menu.starts
        ]
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
