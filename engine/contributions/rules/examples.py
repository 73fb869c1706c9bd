"""How a pack's worked examples ask for decisions about contributions: the very functions that decide real ones."""

from collections.abc import Mapping
from datetime import date, timedelta

from engine.contributions.errors import AmountNotPositive, AmountNotWhole, NoTerms
from engine.contributions.rules.amounts import (
    AmountRule,
    DeclaredIncomeRule,
    check_instalment,
    declared_contribution,
    income_that_counts,
)
from engine.contributions.rules.matching import (
    MatchClaimRule,
    MatchFacts,
    MatchRule,
    VestingRule,
    apportion,
    decide_match,
    vested,
    vested_on_leaving,
)
from engine.contributions.rules.payers import (
    AgentCollectionRule,
    ContributorsRule,
    ForeignMoneyRule,
    ReferenceRule,
    converted,
    counts_on,
    deposit_due,
    goods_value,
    looked_up,
    origin_of,
)
from engine.contributions.rules.pools import PoolRule, credit_matched, goes_back
from engine.contributions.rules.schedules import (
    AnnualCapRule,
    ArrearsRule,
    LateChargeRule,
    apply_cap,
    late_charge,
    standing,
)
from engine.contributions.rules.splitting import (
    ContributionTerms,
    DeductionRule,
    PayeesRule,
    SplitRule,
    deduct,
    share_among_payees,
    split_over_pots,
)
from engine.contributions.rules.undertaken import Instalments, Undertook, instalment_terms
from engine.enrolment.rules import (
    ChartRule,
    DueDays,
    Frequency,
    InstalmentFormulaRule,
    ScheduleRule,
    Undertaken,
    UndertakingGiven,
    charted_instalment,
    check_change,
    check_undertaking,
    due_dates,
    formula_instalment,
    next_period,
    undertaking_terms,
)
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.months import whole_months
from engine.tenancy.rules.books import AnyRule, InForce
from engine.tenancy.rules.proving import MissingInput, Runner, ScenarioContext

Outcome = Mapping[str, str]
_MONTHLY: Frequency = "monthly"


def run_contribution(context: ScenarioContext) -> Outcome:
    """Decide a contribution: given `amount`, return what each pot gets ("pots.<pot>") and what is taken first.

    May be given: `payer` (its `origin` is returned), `redirect` (a pot), `taken` (ids of deductions taken already). Of a member
    who undertook to pay, given `entry_age`, `slab`, `frequency` and `paid` (of instalments so far): `instalment`, how many
    `instalments` are paid, the `charge` for lateness, and what is `owed` before the payment.

    Raises:
        NoTerms, AmountNotWhole, AmountNotPositive and what the terms refuse: as the payment would be refused.
    """
    amount, split = context.rule(AmountRule), context.rule(SplitRule)
    if amount is None or split is None:
        raise NoTerms(day=context.on.isoformat())
    terms = ContributionTerms.of(amount.rule, split.rule, context.figures, context.on, (amount.ref, split.ref))
    paid = _amount(context, "amount")
    context.compare(amount, "minimum", paid.units, terms.limits.minimum.units)
    if terms.limits.maximum is not None:
        context.compare(amount, "maximum", paid.units, terms.limits.maximum.units)
    terms.limits.check(paid)
    taken = dict.fromkeys(_list(context, "taken"), True)
    rules = [(one.ref, one.rule) for one in context.rules(DeductionRule)]
    parts, left = deduct(paid, rules, context.figures, context.on, taken=taken)
    found = {f"deducted.{one.party}": _fixed(one.amount) for one in parts}
    undertaken = _as_undertaken(context, paid) if "frequency" in context.given else {}
    if "over" in undertaken:
        left -= Amount.parse(undertaken["over"], context.asset)
    if left.units:
        split_parts = split_over_pots(left, terms, redirect=context.text("redirect"))
        found |= {f"pots.{pot}": _fixed(part) for pot, part in split_parts}
    if "payer" in context.given:
        payers = context.rule(ContributorsRule)
        found["origin"] = origin_of(payers.rule if payers else None, context.text("payer"))
    return {**found, **undertaken}


