"""Third parties for the bank adapters: message schemas, and a bank. They live in an environment of their own."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from lxml import etree

from tests.conformance.places import python_of

Validate = Callable[[bytes], None]


@pytest.fixture(scope="session")
def third_parties() -> Path:
    """The environment in which requirements/conformance-banking.txt is installed."""
    return python_of("banking").parents[1]


@pytest.fixture(scope="session")
def schema_valid(third_parties: Path) -> Validate:
    """A check of a message against the schema of its namespace: it fails the test, and never passes for want of a schema."""
    schemas = {path.name: path for path in third_parties.glob("lib/python3*/site-packages/*/**/*.xsd")}
    loaded: dict[str, etree.XMLSchema] = {}

    def check(raw: bytes) -> None:
        document = etree.fromstring(raw)
        name = f"{(etree.QName(document).namespace or '').rsplit(':', 1)[-1]}.xsd"
        if name not in loaded:
            loaded[name] = etree.XMLSchema(etree.parse(str(schemas[name])))
        loaded[name].assertValid(document)

    return check


@dataclass(frozen=True)
class MockBank:
    """A third party's bank: spoken to by files in folders, steered over HTTP."""

    control: httpx.Client
    drop: Path
    pickup: Path

    def scan(self) -> None:
        """Let the bank take what lies in its folder."""
        self.control.post("/_mock/drop/scan").raise_for_status()

    def advance(self, to: str) -> None:
        """Set the bank's clock."""
        self.control.post("/_mock/advance", params={"to": to}).raise_for_status()

    def picked_up(self, message: str) -> list[bytes]:
        """Return what the bank has written of a message such as "pain.002", oldest first."""
        found = sorted(self.pickup.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [raw for path in found if path.is_file() and f":{message}." in (raw := path.read_bytes()).decode()]


@pytest.fixture
def mock_bank(third_parties: Path, tmp_path: Path) -> Iterator[MockBank]:
    """A bank of this test's own, at nine o'clock on Monday 2 March 2026."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    drop, pickup = tmp_path / "to-bank", tmp_path / "from-bank"
    drop.mkdir()
    pickup.mkdir()
    command: list[str | Path] = [third_parties / "bin" / "python", "-m", "mockbank", "--port", str(port), "--quiet"]
    options: list[str | Path] = [
        "--clock",
        "2026-03-02T09:00",
        "--drop-dir",
        drop,
        "--pickup-dir",
        pickup,
        "--drop-settle-ms",
        "0",
    ]
    with (
        subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as control,
    ):
        try:
            for _ in range(100):
                try:
                    control.get("/_mock/health").raise_for_status()
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield MockBank(control, drop, pickup)
        finally:
            process.terminate()
            process.wait(10)
