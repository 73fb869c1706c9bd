"""Composition of what fund managers leave for us: each file goes to the use case that it is for."""

from collections.abc import Callable
from enum import StrEnum

from engine.funds import service as funds
from engine.funds.service import JoinedManager
from engine.kernel.file_drops import take_in
from engine.kernel.files import FileRefused, NamedFile
from engine.reconciliation import service as reconciliation
from engine.reconciliation.errors import UnreadableHoldings
from engine.runtime.database import Database
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant

_ACTOR = "system:fund-managers"
_OF_ANOTHER_KIND = frozenset({"unknown-message", "unknown-layout"})
_log = get_logger(__name__)


class _Kind(StrEnum):
    CONFIRMATIONS = "confirmations"
    PRICES = "prices"
    HOLDINGS = "holdings"


async def take_manager_files(db: Database, tenant: Tenant, manager: JoinedManager) -> int:
    """Take in every file that a manager left: confirmations, prices, holdings; return how many there were.

    A file is put away once what it says is kept, so that a crash brings it again, and then it changes nothing. One that is none
    of them is kept as a refused file of confirmations.

    Raises:
        Unreachable, Unanswered: the manager's place cannot be looked at.
    """

    async def is_known(_sha256: str) -> bool:
        return False  # each use case knows the bytes that it has had, and says so

    async def keep(file: NamedFile) -> None:
        await _keep(db, tenant, manager, file)

    taken = await take_in(manager.drop, is_known=is_known, keep=keep)
    for refused in taken.refused:
        _log.warning("a file stays where it is", tenant=tenant.code, adapter=manager.name, kind=refused.reason)
    return len(taken.new)


async def _keep(db: Database, tenant: Tenant, manager: JoinedManager, file: NamedFile) -> None:
    kind = kind_of(manager, file)
    if kind is _Kind.PRICES:
        report = await funds.import_prices(
            db, tenant, manager.adapter, file.raw, file.name, None, _ACTOR, manager_code=manager.table.deals_for
        )
        is_refused = report.is_refused
    elif kind is _Kind.HOLDINGS:
        is_refused = False
        try:
            await reconciliation.import_holdings(db, tenant, manager.adapter, file.raw, file.name, _ACTOR)
        except UnreadableHoldings:
            is_refused = True
    else:
        is_refused = (await funds.import_confirmations(db, tenant, manager, file.raw, file.name, _ACTOR)).is_refused
    if is_refused:
        _log.warning("a file was refused", tenant=tenant.code, adapter=manager.name, kind=kind)


def kind_of(manager: JoinedManager, file: NamedFile) -> _Kind:
    """Return what a file is about, by which of the manager's messages or layouts it is; confirmations if it is none."""
    readers: dict[_Kind, Callable[[], object]] = {
        _Kind.CONFIRMATIONS: lambda: manager.adapter.read_confirmations(file.raw, file.name),
        _Kind.PRICES: lambda: manager.adapter.read(file.raw, file.name, None),
        _Kind.HOLDINGS: lambda: manager.adapter.read_holdings(file.raw, file.name),
    }
    for kind, read in readers.items():
        try:
            read()
        except FileRefused as refused:
            if refused.reason in _OF_ANOTHER_KIND:
                continue
        return kind
    return _Kind.CONFIRMATIONS
