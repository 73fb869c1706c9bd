"""The books as a plain-text journal that hledger reads (hledger 1.25 manual, "journal format")."""

import re
from collections.abc import Iterable

_BARE = re.compile(r"[A-Za-z]+")


def commodity(asset: str) -> str:
    """Return an asset as a commodity symbol: in quotation marks unless it is letters alone."""
    if _BARE.fullmatch(asset):
        return asset
    assert '"' not in asset, asset
    assert "\n" not in asset, asset
    return f'"{asset}"'


def head(title: str, assets: Iterable[tuple[str, int]], accounts: Iterable[str]) -> Iterable[str]:
    """Yield what declares each (asset, decimals) and each account, so that a strict reader knows every one."""
    yield f"; {title}\ndecimal-mark .\n\n"
    for asset, scale in assets:
        yield f"commodity 1000.{'0' * scale} {commodity(asset)}\n"
    yield "\n"
    for account in accounts:
        yield f"account {account}\n"


def opening(day: str, balances: Iterable[tuple[str, str, str]]) -> Iterable[str]:
    """Yield one transaction that brings each (account, amount, asset) to its opening balance; debits are positive."""
    yield f"\n{day} opening balances\n"
    for account, amount, asset in balances:
        yield f"    {account}  {amount} {commodity(asset)}\n"


def transaction(day: str, event: str, kind: str) -> str:
    """Return the first line of an event's transaction."""
    return f"\n{day} ({event}) {kind}\n"


def postings(debit: str, credit: str, amount: str, symbol: str) -> str:
    """Return the two lines of a transfer; `symbol` is the commodity."""
    return f"    {debit}  {amount} {symbol}\n    {credit}  -{amount} {symbol}\n"
