"""What dealing in funds refuses."""

from engine.kernel.errors import Invalid, NotFound, Refused
from engine.kernel.text import N_


class UnknownFund(NotFound):
    """The scheme has no such fund."""

    code = "funds.unknown-fund"
    message = N_("The scheme has no fund {fund}.")


class UnknownPrice(NotFound):
    """No price of that fund and day was ever received."""

    code = "funds.unknown-price"
    message = N_("There is no price of {fund} for {day}.")


class PriceDecided(Refused):
    """The price does not wait for anyone: it was accepted or rejected before."""

    code = "funds.price-decided"
    message = N_("The price of {fund} for {day} waits for nobody: it is {state}.")


class UnitScaleChanged(Refused):
    """A rule book counts a fund's units otherwise than the books already do."""

    code = "funds.unit-scale-changed"
    message = N_("Units of {fund} are kept to {kept} decimals; that cannot become {wanted}.")


class DayNotReached(Invalid):
    """A dealing is run for a day that has not come."""

    code = "funds.day-not-reached"
    message = N_("{day} has not come: the scheme's today is {today}.")


class NoFundChoice(Refused):
    """No rule says which fund a member's savings go to."""

    code = "funds.no-fund-choice"
    message = N_("No rule says on {day} which fund the savings of this member go to.")


class PriceNotUsable(Invalid):
    """A given price is no positive decimal number of at most eight decimals."""

    code = "funds.price-not-usable"
    message = N_("A price must be a positive number with at most {most} decimals.")


class NoDealingRule(Refused):
    """A product's cash is dealt, but no rule says when a dealing closes and who owns what rounding leaves."""

    code = "funds.no-dealing-rule"
    message = N_("No dealing rule of {product} is in force on {day}.")


class ReturnNotDeclared(Refused):
    """No return is declared for a scheme year yet, and the rules put nothing in its place."""

    code = "funds.return-not-declared"
    message = N_("No return is declared yet for the scheme year from {day}.")


class NoPool(Refused):
    """An income of a pool is told, but no rule of the product says that a pool pays its interest."""

    code = "funds.no-pool"
    message = N_("No rule of {product} says for the year from {day} that interest is paid from the income of a pool.")


class PoolIncomeNotWhole(Invalid):
    """What a pool earned is finer than the smallest unit of money."""

    code = "funds.pool-income-not-whole"
    message = N_("The amount must be a number with at most {scale} decimals.")


class UnknownPoolIncome(NotFound):
    """No income of a pool has the number."""

    code = "funds.unknown-pool-income"
    message = N_("There is no such income of a pool.")


class PoolReferenceUsed(Refused):
    """Another income was told by the reference."""

    code = "funds.pool-reference-used"
    message = N_("Another income was told by the reference {reference}.")


class PoolIncomeDecided(Refused):
    """The income of a pool waits for nobody."""

    code = "funds.pool-income-decided"
    message = N_("This income of a pool waits for nobody: it is {state}.")


class PoolIncomeChanged(Refused):
    """The digest is not of the income that was proposed."""

    code = "funds.pool-income-changed"
    message = N_("This is not the income that was proposed; read it again.")


class PoolIncomeMissing(Refused):
    """A declared year is to be credited, but nothing was told of what its pool earned."""

    code = "funds.pool-income-missing"
    message = N_("What the pool earned in the year from {year} is not told and approved yet.")


class PoolIncomeShort(Refused):
    """A declared year would be credited more than its pool earned and the reserve holds, and nobody tops it up."""

    code = "funds.pool-income-short"
    message = N_("The year from {year} credits {lacks} more than the pool earned and the reserve holds.")


class NoGuarantee(Refused):
    """Nothing is guaranteed on this occasion."""

    code = "funds.no-guarantee"
    message = N_("The scheme guarantees nothing on this occasion: {occasion}.")


class WrongMoneyState(Refused):
    """Money cannot go from one state to another: a step would be left out, or go back."""

    code = "funds.wrong-money-state"
    message = N_("Money that is {state} cannot become {next}.")


class NotYetPriced(Refused):
    """The price of a dealing's day is to come."""

    code = "funds.not-yet-priced"
    message = N_("The price of {fund} for a dealing of {day} is not known yet.")


