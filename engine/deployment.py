"""A deployment: its settings, database, keys, packs and adapters, as every process opens it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, pool, text

from engine.benefits import rules as benefit_rules
from engine.contributions import rules as contribution_rules
from engine.enrolment import rules as enrolment_rules
from engine.funds import rules as fund_rules
from engine.kernel.rules import Rule
from engine.notices.rules.contents import content_problems
from engine.reconciliation import service as reconciliation
from engine.reports import rules as report_rules
from engine.reports.rules import statement_problems
from engine.runtime.database import Database, driver_url
from engine.runtime.embedded_postgres import EmbeddedServer, provision
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.dimensions import dimension_problems
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import Runner
from engine.tenancy.service import PackCheck, Tenants

ROOT = Path(__file__).resolve().parent.parent

KINDS: Sequence[type[Rule]] = (
    *contribution_rules.RULE_KINDS,
    *enrolment_rules.RULE_KINDS,
    *fund_rules.RULE_KINDS,
    *benefit_rules.RULE_KINDS,
    *report_rules.RULE_KINDS,
)
RUNNERS: Mapping[str, Runner] = {
    **contribution_rules.RUNNERS,
    **enrolment_rules.RUNNERS,
    **fund_rules.RUNNERS,
    **benefit_rules.RUNNERS,
    **report_rules.RUNNERS,
}


def layout_problems(pack: Pack) -> list[PackProblem]:
    """Return what is wrong with a pack's own layouts of statements, read by the adapter of tables."""
    return reconciliation.layout_problems(pack, adapter)


CHECKS: Sequence[PackCheck] = (
    content_problems,
    dimension_problems,
    statement_problems,
    contribution_rules.channel_problems,
    contribution_rules.price_problems,
    fund_rules.dealing_problems,
    benefit_rules.clock_problems,
    benefit_rules.pension_problems,
    benefit_rules.promise_problems,
    layout_problems,
)
"""What capabilities ask of a pack beyond what every pack must hold."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One process's share of a deployment: its settings, database, keys and tenants."""

    settings: Settings
    db: Database
    keys: FileKeyStore
    tenants: Tenants

    @property
    def base_url(self) -> str:
        """Return how others reach us."""
        return self.settings.base_url or f"http://{self.settings.host}:{self.settings.port}"


@dataclass(frozen=True, slots=True)
class DatabaseURLs:
    """The application's URL and, where this process may migrate, the owner's."""

    app: str
    owner: str | None


@contextmanager
def running_database(settings: Settings) -> Iterator[DatabaseURLs]:
    """Return the URLs of the database; without DATABASE_URL, of the embedded server, which runs as long as it is used."""
    if settings.database_url is not None:
        yield DatabaseURLs(settings.database_url, settings.database_owner_url)
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with EmbeddedServer(settings.data_dir / "postgres", settings.postgres_port) as server:
        urls = provision(server, "akiba")
        yield DatabaseURLs(urls.app, urls.owner)


def upgrade(urls: DatabaseURLs, settings: Settings) -> None:
    """Bring the database to the newest schema, as the owner; nothing happens where it is there."""
    config = _alembic()
    config.attributes["owner_url"] = urls.owner or settings.owner_url()
    config.attributes["app_role"] = make_url(urls.app).username
    command.upgrade(config, "head")


def is_at_head(app_url: str) -> bool:
    """Return whether the database's schema is this version's."""
    engine = create_engine(driver_url(app_url), poolclass=pool.NullPool)
    try:
        with engine.connect() as connection:
            if connection.scalar(text("select to_regclass('alembic_version') is null")):
                return False
            heads = set(MigrationContext.configure(connection).get_current_heads())
    finally:
        engine.dispose()
    return heads == set(ScriptDirectory.from_config(_alembic()).get_heads())


def _alembic() -> Config:
    return Config(str(ROOT / "alembic.ini"))


@asynccontextmanager
async def open_deployment(settings: Settings, urls: DatabaseURLs) -> AsyncIterator[Deployment]:
    """Open the database and the keys, check the packs, and serve the tenants there are."""
    tenants = Tenants.load(settings.packs, KINDS, RUNNERS, checks=CHECKS, profile=settings.profile)
    db = Database(urls.app, pool_size=settings.pool_size)
    try:
        deployment = Deployment(settings, db, FileKeyStore(settings.keys_file, settings.profile), tenants)
        await tenants.activate(db)
        yield deployment
    finally:
        await db.dispose()


def adapter(port: str, name: str) -> Any:
    """Return the adapter that packs call `name`, installed for `port`.

    Raises:
        KeyError: none of that name is installed; the message lists those that are.
    """
    installed = {point.name: point for point in entry_points(group=f"akiba.{port}")}
    if name not in installed:
        raise KeyError(f"no {port} adapter is called {name}; installed: {', '.join(sorted(installed)) or 'none'}")
    return installed[name].load()()
