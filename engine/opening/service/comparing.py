"""What the files of another scheme come to, beside what its manifest says; and what stands against members' holdings."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.rules import DealingRule, Fund, FundsRule
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account
from engine.opening import queries
from engine.opening.errors import UnreadableOpening
from engine.opening.rules import MANIFEST, Manifest, opens_on
from engine.tenancy.service import Tenant

Place = tuple[str, str, str, str]
"""Product, pot, origin, and fund; the fund is "" for money."""


class Compared(Struct, frozen=True):
    """A figure of the manifest beside what the files come to. Decimal strings; counts are whole."""

    what: str
    manifest: str
    files: str

    @property
    def agrees(self) -> bool:
        """Return whether they are the same."""
        return Decimal(self.manifest) == Decimal(self.files)


def dealt_in(tenant: Tenant, product: str, as_of: date) -> tuple[Fund, ...]:
    """Return the funds that a product deals in on the day after `as_of`."""
    day = opens_on(as_of)
    found = tenant.rule(FundsRule, product=product, dates=Dates(on=day, joined_on=day))
    return () if found is None else found.rule.funds


async def compare(
    session: AsyncSession,
    tenant: Tenant,
    manifest: Manifest,
    opening_no: int,
    codes: Mapping[Place, int],
    counts: Mapping[str, int],
) -> list[Compared]:
    """Compare staged rows with the manifest, and keep what stands against members' holdings.

    Args:
        session: the transaction that staged them.
        tenant: the scheme that takes over.
        manifest: what they must come to.
        opening_no: the opening.
        codes: the accounts that members may hold.
        counts: rows read, by kind of file.

    Raises:
        UnreadableOpening: the manifest names a channel or fund that the scheme has not, or units it does not count.
    """
    found = [
        Compared(f"rows of {kind}", str(getattr(manifest.counts, kind)), str(counts.get(kind, 0)))
        for kind in ("members", "holdings", "history")
    ]
    places = {code: place for place, code in codes.items()}
    files = {places[code]: sums for code, sums in (await queries.held(session, opening_no)).items()}
    said = {(one.product, one.pot, one.origin, one.fund): (one.amount, one.cost) for one in manifest.totals}
    for place in sorted(files.keys() | said.keys()):
        amount, cost = files.get(place, (0, 0))
        name = " ".join(part for part in place if part)
        told = said.get(place, ("0", "0"))
        found.append(Compared(name, told[0], _fixed(amount, _asset(tenant, manifest, place).scale)))
        if place[3]:
            found.append(Compared(f"{name} cost", told[1], _fixed(cost, tenant.asset.scale)))
    paid = await queries.paid(session, opening_no)
    paid_said = {(one.product, one.pot, one.origin): one.amount for one in manifest.paid}
    found += [
        Compared(f"paid {' '.join(one)}", paid_said.get(one, "0"), _fixed(paid.get(one, 0), tenant.asset.scale))
        for one in sorted(paid.keys() | paid_said.keys())
    ]
    members: dict[str, int] = {}
    for place, (amount, _) in files.items():
        members[place[3]] = members.get(place[3], 0) + amount
    accounts: list[tuple[Account, int]] = []
    found.append(_cash(tenant, manifest, members.pop("", 0), accounts))
    found += _units(tenant, manifest, members, accounts)
    pairs = [(account, Account("opening", account.asset), amount) for account, amount in accounts if amount]
    known = await ledger.account_codes(session, {one for pair in pairs for one in pair[:2]})
    await queries.add_controls(
        session, opening_no, [(known[one], known[other], amount) for one, other, amount in pairs]
    )
    return found


def _cash(tenant: Tenant, manifest: Manifest, members: int, accounts: list[tuple[Account, int]]) -> Compared:
    told = "0"
    if manifest.cash is not None:
        told = manifest.cash.amount
        channels = [one.code for one in tenant.pack.channels]
        if manifest.cash.channel not in channels:
            raise UnreadableOpening(file=MANIFEST, reason=f"cash.channel: allowed: {', '.join(channels)}")
        accounts.append((Account("collections", tenant.asset.symbol, party=manifest.cash.channel), members))
    return Compared("the scheme's cash", told, _fixed(members, tenant.asset.scale))


def _units(
    tenant: Tenant, manifest: Manifest, members: Mapping[str, int], accounts: list[tuple[Account, int]]
) -> list[Compared]:
    """Compare units that managers hold, less their residue, with members'; add the accounts that stand against them."""
    known = {
        fund.code: (fund, product.code)
        for product in tenant.pack.products
        for fund in dealt_in(tenant, product.code, manifest.as_of)
    }
    told = {one.code: one for one in manifest.funds}
    found = []
    for code in sorted(told.keys() | members.keys()):
        if code not in known:
            raise UnreadableOpening(file=MANIFEST, reason=f"funds.code: allowed: {', '.join(sorted(known)) or 'none'}")
        fund, product = known[code]
        asset = Asset(code, fund.unit_scale)
        units, left = (_parsed(told[code].units, asset), _parsed(told[code].residue, asset)) if code in told else (0, 0)
        held = members.get(code, 0)
        name = f"units of {code} less residue"
        found.append(Compared(name, _fixed(units - left, asset.scale), _fixed(held, asset.scale)))
        accounts.append((Account("units-issued", code, fund=code), held + left))
        rule = tenant.rule(DealingRule, product=product, dates=Dates(on=opens_on(manifest.as_of)))
        owner = rule.rule.residue_to if rule else ""
        accounts.append((Account("residue", code, fund=code, party=owner), left))
    return found


def _parsed(text: str, asset: Asset) -> int:
    try:
        return Amount.parse(text, asset).units
    except NotWholeUnits:
        reason = f"funds: {asset.symbol} is counted to {asset.scale} decimals"
        raise UnreadableOpening(file=MANIFEST, reason=reason) from None


def _asset(tenant: Tenant, manifest: Manifest, place: Place) -> Asset:
    product, _, _, fund = place
    dealt = dealt_in(tenant, product, manifest.as_of) if fund and product in tenant.pack.books else ()
    return next((Asset(fund, one.unit_scale) for one in dealt if one.code == fund), tenant.asset)


def _fixed(smallest: int, scale: int) -> str:
    return f"{Decimal(smallest).scaleb(-scale):.{scale}f}"