class NotEnoughUnits(Refused):
    """More units are to be sold than the member holds, or none are held at all."""

    code = "funds.not-enough-units"
    message = N_("The member does not hold that many units of {fund}.")


class UnknownSale(NotFound):
    """The member has no such sale, or it was withdrawn."""

    code = "funds.unknown-sale"
    message = N_("There is no such sale of units.")


class SaleOrdered(Refused):
    """A sale cannot be withdrawn: the dealing it was in is closed."""

    code = "funds.sale-ordered"
    message = N_("The units are sold already: the dealing is closed.")


class NoDeclaredReturn(NotFound):
    """The product has no rule of declared returns in that scheme year."""

    code = "funds.no-declared-return"
    message = N_("{product} has no rule of declared returns on {day}.")


class LaterYearCredited(Refused):
    """Interest of a scheme year is asked for after that of a later one."""

    code = "funds.later-year-credited"
    message = N_("The scheme year from {year} was credited already; its balances would change.")


class UnknownManager(NotFound):
    """No fund manager of that name is joined to the scheme."""

    code = "funds.unknown-manager"
    message = N_("No fund manager called {manager} is joined to the scheme.")


class NoCorrectionRule(Refused):
    """A price is said to be wrong, and no rule says what follows."""

    code = "funds.no-correction-rule"
    message = N_("No rule of {product} in force on {day} says what follows from a wrong price.")


class SamePrice(Invalid):
    """A price is said to be wrong, and the right one is the same."""

    code = "funds.same-price"
    message = N_("That is the price of {fund} for {day} already.")


class UnknownParty(Invalid):
    """A party is said to be at fault that the scheme does not know."""

    code = "funds.unknown-party"
    message = N_("The scheme knows no party {party}. It knows: {known}.")


class OrdersInProgress(Refused):
    """Orders have taken the price that is to be corrected, and are not finished."""

    code = "funds.orders-in-progress"
    message = N_("Orders at the price of {fund} for {day} are not finished: run the dealing first.")


class CorrectionOpen(Refused):
    """Another correction of the same price waits for a second person, or is not finished."""

    code = "funds.correction-open"
    message = N_("Correction {number} of the price of {fund} for {day} is not finished.")


class UnknownCorrection(NotFound):
    """There is no correction of that number."""

    code = "funds.unknown-correction"
    message = N_("There is no such correction of a price.")


class CorrectionDecided(Refused):
    """The correction does not wait for anyone."""

    code = "funds.correction-decided"
    message = N_("The correction waits for nobody: it is {state}.")


class CorrectionChanged(Refused):
    """What is decided on is not what was proposed."""

    code = "funds.correction-changed"
    message = N_("That is not the correction that was proposed: read it again.")


class NoSwitching(Refused):
    """The rules do not let members move what they have into other funds."""

    code = "funds.no-switching"
    message = N_("The rules of {product} do not let members move what they have into other funds.")


class SharesNotWhole(Invalid):
    """The shares of a switch do not make the whole."""

    code = "funds.shares-not-whole"
    message = N_("The shares must each be at least 1 and sum to {whole} basis points.")


class NoDistributionRule(Refused):
    """A fund pays income, and no rule says what members get of it."""

    code = "funds.no-distribution-rule"
    message = N_("No rule of {product} says on {day} what members get of a fund's income.")


class UnknownAction(NotFound):
    """There is no split or distribution of that number."""

    code = "funds.unknown-action"
    message = N_("There is no such split or distribution.")


class ActionOpen(Refused):
    """A split or distribution of the fund waits for a second person, or is not finished."""

    code = "funds.action-open"
    message = N_("Split or distribution {number} of {fund} is not finished.")


class ActionDecided(Refused):
    """The split or distribution does not wait for anyone."""

    code = "funds.action-decided"
    message = N_("The split or distribution waits for nobody: it is {state}.")


class ActionChanged(Refused):
    """What is decided on is not what was proposed."""

    code = "funds.action-changed"
    message = N_("That is not the split or distribution that was proposed: read it again.")


