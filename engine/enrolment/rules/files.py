"""Files of people to enrol: CSV with a header, in UTF-8, separated by commas or semicolons.

Columns: key, product, full_name, born_on, birth_known, sex, phone, document, document_number, document_expires_on,
document_replaces, group, group_proof, person_class, resident_since, monthly_income, declared, years_paid, channel, language,
address, consents, consent_language, consent_channel, for a guardian guardian_name, guardian_relationship, guardian_document,
guardian_number, guardian_phone, for what is undertaken undertaking_slab, undertaking_frequency, and for each nominee N from 1 to 5: nominee_N_name, nominee_N_relationship,
nominee_N_share_bp, nominee_N_born_on, nominee_N_phone. `consents` lists `id=version` separated by blanks, `declared`
`fact=yes`, `fact=no`, or `fact=` and the last day it held. Dates are ISO 8601. Of these, product, full_name and born_on must
be there; the others may be left out or left blank.
"""

import csv
import hashlib
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from engine.enrolment.errors import UnreadableFile
from engine.enrolment.rules.applications import Application, plain_words

MOST_BYTES = 50_000_000
MOST_ROWS = 100_000
FILE_NOMINEES = 5
_REQUIRED = ("product", "full_name", "born_on")
_NOMINEE_PARTS = {
    "name": "full_name",
    "relationship": "relationship",
    "share_bp": "share_bp",
    "born_on": "born_on",
    "phone": "phone",
}
_DOCUMENT_PARTS = {
    "document": "document",
    "document_number": "number",
    "document_expires_on": "expires_on",
    "document_replaces": "replaces",
}
_GUARDIAN_PARTS = {
    "guardian_name": "full_name",
    "guardian_relationship": "relationship",
    "guardian_document": "document",
    "guardian_number": "number",
    "guardian_phone": "phone",
}
_UNDERTAKING_PARTS = {"undertaking_slab": "slab", "undertaking_frequency": "frequency"}
_PLAIN = (
    *(*_REQUIRED, "birth_known", "sex", "phone", "group", "group_proof", "person_class", "resident_since"),
    *("monthly_income", "years_paid", "channel", "language", "address"),
)
COLUMNS = (
    *("key", *_PLAIN, *_DOCUMENT_PARTS, *_GUARDIAN_PARTS, *_UNDERTAKING_PARTS, "declared"),
    *("consents", "consent_language", "consent_channel"),
    *(f"nominee_{n}_{part}" for n in range(1, FILE_NOMINEES + 1) for part in _NOMINEE_PARTS),
)


