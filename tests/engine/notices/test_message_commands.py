"""`akiba messages`: what waits is sent once, listed without texts and numbers, and counted, all by the command line."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from tests.engine.notices.test_messages import open_desk, transport

__all__ = ["transport"]
ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


async def test_messages_are_sent_listed_and_counted_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> None:
    async with open_desk("africas-talking", db, keys, tmp_path, transport) as desk:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
        environment = kept | {
            "AKIBA_DATA_DIR": str(tmp_path),
            "AKIBA_PACKS": str(tmp_path / "packs"),
            "AKIBA_KEYS_FILE": str(keys.path),
            "DATABASE_URL": database_urls[0],
            "PYTHONPATH": str(ROOT),
        }

        async def akiba(*words: object, code: int = 0, as_json: bool = True) -> Any:
            command = [
                *_AKIBA,
                *(["--json"] if as_json else []),
                "messages",
                *map(str, words),
                "--tenant",
                desk.tenant.code,
            ]
            done = await asyncio.to_thread(
                subprocess.run, command, check=False, env=environment, capture_output=True, text=True
            )
            assert done.returncode == code, done.stdout + done.stderr
            return json.loads(done.stdout) if as_json and code in (0, 3) else done.stdout + done.stderr

        assert await akiba("send", "--dry-run") == {"queued": 0, "sent": 0, "waiting": 0}
        assert desk.simulator.sent == []
        assert await desk.queue() == 2
        assert await akiba("send", "--dry-run", code=3) == {"queued": 0, "sent": 0, "waiting": 2}
        sent = await akiba("send")
        assert (sent["queued"], sent["waiting"], len(desk.simulator.sent)) == (0, 0, 2)
        await akiba("send")
        assert len(desk.simulator.sent) == 2

        listed = await akiba("list")
        assert [(one["occasion"], one["state"]) for one in listed] == [("welcome", "sent")] * 2
        number = desk.members[0].number
        assert await akiba("list", "--member", number) == [
            one for one in listed if one["message_id"] == str((await desk.messages())[0].message_id)
        ]
        assert await akiba("list", "--state", "failed") == []
        assert "unknown-member" in await akiba("list", "--member", "2000000000", code=1, as_json=False)
        report = await akiba("report", "--from", "2000-01-01")
        assert [(one["occasion"], one["messages"], one["parts"]) for one in report] == [("welcome", 2, 2)]
        words = await akiba("list", as_json=False) + await akiba("report", "--from", "2000-01-01", as_json=False)
        assert "welcome" in words
        assert number not in words
        assert "788123456" not in words
        assert "Welcome to EjoHeza" not in words
