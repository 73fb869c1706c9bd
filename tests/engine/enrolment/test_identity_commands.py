"""The commands `akiba identity`, with the adapters that the pack and the secrets file name."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine.kernel.files import NamedFile
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from integrations.identity.aadhaar_offline.simulator import AadhaarSimulator
from tests.engine.enrolment.test_files_of_authorities import CODE, RULES, answers
from tests.factories import schemes
from tests.factories.wallets import write_counterparties

_AKIBA = (sys.executable, "-c", "from engine.cli import main; main()")
_ADAPTERS = '[adapters]\nOfflineProof = "aadhaar-offline"\nBatchVerifier = "csv-files"\n'


async def test_members_are_verified_and_their_numbers_changed_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await schemes.serve(
        db,
        tmp_path / "packs",
        start=None,
        changes={"[adapters]\n": _ADAPTERS},
        rules={"nps-lite": RULES},
        scenarios=False,
    )
    (member,) = await schemes.enrol(db, keys, tenant, ["sahyog"])
    now = datetime.now(UTC)
    uidai = AadhaarSimulator(now)
    signer = {
        "certificate": uidai.signer.certificate,
        "begins_on": uidai.signer.begins_on,
        "ends_on": uidai.signer.ends_on,
    }
    write_counterparties(
        tmp_path,
        {
            tenant.code: {
                "offline-document": {"signers": [signer], "age_max_hours": 72},
                "identity-files": {"authority": "invented-agency"},
            }
        },
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / "packs"),
        "AKIBA_KEYS_FILE": str(keys.path),
        "AKIBA_COUNTERPARTIES_FILE": str(tmp_path / "counterparties.toml"),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    async def akiba(*words: str, code: int = 0) -> Any:
        command = [*_AKIBA, "--json", "identity", *words, "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    (tmp_path / "out").mkdir()
    made = await akiba("batch", "make", "--out", str(tmp_path / "out"))
    said = answered(Path(made["file"]))
    (tmp_path / said.name).write_bytes(said.raw)
    taken = await akiba("batch", "take", str(tmp_path / said.name))
    assert taken["states"] == {"verified": 1}

    person = {"number": "999941057053", "name": "Asha Example", "dob": "01-05-1990", "gender": "F"}
    (tmp_path / "offline.zip").write_bytes(uidai.issue(person, CODE, made=now - timedelta(hours=1)))
    way = ("offline", member.number, str(tmp_path / "offline.zip"), "--document", "aadhaar", "--share-code")
    seen = await akiba(*way, CODE)
    assert (seen["state"], seen["why"]) == ("doubtful", "number")

    number = schemes.aadhaar()
    proposed = await akiba(
        "numbers", "propose", member.number, "--document", "aadhaar", "--reason", "card-renewed", "--number", number
    )
    assert proposed["state"] == "proposed"
    (waiting,) = await akiba("numbers", "waiting")
    assert (waiting["number"], waiting["name"]) == (number, "Asha Example")
    (held,) = await akiba("numbers", "show", member.number)
    assert (held["document"], held["verified_by"]) == ("aadhaar", "identity-agency")

    assert "differ" in await akiba("erase", member.number, "--again", "100000000000", code=2)
    assert await akiba("numbers", "show", member.number) == [held]
    assert await akiba("erase", member.number, "--again", member.number) == {"erased": True}
    assert "unknown-member" in await akiba("erase", member.number, "--again", member.number, code=1)
    assert "unknown-member" in await akiba("numbers", "show", member.number, code=1)


def answered(file: Path) -> NamedFile:
    """Return what the agency answers to a file, which nobody else can read."""
    assert file.stat().st_mode & 0o077 == 0
    return answers(NamedFile(file.name, file.read_bytes()), lambda _: ("match", "EXAMPLE Asha"))