def _as_undertaken(context: ScenarioContext, amount: Amount) -> Outcome:
    terms, joined_on = instalment_terms(context.product.code, context), _joined(context)
    if terms is None:
        raise NoTerms(day=context.on.isoformat())
    given = Undertaken(context.text("slab"), _frequency(context), joined_on, joined_on)
    paid = _amount(context, "paid") if "paid" in context.given else Amount(0, context.asset)
    member = Undertook((given,), int(context.text("entry_age") or 0), joined_on, paid.units)
    case = Instalments(terms, member, context.pack.tables, context.figures, context.on)
    found = case.towards(amount)
    assert found is not None, "what is undertaken at joining is in force from then on"
    return {
        "instalment": _fixed(found.instalment),
        "instalments": str(found.instalments),
        "charge": _fixed(found.charge),
        "owed": _fixed(case.owed()),
        **({"over": _fixed(found.returned)} if found.returned.units else {}),
    }


def run_undertaking(context: ScenarioContext) -> Outcome:
    """Decide what a member undertakes: given `entry_age`, `slab`, `frequency`, return the `instalment` and the `last_due` day.

    Given what is held since joining as well, `held_slab` and `held_frequency`, and how often they were changed in the
    scheme year, `slab_changes` and `frequency_changes`: return `from` when the change counts.
    """
    joined_on, on, age = _joined(context), context.on, int(context.text("entry_age") or 0)
    given = UndertakingGiven(slab=context.text("slab"), frequency=_frequency(context))
    terms, instalment = check_undertaking(
        undertaking_terms(context.product.code, context),
        given,
        context.pack.tables,
        product=context.product.code,
        entry_age=age,
        figures=context.figures,
        on=on,
    )
    found = {"instalment": _fixed(instalment)}
    if "held_frequency" in context.given:
        held = Undertaken(context.text("held_slab"), _frequency(context, "held_frequency"), joined_on, joined_on)
        made = {one: int(context.text(f"{one}_changes") or 0) for one in ("slab", "frequency")}
        if terms.changing is not None:
            for one, most in (
                ("slab", terms.changing.rule.slab_changes_a_year),
                ("frequency", terms.changing.rule.frequency_changes_a_year),
            ):
                if most and f"{one}_changes" in context.given:
                    context.compare(terms.changing, f"{one}_changes_a_year", made[one], most)
        check_change(terms, held, given, slab_changes=made["slab"], frequency_changes=made["frequency"])
        found["from"] = next_period(held, on).isoformat()
    ends = terms.ends_on(joined_on, age)
    if ends is not None:
        days = DueDays(terms.schedule.rule, given.frequency, joined_on, joined_on)
        found["last_due"] = days.at(days.count(ends - timedelta(days=1)) - 1).isoformat()
    return found


def run_instalment(context: ScenarioContext) -> Outcome:
    """Decide an instalment: given `entry_age` and `frequency` (and `slab`), return `instalment`; of `paid`, how many.

    A chart publishes it; where the chart has no column for the frequency, a formula works it out from the monthly one.
    Given `income` instead, return the `instalment` that a declared income makes due.
    """
    if "income" in context.given:
        declared = _needed(context, DeclaredIncomeRule)
        income = _amount(context, "income")
        least = context.figures.amount(declared.rule.minimum, context.on)
        context.compare(declared, "minimum", income.units, least.units)
        if declared.rule.maximum is not None:
            context.compare(
                declared, "maximum", income.units, context.figures.amount(declared.rule.maximum, context.on).units
            )
        counted = income_that_counts(declared.rule, income, context.figures, context.on)
        changes = int(context.text("changes_this_year") or 0)
        context.compare(declared, "changes_a_year", changes, declared.rule.changes_a_year)
        return {
            "instalment": _fixed(declared_contribution(declared.rule, counted)),
            "may_change": str(changes < declared.rule.changes_a_year).lower(),
        }
    chart = _needed(context, ChartRule)
    frequency = _frequency(context)
    table = context.pack.tables[chart.rule.table]
    age, slab = int(context.text("entry_age") or 0), context.text("slab")

    def charted(every: Frequency) -> Amount:
        return charted_instalment(chart.rule, table, entry_age=age, slab=slab, frequency=every, asset=context.asset)

    if frequency in chart.rule.columns:
        instalment = charted(frequency)
    else:
        formula = _needed(context, InstalmentFormulaRule)
        step = context.figures.amount(formula.rule.step, context.on)
        instalment = formula_instalment(formula.rule, charted(_MONTHLY), frequency, step)
    found = {"instalment": _fixed(instalment)}
    if "paid" in context.given:
        found["instalments"] = str(check_instalment(_amount(context, "paid"), instalment, chart.rule.takes))
    return found