@dataclass(frozen=True, slots=True)
class MembersRow:
    """A row that can be read: its place in the file (the header is row 1), its key, the application, cells and numbers beside it."""

    row: int
    key: str
    application: Application
    beside: Mapping[str, str] = field(default_factory=dict)
    earlier_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row cannot be read: where, and what is allowed there. Holds nothing of what the row says."""

    file: str
    row: int
    field: str
    reason: str

    def __str__(self) -> str:
        """Return one line for people."""
        return f"{self.file}, row {self.row}, {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class MembersFile:
    """A file of people to enrol, read: every row that is not blank is in one of the two."""

    sha256: str
    rows: tuple[MembersRow, ...]
    problems: tuple[RowProblem, ...]


def read_members_csv(raw: bytes, file: str = "members.csv", *, beside: Collection[str] = ()) -> MembersFile:
    """Return the applications a file holds. A row without a key gets one of the file's bytes and the row's place.

    Args:
        raw: the file's bytes; a byte order mark is understood.
        file: its name, for messages.
        beside: columns that the file must have too, and that are no part of an application; their cells may be blank.

    Raises:
        UnreadableFile: it is not text in UTF-8, too large, empty, or its header lacks or doubles a column or has one
            that nothing is known of.
    """
    if len(raw) > MOST_BYTES:
        raise UnreadableFile(file=file, reason=f"it is larger than {MOST_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(file=file, reason=f"byte {error.start + 1} is not UTF-8") from None
    if "\0" in text:
        raise UnreadableFile(file=file, reason="it holds NUL bytes") from None
    first = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True
    )
    sha256 = hashlib.sha256(raw).hexdigest()
    rows: list[MembersRow] = []
    problems: list[RowProblem] = []
    try:
        header = _header(next((cells for cells in reader if any(cells)), []), file, beside)
        keys: dict[str, int] = {}
        for cells in reader:
            row = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(rows) + len(problems) >= MOST_ROWS:
                raise UnreadableFile(file=file, reason=f"it has more than {MOST_ROWS} rows")
            found = _row(header, cells, file, row, f"{sha256[:32]}:{row}", beside)
            if isinstance(found, MembersRow) and found.key in keys:
                found = RowProblem(file, row, "key", f"the key stands in row {keys[found.key]} already")
            if isinstance(found, RowProblem):
                problems.append(found)
            else:
                keys[found.key] = row
                rows.append(found)
    except csv.Error as error:
        raise UnreadableFile(file=file, reason=f"line {reader.line_num}: {error}") from None
    return MembersFile(sha256, tuple(rows), tuple(problems))


def _header(cells: list[str], file: str, beside: Collection[str]) -> tuple[str, ...]:
    names = tuple(cell.strip().lower() for cell in cells)
    for name in names:
        if name not in COLUMNS and name not in beside:
            raise UnreadableFile(
                file=file, reason=f"the column {name[:40]!r} is not known; allowed: {', '.join((*COLUMNS, *beside))}"
            )
        if names.count(name) > 1:
            raise UnreadableFile(file=file, reason=f"the column {name} is there twice")
    for name in (*_REQUIRED, *beside):
        if name not in names:
            raise UnreadableFile(file=file, reason=f"the column {name} is missing")
    return names


def _row(
    header: tuple[str, ...], cells: list[str], file: str, row: int, own_key: str, beside: Collection[str]
) -> MembersRow | RowProblem:
    if len(cells) != len(header):
        return RowProblem(file, row, "row", f"it has {len(cells)} cells, and the header {len(header)}")
    given = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}
    for name in _REQUIRED:
        if name not in given:
            return RowProblem(file, row, name, "it is blank")
    key = given.pop("key", own_key)
    if len(key) > 64 or not key.isascii() or not key.isprintable():
        return RowProblem(file, row, "key", "allowed: 1 to 64 visible ASCII characters")
    table: dict[str, object] = {name: given[name] for name in _PLAIN if name in given}
    if document := _parts(given, _DOCUMENT_PARTS):
        table["documents"] = [{"document": "", "number": "", **document}]
    if guardian := _parts(given, _GUARDIAN_PARTS):
        table["guardian"] = guardian
    if undertaking := _parts(given, _UNDERTAKING_PARTS):
        table["undertaking"] = undertaking
    if "declared" in given:
        table["declared"] = [_declared(one) for one in given["declared"].split()]
    if "consents" in given:
        pairs = [one.partition("=") for one in given["consents"].split()]
        language = given.get("consent_language", given.get("language", ""))
        channel = given.get("consent_channel", "file")
        table["consents"] = [
            {"consent": consent, "version": version, "language": language, "channel": channel}
            for consent, _, version in pairs
        ]
    named = [_nominee(given, n) for n in range(1, FILE_NOMINEES + 1)]
    while named and not named[-1]:
        named.pop()
    table["nominees"] = named
    try:
        return MembersRow(
            row,
            key,
            msgspec.convert(table, Application, strict=False),
            {name: given.get(name, "") for name in beside},
        )
    except msgspec.ValidationError as error:
        place, reason = plain_words(error)
        return RowProblem(file, row, _column(place), reason)


def _nominee(given: Mapping[str, str], n: int) -> dict[str, str]:
    return _parts(given, {f"nominee_{n}_{part}": field for part, field in _NOMINEE_PARTS.items()})


def _parts(given: Mapping[str, str], parts: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of something that several columns tell, as far as they are filled."""
    return {field: given[column] for column, field in parts.items() if column in given}


def _declared(text: str) -> dict[str, object]:
    fact, _, said = text.partition("=")
    if said in ("yes", "no"):
        return {"fact": fact, "holds": said == "yes"}
    return {"fact": fact, "holds": True, "until": said}


def _column(field: str) -> str:
    """Return the column that a field of an application was read from."""
    if found := re.fullmatch(r"nominees\[(\d+)\](?:\.(\w+))?", field):
        parts = {name: part for part, name in _NOMINEE_PARTS.items()}
        return f"nominee_{int(found[1]) + 1}_{parts.get(found[2] or '', 'name')}"
    for place, parts in (
        ("documents", _DOCUMENT_PARTS),
        ("guardian", _GUARDIAN_PARTS),
        ("undertaking", _UNDERTAKING_PARTS),
    ):
        if field.startswith(place):
            columns = {name: column for column, name in parts.items()}
            return columns.get(field.rpartition(".")[2], next(iter(parts)))
    if field.startswith("declared"):
        return "declared"
    if field.startswith("consents"):
        return {"language": "consent_language", "channel": "consent_channel"}.get(field.partition(".")[2], "consents")
    return field
