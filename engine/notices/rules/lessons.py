"""Literacy lessons of a pack: short texts that teach how saving for old age works, one at a time, on any telephone.

    [[lesson]]
    id = "small-sums"
    title = "Small sums add up"
    text = "A little every week is more than a lot once in a while. …"

`content/<language>/lessons.toml` of a pack holds them; the same lessons in every language.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode, shown
from engine.tenancy.rules.manifest import Code

LEAST_LESSONS = 6


class Lesson(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A lesson: a title, and a text short enough to be read in half a minute."""

    id: Code
    title: Annotated[str, Meta(min_length=3, max_length=60, description="text of 3 to 60 characters")]
    text: Annotated[str, Meta(min_length=80, max_length=600, description="text of 80 to 600 characters")]


class _LessonFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    lesson: Annotated[tuple[Lesson, ...], Meta(min_length=1, description="a list of [[lesson]]")]


def decode_lessons(file: str, content: bytes) -> tuple[Mapping[str, Lesson], list[PackProblem]]:
    """Return the lessons of a file by id, in their order, and everything that is wrong with it."""
    problems: list[PackProblem] = []
    table = read_toml(file, content, problems)
    if table is None:
        return {}, problems
    decoded, problems = decode(table, _LessonFile, file=file)
    found: dict[str, Lesson] = {}
    for row, one in enumerate(decoded.lesson if decoded else (), 1):
        if one.id in found:
            problems.append(PackProblem(file, f"lesson[{row}].id", f"{shown(one.id)} stands above already"))
        found.setdefault(one.id, one)
    if decoded is not None and len(found) < LEAST_LESSONS:
        problems.append(PackProblem(file, "lesson", f"has {len(found)} lessons; there are at least {LEAST_LESSONS}"))
    return found, problems
