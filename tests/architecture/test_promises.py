"""The code keeps its own promises: closed routes, known jobs, no floats with money, no country in the engine."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler

from engine import app as composition
from engine.access.rules import PARTNER_SCOPES, ROLES
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import load_settings
from engine.tenancy.service import Tenants
from engine.worker import JOBS, SCHEDULED

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "engine").rglob("*.py"))


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Litestar:
    settings = load_settings({}, environment={})
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    deployment = composition.Deployment(
        settings,
        Database(url),
        FileKeyStore(tmp_path_factory.mktemp("keys") / "keys.toml"),
        Tenants.load(settings.packs, composition.KINDS, composition.RUNNERS),
    )
    return composition.create_app(deployment, composition.DatabaseURLs(url, None))


def handlers(application: Litestar) -> Iterator[tuple[str, HTTPRouteHandler]]:
    for route in application.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and handler.http_methods != {"OPTIONS"}:
                yield route.path, handler


def test_every_route_declares_a_permission(application: Litestar) -> None:
    found = list(handlers(application))

    assert len(found) > 30
    assert [path for path, handler in found if not isinstance(handler.opt.get("permission"), Permission)] == []


def test_public_routes_are_these(application: Litestar) -> None:
    public = {path for path, handler in handlers(application) if handler.opt["permission"] is Permission.PUBLIC}

    assert not {path for path in public if path.startswith("/v1/")}
    assert {"/livez", "/readyz", "/oauth/token"} <= public


def test_every_permission_can_be_held_by_someone() -> None:
    held = frozenset().union(*ROLES.values()) | PARTNER_SCOPES

    assert set(Permission) - held == {Permission.PUBLIC}


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == name:
                yield node


def test_every_promised_job_exists_and_every_job_is_promised_or_scheduled() -> None:
    promised: set[str] = set()
    trees = {source: ast.parse(source.read_text()) for source in SOURCES}
    constants = {
        target.id: node.value.value
        for source, tree in trees.items()
        if source.name == "jobs.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for source, tree in trees.items():
        for call in _calls(tree, "promise"):
            name = call.args[1]
            if isinstance(name, ast.Constant):
                promised.add(str(name.value))
            elif isinstance(name, ast.Name) and name.id in constants:
                promised.add(str(constants[name.id]))
            elif source.name not in ("jobs.py", "worker.py"):
                pytest.fail(f"{source}: a job is promised under a name that cannot be read: {ast.unparse(name)}")

    assert promised <= set(JOBS)
    assert promised | set(SCHEDULED) == set(JOBS)


def _all_errors(error: type[EngineError] = EngineError) -> Iterator[type[EngineError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _all_errors(kind)


def test_every_error_has_a_code_of_its_own() -> None:
    own = [error for error in _all_errors() if error.__module__.startswith("engine.")]
    codes = [error.code for error in own if "code" in error.__dict__]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9-]+", code) for code in codes)


def test_nothing_about_a_country_is_in_the_engine() -> None:
    words = re.compile(r"\b(in-nps-lite|rw-ejoheza|EjoHeza|NPS|Rwanda|India|INR|RWF|aadhaar|SM00\d{4}|nps-lite)\b")
    # ISO 4217's table and a checker's table of published number formats name currencies and formats, not schemes.
    exempt = {"kernel/amounts.py"}
    found = []
    for source in SOURCES:
        if str(source.relative_to(ROOT / "engine")) in exempt:
            continue
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and words.search(node.value):
                found.append(f"{source.relative_to(ROOT)}:{node.lineno}: {words.search(node.value)}")

    assert [line for line in found if not _is_example(line)] == []


def _is_example(line: str) -> bool:
    """Examples in docstrings and in the OpenAPI document may name a real currency; code that decides may not."""
    path, number, _ = line.split(":", 2)
    source = (ROOT / path).read_text().splitlines()
    near = "\n".join(source[max(0, int(number) - 4) : int(number) + 12])
    return "examples" in near or '"""' in near or "help=" in near


MONEY = ("kernel", "ledger", "contributions", "funds", "reconciliation", "enrolment", "reports")


def test_money_is_never_a_float() -> None:
    floats = [
        f"{source.relative_to(ROOT)}:{node.lineno}"
        for folder in MONEY
        for source in sorted((ROOT / "engine" / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Name) and node.id == "float"
    ]

    # A yearly rate is no money: it comes from a root finder and is shown in basis points.
    assert [line for line in floats if not line.startswith("engine/reports/")] == []


def test_migrations_are_one_chain_named_by_their_files() -> None:
    versions = sorted((ROOT / "migrations" / "versions").glob("*.py"))
    before = None
    for path in versions:
        text = path.read_text()
        assert f'revision: str = "{path.stem}"' in text
        assert f"down_revision: str | None = {before!r}".replace("'", '"') in text
        before = path.stem
