"""A batch of people in a CSV file, and the agency's answers in another. Answers the port for batches; pure."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from engine.identity.ports import AssertedPerson, BatchAnswer, IdentityAnswer, IdentityState, VerifiedPerson
from engine.kernel.files import NamedFile, Wrong
from engine.kernel.outcomes import Reason
from integrations.identity.reading import day_of, sex_of

ASKS = ("reference", "document", "number", "full_name", "born_on", "sex")
ANSWERS = ("reference", "result", "full_name", "born_on", "sex", "as_of")
TRAILER = "#count"
ROWS_MAX = 1_000_000
BYTES_MAX = 64_000_000
_ANSWER_NAME = re.compile(r"answers-([A-Za-z0-9-]{1,64})\.csv")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_RESULTS: Mapping[str, tuple[IdentityState, Reason | None]] = {
    "match": (IdentityState.VERIFIED, None),
    "mismatch": (IdentityState.MISMATCH, None),
    "not-found": (IdentityState.UNKNOWN_NUMBER, None),
    "not-in-force": (IdentityState.BLOCKED, Reason.BLOCKED),
    "not-checked": (IdentityState.REFUSED, Reason.OTHER),
}


class Agency(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The agency's name, which verified attributes carry."""

    authority: str


class CsvVerifier:
    """See `engine.identity.ports.BatchVerifier`.

    Files are UTF-8 with a header row; the last row is `#count` and the number of rows before it, so that a file cut short
    is noticed. `ask-<batch>.csv` asks, `answers-<batch>.csv` answers; days are YYYY-MM-DD, instants ISO 8601 with a zone.
    """

    def __init__(self, agency: Agency) -> None:
        """Write for and read from `agency`."""
        self._agency = agency

    def write(self, batch: str, asked: Sequence[AssertedPerson]) -> NamedFile:
        """Return the file that asks.

        Raises:
            ValueError: the batch's name can be no file's.
        """
        name = f"ask-{batch}.csv"
        if _ANSWER_NAME.fullmatch(f"answers-{batch}.csv") is None:
            raise ValueError("a batch is named by letters, digits and hyphens, 64 at most")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(ASKS)
        for one in asked:
            born_on = one.born_on.isoformat() if one.born_on else ""
            writer.writerow(map(_harmless, (one.reference, one.document, one.number, one.full_name, born_on, one.sex)))
        writer.writerow((TRAILER, len(asked)))
        return NamedFile(name, text.getvalue().encode())

    def read(self, file: NamedFile) -> tuple[str, tuple[BatchAnswer, ...]]:
        """Return the batch and its answers.

        Raises:
            FileRefused: its name, its header, a row or its trailer is wrong, or a reference stands in it twice.
        """
        named = _ANSWER_NAME.fullmatch(file.name)
        if named is None:
            raise Wrong("name", "malformed").refused(file.name)
        try:
            return named[1], self._answers(file.raw)
        except Wrong as wrong:
            raise wrong.refused(file.name) from wrong

    def _answers(self, raw: bytes) -> tuple[BatchAnswer, ...]:
        rows = _rows(raw)
        if not rows or tuple(rows[0]) != ANSWERS:
            raise Wrong("header", "unknown-layout", row=1)
        if len(rows) < 2 or rows[-1][0] != TRAILER:
            raise Wrong(TRAILER, "no-trailer")
        body = rows[1:-1]
        if rows[-1][1:] != [str(len(body))]:
            raise Wrong(TRAILER, "count-differs", row=len(rows))
        answers: dict[str, BatchAnswer] = {}
        for at, row in enumerate(body, start=2):
            try:
                answer = self._answer(row)
            except Wrong as wrong:
                raise Wrong(wrong.field, wrong.reason, row=at) from wrong
            if answer.reference in answers:
                raise Wrong("reference", "repeated", row=at)
            answers[answer.reference] = answer
        return tuple(answers.values())

    def _answer(self, row: Sequence[str]) -> BatchAnswer:
        if len(row) != len(ANSWERS):
            raise Wrong("row", "malformed")
        cells = dict(zip(ANSWERS, (cell.strip() for cell in row), strict=True))
        if not cells["reference"]:
            raise Wrong("reference", "missing")
        if cells["result"] not in _RESULTS:
            raise Wrong("result", "not-listed")
        state, reason = _RESULTS[cells["result"]]
        person = self._person(cells) if state is IdentityState.VERIFIED else None
        return BatchAnswer(
            reference=cells["reference"],
            answer=IdentityAnswer(state=state, person=person, reason=reason, code=cells["result"]),
        )

    def _person(self, cells: Mapping[str, str]) -> VerifiedPerson:
        born_on = day_of(cells["born_on"])
        if cells["born_on"] and born_on is None:
            raise Wrong("born_on", "date-malformed")
        try:
            as_of = datetime.fromisoformat(cells["as_of"])
        except ValueError as error:
            raise Wrong("as_of", "malformed") from error
        if as_of.tzinfo is None:
            raise Wrong("as_of", "malformed", "It names no zone.")
        return VerifiedPerson(
            authority=self._agency.authority,
            as_of=as_of,
            names=(cells["full_name"],) if cells["full_name"] else (),
            born_on=born_on,
            sex=sex_of(cells["sex"]),
        )


def _harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def _rows(raw: bytes) -> list[list[str]]:
    if not raw.strip():
        raise Wrong("file", "empty-file")
    if len(raw) > BYTES_MAX:
        raise Wrong("file", "too-large")
    try:
        text = raw.decode("utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except UnicodeDecodeError as error:
        raise Wrong("file", "not-text") from error
    except csv.Error as error:
        raise Wrong("file", "malformed") from error
    if len(rows) > ROWS_MAX + 2:
        raise Wrong("file", "too-many-rows")
    return rows