def run_schedule(context: ScenarioContext) -> Outcome:
    """Return the due days of a member's instalments up to the example's day, and whether one may be paid in parts."""
    rule = _needed(context, ScheduleRule)
    days = due_dates(rule.rule, _frequency(context), _joined(context), context.on)
    found = {f"due.{row}": day.isoformat() for row, day in enumerate(days, 1)}
    return {**found, "count": str(len(days)), "parts_until": rule.rule.parts_until}


def run_standing(context: ScenarioContext) -> Outcome:
    """Return how a member stands who has `paid` in all towards instalments of `instalment` since joining."""
    rule, schedule = _needed(context, ArrearsRule), _needed(context, ScheduleRule)
    frequency, joined_on = _frequency(context), _joined(context)
    dues = due_dates(schedule.rule, frequency, joined_on, context.on)
    found = standing(rule.rule, dues, _amount(context, "instalment"), _amount(context, "paid"), on=context.on)
    if dues:
        unpaid = next(
            (day for day, part in zip(dues, found.paid_by_due, strict=True) if part < _amount(context, "instalment")),
            None,
        )
        if unpaid is not None:
            context.compare(rule, "grace_days", (context.on - unpaid).days, rule.rule.grace_days)
    return {
        "owed": _fixed(found.owed),
        "late": _fixed(found.late),
        "late_since": found.oldest_late_on.isoformat() if found.oldest_late_on else "",
        "ahead": _fixed(found.ahead),
        "beyond": _fixed(found.beyond),
        "pays_first": rule.rule.pays_first,
        "beyond_is": rule.rule.beyond,
    }


def run_late_charge(context: ScenarioContext) -> Outcome:
    """Return what an `instalment` due on `due_on` costs that is paid on the example's day, and who gets it."""
    rule = _needed(context, LateChargeRule)
    instalment = _amount(context, "instalment")
    charge = late_charge(rule.rule, instalment, _date(context, "due_on"), context.on, context.figures)
    for row, band in enumerate(rule.rule.bands, 1):
        if band.up_to is not None:
            least = context.figures.amount(band.up_to, context.on)
            context.compare(rule, f"bands[{row}].up_to", instalment.units, least.units)
    return {"charge": _fixed(charge), "credited_to": rule.rule.credited_to, "paid_first": rule.rule.paid_first}


def run_annual_cap(context: ScenarioContext) -> Outcome:
    """Return what of an `amount` counts for the year in which `in_year` counts already, and what becomes of the rest."""
    rule = _needed(context, AnnualCapRule)
    paid, in_year = _amount(context, "amount"), _amount(context, "in_year")
    most = context.figures.amount(rule.rule.most, context.on)
    context.compare(rule, "most", paid.units + in_year.units, most.units)
    found = apply_cap(rule.rule, paid, in_year, context.figures, context.on)
    return {
        "counted": _fixed(found.counted),
        "refunded": _fixed(found.refunded),
        "carried": _fixed(found.carried),
        "carry_years": str(rule.rule.carry_years),
        "counted_by": rule.rule.counted_by,
    }


def run_payees(context: ScenarioContext) -> Outcome:
    """Return what each payee gets of an `amount`."""
    rule = _needed(context, PayeesRule)
    found = share_among_payees(_amount(context, "amount"), rule.rule, context.figures, context.on)
    return {f"payees.{code}": _fixed(part) for code, part in found.items()}


def run_reference(context: ScenarioContext) -> Outcome:
    """Return as what a `reference` is looked up whose forms are listed in `has_form_of`."""
    rule = context.rule(ReferenceRule)
    kinds = dict.fromkeys(_list(context, "has_form_of"), True)
    return {"looked_up_as": looked_up(rule.rule if rule else None, context.text("reference"), kinds) or "nothing"}


