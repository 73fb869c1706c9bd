"""reda.001.001.04, read. Pure: bytes in, values out.

The message's namespace is ISO's in the catalogue of today and SWIFT's in the schema that managers were first given; both are
read, and say the same.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from engine.kernel.file_values import decimal_of, iso_day, sha256_of
from engine.kernel.files import Wrong
from engine.kernel.price_files import ROW_TEXT_MAX, PriceFile, PriceFileRefused, PublishedPrice, RefusedRow
from engine.kernel.prices import MAX_PRICE_SCALE
from engine.kernel.xml_documents import Node, namespace_of, read_document
from integrations.fund_managers.iso_20022.instruments import PREFIX, fund_code_of

NAMESPACES = (f"{PREFIX}reda.001.001.04", "urn:swift:xsd:reda.001.001.04")
NET_ASSET_VALUE = "NAVL"
REPLACES = "REPL"
_YES = ("true", "1")


def read_prices(raw: bytes, name: str, day: date | None, manager_code: str) -> PriceFile:
    """Return the report's official net asset values per unit of `day`, else of its one day.

    An estimate, a fund in suspension and a valuation of another day are refused rows. `manager_code` is that of funds
    whose manager the report does not name.

    Raises:
        PriceFileRefused: it is no price report, has no price of the day, or one fund has two prices.

    """
    try:
        return _read(raw, name, day, manager_code)
    except Wrong as wrong:
        raise PriceFileRefused(
            file=name, row=wrong.row, field=wrong.field, reason=wrong.reason, detail=wrong.detail
        ) from wrong


def _read(raw: bytes, name: str, day: date | None, manager_code: str) -> PriceFile:
    document = read_document(raw)
    if namespace_of(document) not in NAMESPACES:
        raise Wrong("Document", "unknown-message", f"Its namespace is {namespace_of(document)[:80]!r}.")
    report = Node(document).need("PricRpt")
    if report.text("MsgPgntn/LastPgInd") not in _YES or report.text("MsgPgntn/PgNb").lstrip("0") != "1":
        raise Wrong("MsgPgntn", "unknown-message", "Reports of several pages are not read.", row=report.row)
    valuations = report.all("PricValtnDtls")
    days = [_day(one) for one in valuations]
    own_day = day or _only_day(days, name)
    if own_day not in days:
        raise PriceFileRefused(
            file=name, row=None, field="NAVDtTm", reason="no-row-of-the-day", detail=f"It is {own_day}."
        )
    read = [_price(one, own_day, manager_code) for one in valuations]
    prices = [one for one in read if isinstance(one, PublishedPrice)]
    _check_one_a_fund(prices, name)
    return PriceFile(
        name=name,
        sha256=sha256_of(raw),
        day=own_day,
        prices=tuple({one.fund_code: one for one in reversed(prices)}.values())[::-1],
        refused=tuple(one for one in read if isinstance(one, RefusedRow)),
        is_correction=report.text("Fctn") == REPLACES,
    )


def _day(valuation: Node) -> date:
    return iso_day(valuation.need_text("NAVDtTm/Dt", "NAVDtTm/DtTm"), "NAVDtTm", row=valuation.row)


def _only_day(days: Sequence[date], name: str) -> date:
    if not days:
        raise Wrong("PricValtnDtls", "no-content")
    [(found, _), *others] = Counter(days).most_common(2)
    if others:
        raise PriceFileRefused(
            file=name, row=None, field="NAVDtTm", reason="day-unclear", detail=f"It holds {found} and {others[0][0]}."
        )
    return found


def _price(valuation: Node, day: date, manager_code: str) -> PublishedPrice | RefusedRow:
    """Return the fund's net asset value per unit, or why there is none to deal at."""
    fund_code = fund_code_of(valuation)
    values = [one for one in valuation.all("PricDtls") if one.text("Tp") == NET_ASSET_VALUE]
    fault = _fault(valuation, values, day)
    value = None if fault else _value(values[0].need("ValInInvstmtCcy/Amt"))
    if not isinstance(value, Decimal):
        field, reason = fault or ("ValInInvstmtCcy", str(value))
        return RefusedRow(valuation.row, field, reason, fund_code[:ROW_TEXT_MAX])
    return PublishedPrice(
        fund_code=fund_code,
        manager_code=valuation.text("FndMgmtCpny/PrtryId/Id") or manager_code,
        name=valuation.text("FinInstrmDtls/Nm"),
        price_on=day,
        price=value,
        row=valuation.row,
    )


def _fault(valuation: Node, values: Sequence[Node], day: date) -> tuple[str, str] | None:
    """Return the field and the reason for which the valuation gives no price to deal at, whatever its value."""
    if _day(valuation) != day:
        return "NAVDtTm", "another-day"
    if valuation.text("SspdInd") in _YES:
        return "SspdInd", "suspended"
    if not values:
        return "PricDtls", "no-price"
    if len(values) > 1 or len(values[0].all("ValInInvstmtCcy")) > 1:
        return "PricDtls", "price-unclear"
    if valuation.text("OffclValtnInd") not in _YES or values[0].text("EstmtdPricInd") in _YES:
        return "OffclValtnInd", "not-official"
    return None


def _value(amount: Node) -> Decimal | str:
    """Return a price, or the reason why it is none."""
    try:
        value = decimal_of(amount.value, "ValInInvstmtCcy", row=amount.row)
    except Wrong:
        return "price-malformed"
    if value <= 0:
        return "price-not-positive"
    value = value.normalize() if value != value.to_integral_value() else value.quantize(Decimal(1))
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return "too-many-decimals" if -exponent > MAX_PRICE_SCALE else value


def _check_one_a_fund(prices: Sequence[PublishedPrice], name: str) -> None:
    known: dict[str, Decimal] = {}
    for one in prices:
        if known.setdefault(one.fund_code, one.price) != one.price:
            raise PriceFileRefused(
                file=name,
                row=one.row,
                field="PricDtls",
                reason="two-prices",
                detail=f"{one.fund_code} on {one.price_on}.",
            )
