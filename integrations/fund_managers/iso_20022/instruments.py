"""How a fund is named in a message: by its ISIN, else by a code of its manager's own. Pure."""

from lxml import etree
from stdnum import isin

from engine.kernel.xml_documents import Builder, Node

PREFIX = "urn:iso:std:iso:20022:tech:xsd:"
OWN_CODES = "FUND"
"""What a manager's own codes are said to be taken from."""
Element = etree._Element  # noqa: SLF001 - the only name that lxml gives the type


def identification(make: Builder, fund_code: str) -> Element:
    """Return the instrument's identification as setr messages have it."""
    if isin.is_valid(fund_code):
        return make.path("FinInstrmDtls/Id/ISIN", fund_code)
    return make.path("FinInstrmDtls/Id/OthrPrtryId", make("Id", fund_code), make.path("IdSrc/Prtry", OWN_CODES))


def fund_code_of(node: Node) -> str:
    """Return the fund an element with `FinInstrmDtls` is about; Wrong if it names none.

    A price report may name a fund up to ten times over, each time by another scheme of codes: the ISIN goes first.
    """
    return node.need_text("FinInstrmDtls/Id/ISIN", "FinInstrmDtls/Id/OthrPrtryId/Id")
