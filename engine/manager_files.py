"""Composition of what fund managers leave for us: each file goes to the use case that it is for."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

from engine.funds import service as funds
from engine.funds.ports import CancellingManager
from engine.funds.service import JoinedManager
from engine.kernel.files import FileRefused, NamedFile, Sequence
from engine.places import service as places
from engine.places.service import Taken
from engine.reconciliation import service as reconciliation
from engine.reconciliation.errors import UnreadableHoldings
from engine.runtime.database import Database
from engine.runtime.logging import get_logger
from engine.runtime.secrets import KeyStore
from engine.tenancy.service import Tenant

_ACTOR = "system:fund-managers"
_OF_ANOTHER_KIND = frozenset({"unknown-message", "unknown-layout"})
_log = get_logger(__name__)


class _Kind(StrEnum):
    CONFIRMATIONS = "confirmations"
    PRICES = "prices"
    HOLDINGS = "holdings"
    STATUSES = "statuses"


async def take_manager_files(db: Database, keys: KeyStore, tenant: Tenant, manager: JoinedManager) -> int:
    """Take in every file that a manager left: confirmations, prices, holdings, how far orders are; return how many there were.

    One that is none of them is kept as a refused file of confirmations.

    Raises:
        Unreachable, Unanswered: the manager's place cannot be looked at.
    """
    return await places.take_files(
        db, keys, tenant, manager.name, manager.drop, lambda file: _read(db, tenant, manager, file)
    )


async def _read(db: Database, tenant: Tenant, manager: JoinedManager, file: NamedFile) -> Taken:
    kind, sequence = look(manager, file)
    refusal = ""
    if kind is _Kind.PRICES:
        report = await funds.import_prices(
            db, tenant, manager.adapter, file.raw, file.name, None, _ACTOR, manager_code=manager.table.deals_for
        )
        refusal = "; ".join(report.lines()) if report.is_refused else ""
    elif kind is _Kind.HOLDINGS:
        try:
            await reconciliation.import_holdings(db, tenant, manager.adapter, file.raw, file.name, _ACTOR)
        except UnreadableHoldings as refused:
            refusal = str(refused)
    elif kind is _Kind.STATUSES:
        refusal = await funds.take_statuses(db, tenant, manager, file.raw, file.name)
    else:
        refusal = (await funds.import_confirmations(db, tenant, manager, file.raw, file.name, _ACTOR)).refusal
    if refusal:
        _log.warning("a file was refused", tenant=tenant.code, adapter=manager.name, kind=kind)
    return Taken(kind, refusal, sequence)


def look(manager: JoinedManager, file: NamedFile) -> tuple[_Kind, Sequence | None]:
    """Return what a file is about, by which of the manager's messages or layouts it is, and what its sender calls it.

    Confirmations if it is none; no number where it cannot be read, or its files have none.
    """
    readers: dict[_Kind, Callable[[], Any]] = {
        _Kind.CONFIRMATIONS: lambda: manager.adapter.read_confirmations(file.raw, file.name),
        _Kind.PRICES: lambda: manager.adapter.read(file.raw, file.name, None),
        _Kind.HOLDINGS: lambda: manager.adapter.read_holdings(file.raw, file.name),
    }
    if isinstance(manager.adapter, CancellingManager):
        readers[_Kind.STATUSES] = partial(manager.adapter.read_statuses, file.raw, file.name)
    for kind, read in readers.items():
        try:
            return kind, read().sequence
        except FileRefused as refused:
            if refused.reason in _OF_ANOTHER_KIND:
                continue
        return kind, None
    return _Kind.CONFIRMATIONS, None