def run_foreign_money(context: ScenarioContext) -> Outcome:
    """Return what an `amount` of `currency`, of value `value_on` and received on the example's day, counts for."""
    foreign = Asset.currency(context.text("currency"))
    rule = next((one for one in context.rules(ForeignMoneyRule) if one.rule.currency == foreign.symbol), None)
    amount = Amount.parse(context.text("amount"), foreign)
    value_on = _date(context, "value_on") if "value_on" in context.given else context.on
    found = converted(
        rule.rule if rule else None,
        amount,
        context.asset,
        value_on=value_on,
        received_on=context.on,
        figures=context.figures,
    )
    return {"amount": _fixed(found)}


def run_collection(context: ScenarioContext) -> Outcome:
    """Return from when an agent's collection of `takes` on the example's day counts, and by when it is deposited."""
    takes = context.text("takes") or "cash"
    rule = next((one for one in context.rules(AgentCollectionRule) if one.rule.takes == takes), None)
    if rule is None:
        raise NoTerms(day=context.on.isoformat())
    deposited = _date(context, "deposited_on") if "deposited_on" in context.given else None
    counted = counts_on(rule.rule, context.on, deposited)
    due = deposit_due(rule.rule, context.on)
    found = {
        "counts_on": counted.isoformat() if counted else "",
        "deposit_due": due.isoformat(),
        "receipt": rule.rule.receipt,
    }
    if deposited is not None:
        context.compare(rule, "deposit_within_days", (deposited - context.on).days, rule.rule.deposit_within_days)
        found["late"] = str(deposited > due).lower()
    if takes == "goods":
        found["amount"] = _fixed(goods_value(rule.rule, context.text("quantity"), context.on, context.figures))
    return found


def run_match(context: ScenarioContext) -> Outcome:
    """Return what a scheme year earns: given `saved` (and `reversed`, `class`, `matched_years`, `has_arrears`)."""
    rule = _needed(context, MatchRule)
    gross = _amount(context, "saved")
    reversed_ = _amount(context, "reversed") if "reversed" in context.given else Amount(0, context.asset)
    facts = MatchFacts(
        member_class=context.text("class") or "any",
        joined_on=_joined(context) if context.joined_on else context.on,
        saved_gross=gross,
        saved_net=gross - reversed_,
        matched_years=int(context.text("matched_years") or 0),
        has_arrears=context.text("has_arrears") == "true",
    )
    found = decide_match(rule.rule, facts, context.figures, context.on)
    saved = facts.saved_net if rule.rule.base == "net-of-reversals" else gross
    for row, one in enumerate(rule.rule.matches, 1):
        if facts.member_class in one.classes or "any" in one.classes:
            threshold = context.figures.amount(one.threshold, context.on)
            context.compare(rule, f"matches[{row}].threshold", saved.units, threshold.units)
            if one.saved_up_to is not None:
                limit = context.figures.amount(one.saved_up_to, context.on)
                context.compare(rule, f"matches[{row}].saved_up_to", saved.units, limit.units)
    if rule.rule.years:
        context.compare(rule, "years", facts.matched_years, rule.rule.years)
    outcome = {
        "match": _fixed(found.amount),
        "reason": found.reason,
        "timing": rule.rule.timing,
        "destination": rule.rule.destination,
        "after_reversal": rule.rule.reversal_after_year_end,
    }
    return {**outcome, "conditional_on": rule.rule.conditional_on or ""} if found.is_conditional else outcome


def run_vesting(context: ScenarioContext) -> Outcome:
    """Return what of a `balance` of `origin` is the member's for good on the example's day."""
    origin = context.text("origin") or "state-match"
    rule = next((one for one in context.rules(VestingRule) if one.rule.origin == origin), None)
    balance = _amount(context, "balance")
    if rule is None:
        return {"vested": _fixed(balance), "forfeited": _fixed(Amount(0, context.asset)), "forfeited_to": ""}
    months = whole_months(_joined(context), context.on)
    for row, step in enumerate(rule.rule.steps, 1):
        if step.after_months:
            context.compare(rule, f"steps[{row}].after_months", months, step.after_months)
    ground, age = context.text("ground"), context.text("age")
    if age and rule.rule.vests_at_age is not None:
        context.compare(rule, "vests_at_age", int(age), rule.rule.vests_at_age)
    kept = (
        vested_on_leaving(rule.rule, balance, months, ground=ground, age=int(age) if age else None)
        if ground
        else vested(rule.rule, balance, months, early_exit=context.text("early_exit") == "true")
    )
    return {
        "vested": _fixed(kept),
        "forfeited": _fixed(balance - kept),
        "forfeited_to": rule.rule.forfeited_to if kept < balance else "",
        "income_goes_along": str(rule.rule.income_goes_along).lower(),
        "counts_in_closure_test": str(rule.rule.counts_in_closure_test).lower(),
    }


