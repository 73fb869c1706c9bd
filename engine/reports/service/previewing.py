"""What other rules would give every member of a scheme, beside what those in force give; nothing is posted.

Members are read in ranges. One function decides both sides from the same facts: for fees and interest the statements by which
they are charged and credited, for the rest the functions by which claims and contributions are decided.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits import service as benefits
from engine.benefits.rules import (
    AccessRule,
    BenefitAgeRule,
    Claimant,
    ConditionalEntitlementRule,
    EarlyExitRule,
    ExitTaxRule,
    FeeCapRule,
    FeeRule,
    GuaranteePeriodRule,
    PensionCase,
    PensionRule,
    RetirementOptionRule,
    decide_claim,
    pension_payment,
)
from engine.benefits.rules.claiming import begins_on, claim_terms, tax_on, ways
from engine.contributions import service as contributions
from engine.contributions.rules import ArrearsRule, Instalments, LateChargeRule, Undertook, instalment_terms
from engine.enrolment.rules import ChartRule, InstalmentFormulaRule, ScheduleRule, UndertakingRule, in_force_on
from engine.funds import service as funds
from engine.funds.rules import DeclaredReturnRule, FundsRule
from engine.identity import service as identity
from engine.kernel.errors import EngineError
from engine.kernel.months import age_on
from engine.kernel.rules import Dates, Rule
from engine.kernel.series import Figures
from engine.reports import queries
from engine.reports.queries import MemberFacts
from engine.reports.service.entitlements import BENEFIT_AGE, PARTS, Entitlements, Part, Question, entitlements
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.books import OnDates
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, figures_for

RANGE = 5_000
"""Members read by one statement."""
FEES: tuple[type[Rule], ...] = (FeeRule, FeeCapRule, FundsRule)
INTEREST: tuple[type[Rule], ...] = (DeclaredReturnRule,)
Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Affected:
    """One figure of a member that another version of the rules changes; None where one of the two knows no such figure."""

    member_id: int
    product: str
    figure: str
    before: str | None
    after: str | None


@dataclass(slots=True)
class Preview:
    """What a preview found in all: members looked at and affected, and by figure how many and by how much in sum.

    `rules` are the versions that would decide changed figures, by product: what they assume is shown with these.
    """

    members: int = 0
    affected: int = 0
    figures: dict[str, tuple[int, int]] = field(default_factory=dict)
    rules: dict[str, set[str]] = field(default_factory=dict)

    def note(self, changes: Sequence[Affected]) -> None:
        """Count the changes of one member."""
        self.members += 1
        self.affected += bool(changes)
        for one in changes:
            count, total = self.figures.get(one.figure, (0, 0))
            by = _minor(one.after) - _minor(one.before)
            self.figures[one.figure] = (count + 1, total + by)


def _minor(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _claims(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    """Tell what leaving today pays and forfeits, and the tax on whatever may be claimed today, in full."""
    if not isinstance(asked.claimant, Claimant):
        found |= {} if asked.claimant is None else {"exit": asked.claimant.code}
        return
    product = asked.pack.product(asked.facts.product)
    terms = claim_terms(asked.pack, asked.facts.product, asked.claimant)
    for way, rule, _ in ways(terms):
        name = f"{way.kind}.{way.ground}" if way.kind == "exit" else f"{way.kind}.{way.rule}.{way.ground}".rstrip(".")
        try:
            granted = decide_claim(terms, way, asked.claimant, asked.figures, product.scheme_year, asked.pack.asset)
        except EngineError as refusal:
            if way.kind == "exit":
                found.setdefault(name, refusal.code)
            continue
        if way.kind == "exit":
            if granted.rule != rule.id:
                continue
            found[name] = str(granted.minor)
            found[f"{name}.forfeited"] = str(sum(one.minor for one in granted.forfeited))
        is_pre_tax = any(one.rule.pre_tax_only for one in terms.taxes)
        taxed = tax_on(terms, way, granted, asked.claimant, asked.figures, is_pre_tax=is_pre_tax)
        found[f"tax.{name}"] = str(taxed.tax_minor)
        rules.extend((*granted.rules, *taxed.rules))


def _benefit_age(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    age = asked.pack.books[asked.facts.product].in_force(BenefitAgeRule, asked.dates)
    if age is None or not isinstance(asked.claimant, Claimant):
        return
    try:
        found[BENEFIT_AGE] = begins_on(age, asked.claimant).day.isoformat()
    except EngineError as refusal:
        found[BENEFIT_AGE] = refusal.code
    rules.append(age.ref)


def _pensions(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    """Tell each pension by what is known of the member; what an insurer quotes is not."""
    if not isinstance(asked.claimant, Claimant):
        return
    terms = claim_terms(asked.pack, asked.facts.product, asked.claimant)
    held = in_force_on(asked.undertook.given, asked.dates.on) if asked.undertook else None
    said = {"sex": asked.claimant.sex, "slab": held.slab if held else ""}
    if terms.age is not None and asked.claimant.born_on is not None:
        with suppress(EngineError):
            said["age"] = str(age_on(asked.claimant.born_on, begins_on(terms.age, asked.claimant).day))
    for one in terms.pensions:
        needed = terms.tables[one.rule.table].keys if one.rule.table is not None else ()
        if one.rule.form == "annuity" or not all(said.get(name) for name in needed):
            continue
        case = PensionCase(
            on=asked.dates.on,
            started_on=asked.dates.on,
            keys={name: said[name] for name in needed},
            balance_minor=sum(holding.minor for holding in asked.claimant.holdings),
        )
        try:
            found[f"pension.{one.rule.id}"] = str(pension_payment(one, case, asked.figures, terms.tables).paid_minor)
        except EngineError as refusal:
            found[f"pension.{one.rule.id}"] = refusal.code
        rules.append(one.ref)


def _dues(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    terms = instalment_terms(asked.facts.product, OnDates(asked.pack.books[asked.facts.product], asked.dates))
    if asked.undertook is None or terms is None:
        return
    held = in_force_on(asked.undertook.given, asked.dates.on)
    try:
        if held is not None:
            found["dues.instalment"] = str(
                terms.undertaking.instalment(
                    asked.pack.tables,
                    held.slab,
                    held.frequency,
                    entry_age=asked.undertook.entry_age,
                    figures=asked.figures,
                    on=asked.dates.on,
                ).units
            )
        owed = Instalments(terms, asked.undertook, asked.pack.tables, asked.figures, asked.dates.on).owed()
        found["dues.owed"] = str(owed.units)
    except EngineError as refusal:
        found["dues.owed"] = refusal.code
    rules.extend(terms.refs)


_CHOSEN_BY = (
    AccessRule,
    BenefitAgeRule,
    RetirementOptionRule,
    PensionRule,
    GuaranteePeriodRule,
    ConditionalEntitlementRule,
)
ALL_PARTS = (
    *PARTS,
    Part(_claims, (EarlyExitRule, ExitTaxRule, *_CHOSEN_BY), asks_claimant=True),
    Part(_benefit_age, (BenefitAgeRule,), asks_claimant=True),
    Part(_pensions, (PensionRule, BenefitAgeRule), asks_claimant=True, asks_undertaking=True),
    Part(
        _dues,
        (ChartRule, ScheduleRule, InstalmentFormulaRule, UndertakingRule, ArrearsRule, LateChargeRule),
        asks_undertaking=True,
    ),
)


async def preview(
    db: Database,
    tenant: Tenant,
    new: Pack,
    *,
    on: date,
    totals: Preview,
    keys: FileKeyStore,
    actor: str,
    fee_keys: Mapping[str, str] | None = None,
) -> AsyncIterator[Affected]:
    """Yield every figure of every member that `new` would change on a day; posts nothing.

    Members are read in ranges by their ids, so that memory does not grow with them; `totals` is counted along. What no
    changed rule decides is not decided again. Birth dates and sexes are read, and that `actor` read them is noted, where a
    change may depend on them.

    Args:
        db: of the scheme.
        tenant: whose members, and the rules in force.
        new: the other rules.
        on: the day whose figures are compared.
        totals: is counted along.
        keys: open birth dates.
        actor: who looks.
        fee_keys: which rows of the pack's tables caps of fees stand in.

    Raises:
        FeeKeyMissing, NoPriceYet: fees have changed and cannot be counted.
    """
    after = (0, "")
    parts = {product: parts_that_differ(tenant.pack, new, product) for product in tenant.pack.books}
    counted = {
        product: [kinds for kinds in (FEES, INTEREST) if _differ(tenant.pack, new, product, kinds)]
        for product in tenant.pack.books
    }
    async with db.unit_of_work(tenant.tenant_id) as session:
        sides = (
            (tenant.pack, await figures_for(session, tenant)),
            (new, await figures_for(session, replace(tenant, pack=new))),
        )
        while facts := await queries.member_facts(session, on=on, after=after, most=RANGE):
            known = await _known(session, tenant, facts, parts, on=on, keys=keys, actor=actor)
            before, later = [
                await _counted(session, pack, facts, counted, on=on, figures=figures, keys=fee_keys or {})
                for pack, figures in sides
            ]
            for one in facts:
                key = (one.member_id, one.product)
                old, then = (_figures(pack, figures, one, on, parts[one.product], known) for pack, figures in sides)
                changes = _changes(key, {**old.figures, **before.get(key, {})}, {**then.figures, **later.get(key, {})})
                totals.note(changes)
                if changes:
                    of_years = _rules_counted(new, one, on, counted[one.product])
                    totals.rules.setdefault(one.product, set()).update((*then.rules, *of_years))
                for change in changes:
                    yield change
            after = (facts[-1].member_id, facts[-1].product)


def parts_that_differ(old: Pack, new: Pack, product: str) -> tuple[Part, ...]:
    """Return the parts of a product's entitlements that another version of the pack may decide otherwise."""
    return tuple(part for part in ALL_PARTS if _differ(old, new, product, part.kinds))


