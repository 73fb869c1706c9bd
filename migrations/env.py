"""Alembic's environment: runs the migrations as the owner role, given by DATABASE_OWNER_URL or by the caller."""

import os

from alembic import context
from sqlalchemy import create_engine, pool


def run() -> None:
    """Run the migrations in one transaction each, under a lock timeout."""
    url = context.config.attributes.get("owner_url") or os.environ["DATABASE_OWNER_URL"]
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