class PricedSince(Refused):
    """A fund is to be split from a day on for which, or after which, prices were accepted."""

    code = "funds.priced-since"
    message = N_("Prices of {fund} were accepted for {day} or later: they are of units that were not split.")


class PricesUndecided(Refused):
    """Prices of before a split wait for a second person."""

    code = "funds.prices-undecided"
    message = N_("Prices of {fund} before {day} wait for a second person: decide on them first.")


class SplitSince(Refused):
    """The fund's units were split since the day that is asked about."""

    code = "funds.split-since"
    message = N_("Units of {fund} were split since {day}.")


class HistoricPricing(Refused):
    """A fund is to be split that a product deals in at prices of before the cut-off."""

    code = "funds.historic-pricing"
    message = N_("{product} deals at prices of before its cut-off: its funds cannot be split.")


class NotAsStated(Refused):
    """What a manager says it pays is not what its income is on the units of the books."""

    code = "funds.not-as-stated"
    message = N_("The manager states {stated}; on the units of {day} it is from {least} to {most}.")


class NoUnits(Refused):
    """Nobody has units that a split or distribution would be of."""

    code = "funds.no-units"
    message = N_("Nobody has units of {fund} on {day}.")


class StatedTooFine(Invalid):
    """What a manager states has more decimals than its units or the scheme's money."""

    code = "funds.stated-too-fine"
    message = N_("What the manager states has at most {most} decimals.")


class ReferenceTaken(Refused):
    """Another payment of a manager is expected by the same reference."""

    code = "funds.reference-taken"
    message = N_("Another payment is expected by the reference {reference}.")


class FirstPriceMissing(Refused):
    """A split is approved, and the price of the new units that is named with it does not wait."""

    code = "funds.first-price-missing"
    message = N_("Import the price of {fund} for {day}, of the new units, and name it: it is approved with the split.")


class NoChoosing(Refused):
    """The rules do not let members choose the funds that new money goes to."""

    code = "funds.no-choosing"
    message = N_("The rules of {product} do not let members choose the funds that new money goes to.")


class NotInProduct(Refused):
    """A member chooses funds of a product that they are not in."""

    code = "funds.not-in-product"
    message = N_("The member is not in {product}.")


class UnknownBreak(NotFound):
    """What a manager said there is no break, or it is ended."""

    code = "funds.unknown-break"
    message = N_("There is no such break, or it is resolved.")


class UnknownSettingAside(NotFound):
    """Nobody proposed to set such a break aside."""

    code = "funds.unknown-setting-aside"
    message = N_("There is no such proposal.")


class SettingAsideDecided(Refused):
    """Somebody has decided the proposal already, or one waits."""

    code = "funds.setting-aside-decided"
    message = N_("The proposal is {state} already.")


class SettingAsideDiffers(Refused):
    """What is approved is not what was proposed."""

    code = "funds.setting-aside-differs"
    message = N_("What you confirm is not what was proposed. Look at it again.")


class UnknownSentOrder(NotFound):
    """No fund manager has an order of that name."""

    code = "funds.unknown-sent-order"
    message = N_("No fund manager has such an order of ours.")


class UnknownCancellation(NotFound):
    """Nobody asked such an order back."""

    code = "funds.unknown-cancellation"
    message = N_("There is no such proposal.")


class CancellationDecided(Refused):
    """Somebody has decided it already, or one waits or is under way."""

    code = "funds.cancellation-decided"
    message = N_("The proposal is {state} already.")


class CancellationDiffers(Refused):
    """What is approved is not what was proposed."""

    code = "funds.cancellation-differs"
    message = N_("What you confirm is not what was proposed. Look at it again.")


class NoCancelling(Refused):
    """A fund manager takes no cancellations, by what was agreed with it or by the files it speaks."""

    code = "funds.no-cancelling"
    message = N_("{manager} takes no cancellations.")


class CancelTooLate(Refused):
    """The manager takes cancellations until an hour of the dealing's day, and it has passed."""

    code = "funds.cancel-too-late"
    message = N_("{manager} took cancellations of this order until {until}.")


class OrderDone(Refused):
    """An order was carried out or paid for, as far as anybody said."""

    code = "funds.order-done"
    message = N_("The order is carried out or paid for already.")
