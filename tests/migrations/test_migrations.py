"""The migrations, on a database of their own: one chain, one go, and walls, grants and roles as the design has them."""

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

from tests.conftest import create_database, migrate

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "migrations" / "versions"

NOT_WALLED = {
    "tenants": "says which tenants there are: whose request it is must be found before its tenant is known",
    "alembic_version": "the migrations' own",
    "procrastinate_jobs": "the queue: a job names its tenant by number and holds nothing of a member's",
    "procrastinate_events": "the queue's own",
    "procrastinate_periodic_defers": "the queue's own",
    "procrastinate_workers": "the queue's own",
}
"""The tables that every tenant shares, and why each may be."""

BOOKS = ("events", "transfers", "claims", "batches", "corrections", "decisions", "assets", "chart")
LOG = ("audit_batches", "audit_checkpoints")
PAPERS = ("statements", "statement_lines", "matches", "suspense_resolutions", "vault_reads", "funds")
GROUPS = ("akiba_sequencer", "akiba_jobs")


@dataclass(frozen=True)
class Fresh:
    """A database that was migrated from nothing to the newest schema in one go, and nothing else."""

    app_url: str
    owner_url: str
    superuser_url: str

    @property
    def app(self) -> str:
        return str(make_url(self.app_url).username)

    @property
    def owner(self) -> str:
        return str(make_url(self.owner_url).username)


@pytest.fixture(scope="module")
def fresh(superuser_url: str) -> Fresh:
    app_url, owner_url = create_database(superuser_url, f"m{secrets.token_hex(5)}")
    migrate(owner_url, app_url)
    database = make_url(app_url).database
    here = make_url(superuser_url).set(database=database).render_as_string(hide_password=False)
    return Fresh(app_url, owner_url, here)


@pytest.fixture
def catalogue(fresh: Fresh) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """PostgreSQL's own tables of that database, as a superuser reads them."""
    with psycopg.connect(fresh.superuser_url) as connection:
        yield connection