def _differ(old: Pack, new: Pack, product: str, kinds: Sequence[type[Rule]]) -> bool:
    """Return whether another version of a pack may decide otherwise by rules of some kinds, by its figures or its tables.

    What a version adds to these decides nothing unless rules name it.
    """
    return (
        product not in new.books
        or old.product(product) != new.product(product)
        or old.asset != new.asset
        or any(new.series.get(code) != one for code, one in old.series.items())
        or any(new.tables.get(code) != one for code, one in old.tables.items())
        or not old.books[product].decides_as(new.books[product], kinds)
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What a range of members' changed figures depend on beyond their facts."""

    claimants: Mapping[Key, Claimant | EngineError]
    undertook: Mapping[Key, Undertook]


async def _known(
    session: AsyncSession,
    tenant: Tenant,
    facts: Sequence[MemberFacts],
    parts: Mapping[str, Sequence[Part]],
    *,
    on: date,
    keys: FileKeyStore,
    actor: str,
) -> _Known:
    claiming = [one for one in facts if any(part.asks_claimant for part in parts[one.product])]
    owing = [one for one in facts if any(part.asks_undertaking for part in parts[one.product])]
    claimants: dict[Key, Claimant | EngineError] = {}
    if claiming:
        joined = {(one.member_id, one.product): one.joined_on for one in claiming}
        people = await identity.read_people(
            session, keys, sorted({member_id for member_id, _ in joined}), actor=actor, reason="preview"
        )
        for key, one in (await benefits.claimants(session, tenant, joined, on=on)).items():
            person = people[key[0]].person if key[0] in people else None
            claimants[key] = (
                replace(one, born_on=person.born_on, sex=person.sex) if person and isinstance(one, Claimant) else one
            )
    undertook = await contributions.undertakings_of(session, [(one.member_id, one.product) for one in owing], on=on)
    return _Known(claimants, undertook)


async def _counted(
    session: AsyncSession,
    pack: Pack,
    facts: Sequence[MemberFacts],
    counted: Mapping[str, Sequence[Sequence[type[Rule]]]],
    *,
    on: date,
    figures: Figures,
    keys: Mapping[str, str],
) -> dict[Key, dict[str, str]]:
    """Return what statements over all members of a range count: fees and interest, where their rules differ."""
    found: dict[Key, dict[str, str]] = {}
    for product in sorted({one.product for one in facts} & pack.books.keys()):
        members = [one.member_id for one in facts if one.product == product]
        reach = (members[0], members[-1])
        if FEES in counted[product]:
            fees = await benefits.foreseen_fees(session, pack, product, reach, on=on, figures=figures, keys=keys)
            for member, due in fees.items():
                found.setdefault((member, product), {}).update({f"fee.{fee}": str(due[fee]) for fee in due})
        if INTEREST in counted[product]:
            try:
                earned = await funds.foreseen_interest(session, pack, product, reach, on=on, figures=figures)
                told = {member: str(minor) for member, minor in earned.items() if minor}
            except EngineError as refusal:
                told = dict.fromkeys(members, refusal.code)
            for member, said in told.items():
                found.setdefault((member, product), {})["interest"] = said
    return found


def _rules_counted(pack: Pack, facts: MemberFacts, on: date, counted: Sequence[Sequence[type[Rule]]]) -> Iterator[str]:
    """Yield the rules by which a member's fees and interest are counted, where they differ."""
    if facts.product not in pack.books:
        return
    book, year = pack.books[facts.product], pack.product(facts.product).scheme_year(on)
    dates = Dates(on=on, joined_on=facts.joined_on, scheme_year_from=year[0])
    if FEES in counted:
        yield from (fee.ref for fee in book.all_in_force(FeeRule, dates))
        yield from (cap.ref for cap in book.all_in_force(FeeCapRule, dates))
    if INTEREST in counted:
        rules = book.in_force_by_joining(DeclaredReturnRule, year)
        yield from (rule.ref for stretch, rule in rules if stretch.holds(facts.joined_on))


def _figures(
    pack: Pack, figures: Figures, facts: MemberFacts, on: date, parts: Sequence[Part], known: _Known
) -> Entitlements:
    if not parts or facts.product not in pack.books:
        return Entitlements({}, ())
    key = (facts.member_id, facts.product)
    return entitlements(
        pack, facts, figures, on, parts, claimant=known.claimants.get(key), undertook=known.undertook.get(key)
    )


def _changes(key: Key, before: Mapping[str, str], after: Mapping[str, str]) -> list[Affected]:
    return [
        Affected(*key, name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
