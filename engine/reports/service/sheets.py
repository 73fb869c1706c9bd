"""What a paper of the scheme is made of: whose paper it is, figures with their labels, tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from babel.support import Translations
from msgspec import Struct

from engine.funds.rules import FundsRule
from engine.kernel.text import N_
from engine.tenancy.service import Tenant

ASSUMED = N_("The sources do not settle this. Assumed: {assumption}")
ASSUMED_LEAD = N_("The sources do not settle this. Assumed:")
ASSUMED_LEAD_QUOTED = N_("The sources do not settle this. Assumed, in the words of the rule book:")
ASSUMED_QUOTED = N_("The sources do not settle this. Assumed, in the words of the rule book: “{assumption}”")


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Whose paper a statement is on, and in which language: names, colours, logo, words, the locale of figures."""

    scheme: str
    language: str
    locale: str
    words: Translations = field(compare=False, repr=False)
    product_names: Mapping[str, str]
    pot_names: Mapping[tuple[str, str], str]
    fund_names: Mapping[str, str]
    role_names: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    brand: str
    muted: str
    line: str
    surface: str
    logo: str = field(repr=False)

    @classmethod
    def of(cls, tenant: Tenant, language: str | None) -> "Letterhead":
        """Return the tenant's letterhead in `language`, or in the scheme's first if it does not write in that."""
        pack = tenant.pack
        words = tenant.translator(language)
        colours = pack.theme.colours
        return cls(
            scheme=words.gettext(pack.name),
            language=pack.language(language),
            locale=pack.locale(language),
            words=words,
            product_names={product.code: words.gettext(product.name) for product in pack.products},
            pot_names={
                (product.code, pot.code): words.gettext(pot.name) for product in pack.products for pot in product.pots
            },
            fund_names={
                fund.code: words.gettext(fund.name)
                for product in pack.products
                for version in tenant.book(product.code).versions()
                if isinstance(version.rule, FundsRule)
                for fund in version.rule.funds
            },
            role_names={role: words.gettext(name) for role, name in pack.manifest.roles.items()},
            brand=colours.brand,
            muted=colours.muted,
            line=colours.line,
            surface=colours.surface,
            logo=pack.logo,
        )

    def quoted(self, plain: str, quoted: str, **words: str) -> str:
        """Return a sentence with words of the pack: translated where its catalogue has them, else quoted as they stand."""
        ((name, text),) = words.items()
        translated = self.words.gettext(text) if text else text
        return str(self.words.gettext(plain if translated != text else quoted)).format(**{name: translated})

    def assumed(self, assumption: str) -> str:
        """Return the sentence that says what a figure rests on where the sources do not settle it."""
        return self.quoted(ASSUMED, ASSUMED_QUOTED, assumption=assumption)

    def all_assumed(self, assumptions: Sequence[str]) -> "Assumed | None":
        """Return what figures rest on where the sources do not settle it: one lead-in and a list; None where there is nothing.

        Words of the pack that its catalogue does not translate are quoted as they stand.
        """
        if not assumptions:
            return None
        told = [(one, str(self.words.gettext(one))) for one in assumptions]
        is_quoted = any(one == translated for one, translated in told)
        items = tuple(f"“{one}”" if one == translated else translated for one, translated in told)
        return Assumed(str(self.words.gettext(ASSUMED_LEAD_QUOTED if is_quoted else ASSUMED_LEAD)), items)


class Assumed(Struct, frozen=True):
    """What figures rest on where the sources do not settle it: a lead-in, and each thing in words."""

    lead: str
    items: tuple[str, ...]


class Figure(Struct, frozen=True):
    """A label and its value. `note` says what to make of it, or why there is none."""

    label: str
    value: str
    note: str = ""


class Column(Struct, frozen=True):
    """A column of a table; figures stand at the end of the line."""

    title: str
    is_figure: bool = False


class Table(Struct, frozen=True):
    """A table with a caption; every row has a text for each column. `empty` stands where there are no rows."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = ""
    note: str = ""