@pytest.fixture
def app(fresh: Fresh) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The database as the application is let into it."""
    with psycopg.connect(fresh.app_url) as connection:
        yield connection


Catalogue = psycopg.Connection[tuple[object, ...]]


def dump(connection: Catalogue) -> list[tuple[object, ...]]:
    """Return every table, column, index, policy, trigger, function and grant there is."""
    return connection.execute("""
        select 'column', c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, c.relacl::text
          from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
         where c.relnamespace = 'public'::regnamespace
        union all select 'policy', polrelid::regclass::text, polname, pg_get_expr(polqual, polrelid), polcmd::text, '' from pg_policy
        union all select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', '' from pg_trigger where not tgisinternal
        union all select 'function', oid::regprocedure::text, md5(prosrc), '', '', proacl::text from pg_proc
         where pronamespace = 'public'::regnamespace
        union all select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '' from pg_constraint
         where connamespace = 'public'::regnamespace
        order by 1, 2, 3, 4""").fetchall()


def tables(connection: Catalogue) -> set[str]:
    """Return every table of ours, partitions too."""
    rows = connection.execute(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    )
    return {str(name) for (name,) in rows.fetchall()}


# -- the chain


def test_there_is_one_head_and_every_step_leads_to_it() -> None:
    scripts = ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini")))
    walked = [script.revision for script in scripts.walk_revisions()]

    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1
    assert sorted(walked) == sorted(path.stem for path in VERSIONS.glob("*.py"))


def test_a_fresh_database_arrives_at_the_head(catalogue: Catalogue) -> None:
    (head,) = ScriptDirectory.from_config(Config(str(ROOT / "alembic.ini"))).get_heads()

    assert catalogue.execute("select version_num from alembic_version").fetchall() == [(head,)]


def test_a_second_upgrade_does_nothing(fresh: Fresh, catalogue: Catalogue) -> None:
    before = dump(catalogue)
    catalogue.commit()
    migrate(fresh.owner_url, fresh.app_url)

    assert len(before) > 300
    assert dump(catalogue) == before


def test_the_migrations_need_no_superuser(catalogue: Catalogue, fresh: Fresh) -> None:
    assert catalogue.execute(
        "select rolsuper, rolbypassrls, rolcreatedb, rolreplication from pg_roles where rolname = %s", (fresh.owner,)
    ).fetchone() == (False, False, False, False)


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_every_step_waits_for_locks_a_little_and_says_what_it_is(path: Path) -> None:
    """A migration that waits for a lock makes everyone behind it wait too."""
    source = path.read_text()
    first, *_ = re.findall(r"op\.execute\((.*)", source)

    assert "set local lock_timeout = '5s'" in first
    assert re.search(r"^Step: (expand|backfill|contract)\.$", source, re.MULTILINE)


# -- walls


def test_every_table_of_a_tenant_is_walled_off_and_forced(catalogue: Catalogue) -> None:
    walled = catalogue.execute("""
        select c.relname from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and c.relrowsecurity and c.relforcerowsecurity
           and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and a.attnotnull)
           and (select count(*) from pg_policy p where p.polrelid = c.oid) = 1
           and exists (select from pg_policy p where p.polrelid = c.oid and p.polcmd = '*' and p.polroles = '{0}' and p.polpermissive
                          and pg_get_expr(p.polqual, c.oid) = pg_get_expr(p.polwithcheck, c.oid)
                          and pg_get_expr(p.polqual, c.oid) like '(tenant_id = ( SELECT (NULLIF(current_setting(''app.tenant''%')
        """).fetchall()

    assert tables(catalogue) - {str(name) for (name,) in walled} == set(NOT_WALLED)


def test_what_is_not_walled_off_holds_no_members(catalogue: Catalogue) -> None:
    columns = catalogue.execute(
        "select a.attname from pg_attribute a where a.attrelid = any (%s::regclass[]) and a.attnum > 0",
        ([*NOT_WALLED],),
    ).fetchall()

    assert not [name for (name,) in columns if re.search("member|person|amount|document", str(name))]


def test_there_is_no_view_that_looks_over_the_wall(catalogue: Catalogue) -> None:
    """A view reads as its owner; and a function that runs as its owner would be a gate in the wall."""
    assert (
        catalogue.execute(
            "select oid::regclass from pg_class where relnamespace = 'public'::regnamespace and relkind in ('v', 'm')"
        ).fetchall()
        == []
    )
    assert (
        catalogue.execute(
            "select oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace and prosecdef"
        ).fetchall()
        == []
    )


def test_who_names_no_tenant_sees_and_writes_nothing(app: Catalogue, catalogue: Catalogue) -> None:
    """Not even the owner, for whom the wall is forced."""
    for table in sorted(tables(catalogue) - set(NOT_WALLED)):
        readable = catalogue.execute("select has_table_privilege(%s, %s, 'select')", (app.info.user, table)).fetchone()
        if readable == (True,):
            assert app.execute(f"select count(*) from {table}").fetchone() == (0,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        app.execute("insert into actors values (1, 1, 'nobody')")


# -- roles and grants


def test_the_application_owns_nothing_and_stands_above_nothing(fresh: Fresh, catalogue: Catalogue) -> None:
    assert catalogue.execute(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = %s",
        (fresh.app,),
    ).fetchone() == (False, False, False, False, False)
    for owned in (
        "pg_class where relowner",
        "pg_proc where proowner",
        "pg_namespace where nspowner",
        "pg_type where typowner",
    ):
        assert catalogue.execute(f"select count(*) from {owned} = %s::regrole", (fresh.app,)).fetchone() == (0,)
    assert catalogue.execute(
        "select has_schema_privilege(%s, 'public', 'create'), has_database_privilege(%s, current_database(), 'create')",
        (fresh.app, fresh.app),
    ).fetchone() == (False, False)


@pytest.mark.parametrize("table", [*BOOKS, *LOG, *PAPERS])
@pytest.mark.parametrize("privilege", ["update", "delete", "truncate", "trigger", "references"])
def test_nobody_may_change_the_books(fresh: Fresh, catalogue: Catalogue, table: str, privilege: str) -> None:
    """Neither the application nor the roles that it can take on, on no column and on no partition."""
    family = catalogue.execute("select relid::regclass::text from pg_partition_tree(%s)", (table,)).fetchall() or [
        (table,)
    ]
    for role in (fresh.app, *GROUPS):
        for (one,) in family:
            assert catalogue.execute("select has_table_privilege(%s, %s, %s)", (role, one, privilege)).fetchone() == (
                False,
            )
            if privilege in {"update", "references"}:
                assert catalogue.execute(
                    "select has_any_column_privilege(%s, %s, %s)", (role, one, privilege)
                ).fetchone() == (False,)


@pytest.mark.parametrize("statement", ["update {} set tenant_id = tenant_id", "delete from {}", "truncate {}"])
@pytest.mark.parametrize("table", ["events", "transfers", "claims", "batches"])
def test_the_application_is_refused_a_change_of_the_books(app: Catalogue, table: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement.format(table))


@pytest.mark.parametrize("table", ["events", "events_default", "transfers", "transfers_202612", "claims", "batches"])
def test_the_owner_is_refused_it_too(fresh: Fresh, table: str) -> None:
    """By triggers, which only a migration could take away."""
    with (
        psycopg.connect(fresh.owner_url) as owner,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        owner.execute(f"truncate {table} cascade")


def test_a_row_of_the_books_stays_as_it_was_written(fresh: Fresh) -> None:
    with psycopg.connect(fresh.owner_url) as owner:
        owner.execute("select set_config('app.tenant', '1', true)")
        owner.execute("insert into events values (-1, 1, 0, 1, '2023-04-03', 1, 1, 0, 50, '{}')")
        for change in ("update events set kind = 51", "delete from events", "delete from events_default"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"), owner.transaction():
                owner.execute(change)
        owner.rollback()


@pytest.mark.parametrize("role", GROUPS)
def test_the_group_roles_are_nobodys_login(fresh: Fresh, catalogue: Catalogue, role: str) -> None:
    assert catalogue.execute(
        "select rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolinherit from pg_roles where rolname = %s",
        (role,),
    ).fetchone() in {(False, False, False, False, True), (False, False, False, False, False)}
    url = make_url(fresh.app_url).set(username=role).render_as_string(hide_password=False)
    with pytest.raises(psycopg.OperationalError, match=r"not permitted to log in|password authentication failed"):
        psycopg.connect(url, connect_timeout=5)


@pytest.mark.parametrize("role", GROUPS)
def test_the_application_takes_a_group_role_on_purpose_alone(fresh: Fresh, catalogue: Catalogue, role: str) -> None:
    """By SET ROLE in one transaction, never by inheriting its rights."""
    assert catalogue.execute(
        "select pg_has_role(%s, %s, 'SET'), pg_has_role(%s, %s, 'USAGE'), pg_has_role(%s, %s, 'MEMBER WITH ADMIN OPTION')",
        (fresh.app, role) * 3,
    ).fetchone() == (True, False, False)


DELETES = {
    "akiba_sequencer": {"unsequenced"},
    "akiba_jobs": {"control_deltas", "allocations", "sales", "unmatched_lines", "unallocated"},
}


@pytest.mark.parametrize("role", GROUPS)
def test_the_group_roles_delete_what_they_are_there_for_alone(catalogue: Catalogue, role: str) -> None:
    found = {
        one
        for one in tables(catalogue)
        if catalogue.execute("select has_table_privilege(%s, %s, 'delete')", (role, one)).fetchone() == (True,)
    }

    assert found == DELETES[role]


def test_the_application_deletes_no_money(fresh: Fresh, catalogue: Catalogue) -> None:
    found = {
        one
        for one in tables(catalogue)
        if catalogue.execute("select has_table_privilege(%s, %s, 'delete')", (fresh.app, one)).fetchone() == (True,)
    }

    assert {one for one in found if not one.startswith("procrastinate_")} == {
        "staff_links", "staff_sessions", "member_keys", "person_indexes", "ussd_sessions", "ussd_pins", "held_numbers",
        "name_tokens", "named_members", "death_candidates", "payment_marks", "telephones",
    }  # fmt: skip


def test_nothing_is_granted_to_everybody(catalogue: Catalogue) -> None:
    assert (
        catalogue.execute(
            "select oid::regclass from pg_class, aclexplode(relacl) a where relnamespace = 'public'::regnamespace and a.grantee = 0"
        ).fetchall()
        == []
    )
    assert catalogue.execute("select has_schema_privilege('public', 'public', 'create')").fetchone() == (False,)


# -- partitions


def test_new_partitions_are_walled_off_like_the_first(fresh: Fresh) -> None:
    """`make_partitions` runs every month for years, long after the migration."""
    with psycopg.connect(fresh.owner_url) as owner:
        owner.execute("select make_partitions(date '2031-01-01', 1)")
        walls = owner.execute("""
            select relrowsecurity, relforcerowsecurity, (select count(*) from pg_policy where polrelid = c.oid),
                   (select count(*) from pg_trigger where tgrelid = c.oid and not tgisinternal)
              from pg_class c where relname in ('events_203101', 'transfers_203101')""").fetchall()
        granted = owner.execute("select has_table_privilege(%s, 'events_203101', 'select')", (fresh.app,)).fetchone()
        owner.rollback()

    assert walls == [(True, True, 1, 2)] * 2
    assert granted == (False,)  # reached by its parent alone


# -- the linter


def test_squawk_finds_nothing_in_the_migrations() -> None:
    squawk = Path(sys.executable).with_name("squawk")
    files = sorted(map(str, VERSIONS.glob("*.sql")))
    found = subprocess.run(
        [squawk, "--config", ROOT / ".squawk.toml", *files], capture_output=True, text=True, timeout=120, check=False
    )

    assert found.returncode == 0, found.stdout


def test_squawk_would_find_something(tmp_path: Path) -> None:
    """What is left out of its rules leaves those in that keep a served scheme from standing still."""
    bad = tmp_path / "bad.sql"
    bad.write_text(
        "create index i on events (kind);\nalter table members drop column status;\n"
        "alter table members alter column product type varchar(20);\nalter table members add constraint c check (true);\n"
    )
    squawk = Path(sys.executable).with_name("squawk")
    found = subprocess.run(
        [squawk, "--config", ROOT / ".squawk.toml", "--reporter", "gcc", bad],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert found.returncode == 1
    for rule in (
        "require-concurrent-index-creation",
        "ban-drop-column",
        "changing-column-type",
        "constraint-missing-not-valid",
    ):
        assert rule in found.stdout
