"""What every benchmark stands on: a server of its own with full durability, a migrated database, a tenant, filled tables."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import URL

from engine.app import DatabaseURLs, upgrade
from engine.runtime.embedded_postgres import EmbeddedServer, ephemeral_server, provision
from engine.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Stage:
    """A database ready to be measured. `super_url` bypasses row-level security: COPY cannot run under it."""

    app_url: str
    owner_url: str
    super_url: str
    tenant_id: int
    collections: int
    cash: int


@contextmanager
def stage(settings: Settings) -> Iterator[Stage]:
    """Start a server and prepare a database with one tenant and its first two accounts; leave nothing behind."""
    with ephemeral_server({"max_wal_size": "8GB", "shared_buffers": "1GB"}) as server:
        yield prepare(server, settings)


def prepare(server: EmbeddedServer, settings: Settings) -> Stage:
    """Provision and migrate a fresh database."""
    name = f"bench_{secrets.token_hex(3)}"
    urls = provision(server, name)
    upgrade(DatabaseURLs(urls.app, urls.owner), settings)
    super_url = URL.create(
        "postgresql", "postgres", server.credentials.password("postgres"), "127.0.0.1", server.port, name
    ).render_as_string(hide_password=False)
    with psycopg.connect(urls.app) as connection:
        tenant_id = _one(connection, "insert into tenants (code) values ('xx-bench') returning tenant_id")
        connection.execute("select set_config('app.tenant', %s, true)", (str(tenant_id),))
        connection.execute("insert into assets values (%s, 1, 2, 'INR', 'money')", (tenant_id,))
        collections = _one(
            connection, "select open_account(%s,'INR','collections','','','','','upi',false)", (tenant_id,)
        )
        cash = _one(
            connection, "select open_account(%s,'INR','cash','nps-lite','retirement','own','','',true)", (tenant_id,)
        )
    return Stage(urls.app, urls.owner, super_url, tenant_id, collections, cash)


def _one(connection: psycopg.Connection, statement: str, values: tuple[object, ...] = ()) -> int:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return int(row[0])


MEMBERS = 100_000


def member(number: int) -> int:
    """Return the id of the n-th of `MEMBERS` members: spread over the key's range as random ids are."""
    return (number * 0x9E3779B97F4A7C15 & (1 << 62) - 1) | 1 << 61


def fill(where: Stage, contributions: int, *, members: int = MEMBERS) -> None:
    """Add past contributions to the books, set-based, and analyse: the measured tables are never empty or unknown."""
    days = "generate_series(0, %(n)s - 1) g"
    event = "(%(base)s + (g / 1000) * 4096 + g %% 1000)"
    who = "(((g %% %(members)s)::numeric * 11400714819323198485 %% 4611686018427387904)::bigint | (1::bigint << 61))"
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        base = _one(connection, "select next_batch_id() - (%s::bigint << 22)", (86_400_000,))
        values = {
            "n": contributions, "base": base, "members": members, "t": where.tenant_id, "debit": where.collections,
            "credit": where.cash,
        }  # fmt: skip
        for statement in (
            f"""insert into events select {who}, {event}, g, %(t)s, date '2023-04-03', 1, 1, 1, 10,
                jsonb_build_object('ref', encode(substring(sha256(g::text::bytea) for 16), 'base64'), 'amount', '50000', 'channel', 'upi')
                from {days}""",
            f"insert into transfers select {who}, {event}, 50000, %(t)s, %(debit)s, %(credit)s, 1 from {days}",
            f"insert into claims select gen_random_uuid(), {event}, %(t)s from {days}",
            f"""insert into balances select {who}, 0, 50000 * count(*), %(t)s, %(credit)s from {days} group by 1
                on conflict (member_id, code) do update set credits = balances.credits + excluded.credits""",
        ):
            connection.execute(statement, values)
        for table in ("events", "transfers", "claims", "balances"):
            connection.execute(sql.SQL("vacuum analyze {}").format(sql.Identifier(table)))
        connection.execute("checkpoint")
