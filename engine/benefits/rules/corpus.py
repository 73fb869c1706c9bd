"""What is left when nobody is to be paid from it, and who pays when nothing is left. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.benefits.errors import NoSuchRule
from engine.benefits.rules.parameters import WHOLE_BP, Bp
from engine.funds.rules import Given, in_major
from engine.kernel.amounts import Amount, Asset
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.kernel.series import SeriesCode
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class CorpusRule(Rule, tag="corpus", frozen=True, kw_only=True):
    """Where the money goes that is left when nobody is to be paid from it any more (W10).

    APY needs it (to the nominees, the amount of the slab's table: 1.7 to 8.5 lakh), PM-SYM (it returns to the fund) and
    NPS-Lite (all to the nominees). It applies after the deaths that `after` says, or before the benefit began. `to` the
    nominees by their shares; without any, or in the first place, to the heirs, the fund or the state. The amount is the
    balance, or the `column` of a `table` by the case's keys; `above_table` says whose the rest of the balance is, and
    `tops_up` pays what the balance lacks. Of what heirs get `set_off_bp` at most is kept for what went out of a pension
    after the death and was not set off against the survivor's.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("after",)
    after: Literal["member", "member-and-spouse", "member-before-benefit"]
    to: Literal["nominees", "heirs", "fund", "state"]
    without_nominee: Literal["heirs", "fund", "state"]
    table: SeriesCode | None = None
    column: str | None = None
    above_table: Literal["same", "fund"] | None = None
    tops_up: Code | None = None
    set_off_bp: Bp = 0

    def __post_init__(self) -> None:
        """Check that a table has its column, its rest and who tops up."""
        said = [one is not None for one in (self.table, self.column, self.above_table, self.tops_up)]
        if any(said) != all(said):
            raise ValueError("table, column, above_table and tops_up go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusPaid:
    """Who gets how much, smallest units: the parts are the balance and the top-up, to the last unit."""

    parts: tuple[tuple[str, int], ...]
    top_up_minor: int
    topped_up_by: str
    rules: tuple[str, ...]


def dispose_corpus(
    found: InForce[CorpusRule],
    balance_minor: int,
    nominees: Sequence[tuple[str, int]],
    *,
    keys: Mapping[str, str],
    tables: Mapping[str, LookupTable],
    asset: Asset,
) -> CorpusPaid:
    """Return who gets the corpus.

    Args:
        found: the rule.
        balance_minor: what the account holds, smallest units.
        nominees: (name or code, share in basis points); the shares sum to 10,000 where there are any.
        keys: the table's keys.
        tables: the pack's.
        asset: the scheme's money.

    Raises:
        TableValueMissing: the table has no such row.

    """
    rule, due = found.rule, corpus_due(found.rule, balance_minor, keys=keys, tables=tables, asset=asset)
    parts = []
    if rule.to == "nominees" and nominees:
        shared = Amount(due, asset).share_out([share for _, share in nominees])
        parts = [(name, part.units) for (name, _), part in zip(nominees, shared, strict=True)]
    else:
        parts = [(rule.without_nominee if rule.to == "nominees" else rule.to, due)]
    if balance_minor > due:
        parts.append(("fund", balance_minor - due))
    top_up = max(due - balance_minor, 0)
    return CorpusPaid(
        parts=tuple(one for one in parts if one[1]),
        top_up_minor=top_up,
        topped_up_by=(rule.tops_up or "") if top_up else "",
        rules=(found.ref,),
    )


def corpus_due(
    rule: CorpusRule, balance_minor: int, *, keys: Mapping[str, str], tables: Mapping[str, LookupTable], asset: Asset
) -> int:
    """Return what the corpus comes to, smallest units: the balance, or the table's, and what is above it where it is theirs too.

    Raises:
        TableValueMissing: the table has no such row.
    """
    if rule.table is None or rule.column is None:
        return balance_minor
    due = Amount.parse(tables[rule.table].text(rule.column, **keys), asset).units
    return max(due, balance_minor) if rule.above_table == "same" else due


class PayersRule(Rule, tag="payers", frozen=True, kw_only=True):
    """Who pays a periodic benefit, in order, once the member's own pot is exhausted.

    EjoHeza's indexed instalments and the pensions of APY and PM-SYM outlive the member's own money. The own pot pays
    first, then each role of `then` as far as it has money for it; `last` says what happens to what nobody can pay: it is
    owed, it ends, or it is paid all the same and claimed from the last role, which guarantees it (APY's Government).
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    then: tuple[Code, ...]
    last: Literal["owed", "ends", "claimed"]

    def __post_init__(self) -> None:
        """Check that there is somebody to claim from."""
        if self.last == "claimed" and not self.then:
            raise ValueError('last = "claimed" needs a role that it is claimed from')


@dataclass(frozen=True, slots=True)
class PayersShare:
    """Who pays how much of a payment, the member's own pot as "own-pot"; what is still owed, and what is not paid."""

    parts: tuple[tuple[str, int], ...]
    owed_minor: int
    unpaid_minor: int
    rules: tuple[str, ...]


def share_among_payers(
    found: InForce[PayersRule], due_minor: int, own_minor: int, available: Mapping[str, int | None]
) -> PayersShare:
    """Return who pays a payment.

    Args:
        found: the rule.
        due_minor: what is due.
        own_minor: what the member's own pot holds.
        available: what each role has; None for one without limit, absent for one without money.

    """
    parts, left = [], due_minor
    for payer, has in (("own-pot", own_minor), *((one, available.get(one, 0)) for one in found.rule.then)):
        paid = left if has is None else min(left, has)
        if paid:
            parts.append((payer, paid))
        left -= paid
    if left and found.rule.last == "claimed":
        guarantor = found.rule.then[-1]
        parts = [one for one in parts if one[0] != guarantor] + [(guarantor, left + dict(parts).get(guarantor, 0))]
        left = 0
    is_owed = found.rule.last == "owed"
    return PayersShare(tuple(parts), left if is_owed else 0, 0 if is_owed else left, (found.ref,))


def run_corpus(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of what is left: given `after`, the `balance`, `nominees` by share in basis points and `keys`.

    Returns `to.<name>` of each part, `top_up` and `topped_up_by`.

    Raises:
        NoSuchRule: no rule says where it goes after these deaths.
    """
    given, asset = Given.of(context), context.asset
    found = next((one for one in context.rules(CorpusRule) if one.rule.after == given.text("after")), None)
    if found is None:
        raise NoSuchRule(rule="corpus")
    nominees = [(name, int(share)) for name, share in given.table("nominees").items()]
    if nominees and sum(share for _, share in nominees) != WHOLE_BP:
        raise ValueError(f"the nominees' shares must sum to {WHOLE_BP} basis points")
    paid = dispose_corpus(
        found, given.minor("balance"), nominees, keys=given.table("keys"), tables=context.pack.tables, asset=asset
    )
    return {
        **{f"to.{name}": in_major(minor, asset) for name, minor in paid.parts},
        "top_up": in_major(paid.top_up_minor, asset),
        "topped_up_by": paid.topped_up_by,
    }


def run_payers(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of who pays, once the own pot is empty or not.

    Given what is `due`, the `own_pot` and what is `available` by role ("unlimited" for one without limit), returns
    `by.<payer>`, `owed` and `unpaid`.
    """
    given, found, asset = Given.of(context), context.rule(PayersRule), context.asset
    if found is None:
        raise NoSuchRule(rule="payers")
    own, due = given.minor("own_pot"), given.minor("due")
    context.compare(found, "own-pot", own, due)
    limited = {role for role, text in given.table("available").items() if text != "unlimited"}
    has = {role: given.inner("available").minor(role) if role in limited else None for role in given.table("available")}
    shared = share_among_payers(found, due, own, has)
    return {
        **{f"by.{payer}": in_major(minor, asset) for payer, minor in shared.parts},
        "owed": in_major(shared.owed_minor, asset),
        "unpaid": in_major(shared.unpaid_minor, asset),
    }