def run_match_claim(context: ScenarioContext) -> Outcome:
    """Return when a year's match is claimed, and how `received` is shared among the amounts `claimed`."""
    rule = _needed(context, MatchClaimRule)
    start, end = context.product.scheme_year(context.on)
    found = {
        "claimed_from": date.fromordinal(end.toordinal() + rule.rule.after_days).isoformat(),
        "year_from": start.isoformat(),
        "funder": rule.rule.funder,
        "unpaid_rest": rule.rule.unpaid_rest,
        "clawback_from": rule.rule.clawback_from,
    }
    claimed = [Amount.parse(one, context.asset) for one in _list(context, "claimed")]
    if claimed:
        parts = apportion(rule.rule, claimed, _amount(context, "received"))
        found |= {f"paid.{row}": _fixed(part) for row, part in enumerate(parts, 1)}
    return found


def run_pool(context: ScenarioContext) -> Outcome:
    """Return how money in `pool` since `received_on` is credited that is matched on the example's day."""
    pool = context.text("pool") or "suspense"
    rule = next((one for one in context.rules(PoolRule) if one.rule.pool == pool), None)
    if rule is None:
        raise NoTerms(day=context.on.isoformat())
    received_on = _date(context, "received_on")
    found = credit_matched(rule.rule, _amount(context, "amount"), received_on, context.on, context.figures)
    if rule.rule.return_after_days:
        context.compare(rule, "return_after_days", (context.on - received_on).days, rule.rule.return_after_days)
    return {
        "price_on": found.price_on.isoformat(),
        "earned": _fixed(found.earned),
        "to_member": _fixed(found.to_member),
        "goes_back": str(goes_back(rule.rule, received_on, context.on)).lower(),
    }


RUNNERS: Mapping[str, Runner] = {
    "contribution": run_contribution,
    "instalment": run_instalment,
    "undertaking": run_undertaking,
    "schedule": run_schedule,
    "standing": run_standing,
    "late-charge": run_late_charge,
    "annual-cap": run_annual_cap,
    "payees": run_payees,
    "reference": run_reference,
    "foreign-money": run_foreign_money,
    "collection": run_collection,
    "match": run_match,
    "vesting": run_vesting,
    "match-claim": run_match_claim,
    "pool": run_pool,
}


def _needed(context: ScenarioContext, kind: type[AnyRule]) -> InForce[AnyRule]:
    found = context.rule(kind)
    if found is None:
        raise NoTerms(day=context.on.isoformat())
    return found


def _amount(context: ScenarioContext, name: str) -> Amount:
    if name not in context.given:
        raise MissingInput(name)
    try:
        found = Amount.parse(context.text(name), context.asset)
    except NotWholeUnits as error:
        raise AmountNotWhole(field=name, scale=context.asset.scale) from error
    if found.units < 0 or (name == "amount" and not found.units):
        raise AmountNotPositive(field=name)
    return found


def _date(context: ScenarioContext, name: str) -> date:
    found = context.given.get(name)
    if not isinstance(found, date):
        raise MissingInput(name)
    return found


def _joined(context: ScenarioContext) -> date:
    if context.joined_on is None:
        raise MissingInput("joined_on")
    return context.joined_on


def _frequency(context: ScenarioContext, name: str = "frequency") -> Frequency:
    wanted = context.text(name) or _MONTHLY
    known: dict[str, Frequency] = {
        "daily": "daily",
        "weekly": "weekly",
        "monthly": "monthly",
        "quarterly": "quarterly",
        "half-yearly": "half-yearly",
        "yearly": "yearly",
        "seasonal": "seasonal",
    }
    if wanted not in known:
        raise MissingInput(name)
    return known[wanted]


def _list(context: ScenarioContext, name: str) -> list[str]:
    found = context.given.get(name, [])
    return [str(one) for one in found] if isinstance(found, list | tuple) else []


def _fixed(amount: Amount) -> str:
    return f"{amount.decimal():.{amount.asset.scale}f}"
