"""Files to and from an agency without an API, carried by a folder."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from engine.identity.ports import AssertedPerson, IdentityState
from engine.kernel.file_drops import take_in
from engine.kernel.files import FileRefused, NamedFile
from integrations.banking.file_drops.folder import FolderDrop
from integrations.identity.csv_files.adapter import Agency, CsvVerifier

VERIFIER = CsvVerifier(Agency(authority="invented-agency"))
ASKED = [
    AssertedPerson(
        reference="a", document="nid", number="1", full_name='Jean "Bosco", Uwimana', born_on=date(1980, 5, 1)
    ),
    AssertedPerson(reference="b", document="nid", number="2", full_name="=HYPERLINK(1)"),
]
HEAD = "reference,result,full_name,born_on,sex,as_of\n"
WHOLE = HEAD + "a,match,UWIMANA Jean Bosco,1980-05-01,M,2026-03-01T08:00:00+02:00\nb,not-found,,,,\n#count,2\n"


def test_what_is_asked_is_written_the_same_each_time() -> None:
    file = VERIFIER.write("2026-03", ASKED)

    assert file == VERIFIER.write("2026-03", ASKED)
    assert file.name == "ask-2026-03.csv"
    assert file.raw.decode() == (
        "reference,document,number,full_name,born_on,sex\n"
        'a,nid,1,"Jean ""Bosco"", Uwimana",1980-05-01,unstated\n'
        "b,nid,2,'=HYPERLINK(1),,unstated\n"
        "#count,2\n"
    )
    with pytest.raises(ValueError, match="hyphens"):
        VERIFIER.write("../up", ASKED)


def test_what_is_answered_is_read() -> None:
    batch, answers = VERIFIER.read(NamedFile("answers-2026-03.csv", WHOLE.encode("utf-8-sig")))

    assert batch == "2026-03"
    assert [(one.reference, one.answer.state) for one in answers] == [
        ("a", IdentityState.VERIFIED),
        ("b", IdentityState.UNKNOWN_NUMBER),
    ]
    person = answers[0].answer.person
    assert person is not None
    assert (person.names, person.born_on, person.sex) == (("UWIMANA Jean Bosco",), date(1980, 5, 1), "male")
    assert person.as_of == datetime(2026, 3, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("", "file", "empty-file"),
        ("<html>502</html>", "header", "unknown-layout"),
        (WHOLE.removesuffix("#count,2\n"), "#count", "no-trailer"),
        (WHOLE.replace("#count,2", "#count,3"), "#count", "count-differs"),
        (WHOLE.replace("b,not-found", "a,not-found"), "reference", "repeated"),
        (WHOLE.replace("not-found", "yes"), "result", "not-listed"),
        (WHOLE.replace("1980-05-01", "1980-13-01"), "born_on", "date-malformed"),
        (WHOLE.replace("+02:00", ""), "as_of", "malformed"),
        (WHOLE.replace("b,not-found,,,,", "b,not-found"), "row", "malformed"),
        (WHOLE.replace("b,not", ",not"), "reference", "missing"),
        (HEAD + 'a,"match', "file", "malformed"),
    ],
)
def test_a_file_is_read_whole_or_not_at_all(text: str, field: str, reason: str) -> None:
    with pytest.raises(FileRefused) as refused:
        VERIFIER.read(NamedFile("answers-2026-03.csv", text.encode()))

    assert (refused.value.field, refused.value.reason) == (field, reason)
    assert "UWIMANA" not in str(refused.value)


def test_bytes_that_are_no_text_and_a_name_that_is_no_answers() -> None:
    for name, raw, field in (("answers-1.csv", b"\xff\xfe", "file"), ("other.csv", WHOLE.encode(), "name")):
        with pytest.raises(FileRefused) as refused:
            VERIFIER.read(NamedFile(name, raw))
        assert refused.value.field == field


async def test_a_folder_carries_them(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("inbox", "outbox", "archive")]
    for each in places:
        each.mkdir()
    drop = FolderDrop(places[0], places[1], places[2])
    kept: list[NamedFile] = []

    async def is_known(digest: str) -> bool:
        return digest in {file.sha256 for file in kept}

    async def keep(file: NamedFile) -> None:
        kept.append(file)

    assert await drop.deliver(VERIFIER.write("2026-03", ASKED))
    for name in ("answers-2026-03.csv", "answers-2026-03.csv"):  # the agency sends the same file twice
        (places[0] / name).write_bytes(WHOLE.encode())
        await take_in(drop, is_known=is_known, keep=keep)

    assert (places[1] / "ask-2026-03.csv").exists()
    assert [VERIFIER.read(file)[0] for file in kept] == ["2026-03"]
