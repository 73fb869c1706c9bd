"""What the receiving of contributions refuses."""

from engine.kernel.errors import Invalid, Malformed, NotFound, Refused
from engine.kernel.text import N_


class WrongCurrency(Invalid):
    """The money is not in the scheme's currency."""

    code = "contributions.wrong-currency"
    message = N_("The scheme counts in {allowed}, not in {currency}.")


class AmountNotWhole(Invalid):
    """The amount is no plain number, or finer than the smallest unit of money."""

    code = "contributions.amount-not-whole"
    message = N_("The amount must be a number with at most {scale} decimals.")


class AmountNotPositive(Invalid):
    """The amount is zero, negative, or too large to be real."""

    code = "contributions.amount-not-positive"
    message = N_("The amount must be more than zero.")


class UnknownChannel(Invalid):
    """The scheme has no such collection channel."""

    code = "contributions.unknown-channel"
    message = N_("There is no collection channel {channel}. The scheme has: {allowed}.")


class PaidInFuture(Invalid):
    """The payment is dated after the scheme's today."""

    code = "contributions.paid-in-future"
    message = N_("The payment is dated {paid_on}, after today, {today}.")


class BelowMinimum(Refused):
    """Less was paid than the product accepts in one contribution."""

    code = "contributions.below-minimum"
    message = N_("The smallest contribution is {minimum}.")


class AboveMaximum(Refused):
    """More was paid than the product accepts in one contribution."""

    code = "contributions.above-maximum"
    message = N_("The largest contribution is {maximum}.")


class NotAMultiple(Refused):
    """The amount is no multiple of what the product asks for."""

    code = "contributions.not-a-multiple"
    message = N_("A contribution must be a multiple of {multiple}.")


class NoTerms(Refused):
    """No rule of the product is in force on the payment's date."""

    code = "contributions.no-terms"
    message = N_("The product has no contribution rules on {day}.")


class KeyReused(Invalid):
    """The idempotency key, or the provider's transaction id, was used for another payment."""

    code = "contributions.key-reused"
    message = N_("This key or payment reference was already used for a different payment.")


class KeyMissing(Malformed):
    """The request has no Idempotency-Key header."""

    code = "contributions.key-missing"
    message = N_("Send an Idempotency-Key header: your own name for this payment.")


class BatchTooLarge(Invalid):
    """More items came in one request than are taken."""

    code = "contributions.batch-too-large"
    message = N_("At most {most} payments can be sent at once.")


class CannotCollect(Refused):
    """The channel's operator is not joined: nobody can be asked for money over it."""

    code = "contributions.cannot-collect"
    message = N_("Nobody can be asked for money over the channel {channel}.")


class NoPhone(Refused):
    """The member's record has no telephone number, and the request named none."""

    code = "contributions.no-phone"
    message = N_("The member has no telephone number on record. Send the number to ask.")


class MemberNotActive(Refused):
    """The member can pay in no more."""

    code = "contributions.member-not-active"
    message = N_("The member is no longer active.")


class UnknownCollection(NotFound):
    """There is no such request for a payment."""

    code = "contributions.unknown-collection"
    message = N_("There is no such request for a payment.")


class UnknownSuspense(NotFound):
    """There is no such payment in suspense."""

    code = "contributions.unknown-suspense"
    message = N_("There is no such payment in suspense.")


class AlreadyResolved(Refused):
    """The suspended payment has been given to a member already."""

    code = "contributions.already-resolved"
    message = N_("This payment has already been given to a member.")


class UnreadableFile(Invalid):
    """A file of contributions cannot be taken as it is; nothing of it was posted."""

    code = "contributions.unreadable-file"
    message = N_("{file}, row {row}, {field}: {reason}.")


class EnvelopeDiffers(Invalid):
    """Payments sent together are others than their sender says; none of them was taken."""

    code = "contributions.envelope-differs"
    message = N_("{file}: declared {declared}, found {found} (count / total). Nothing of it was taken.")


class NotATier(Refused):
    """The scheme takes one of a few amounts, and this is none of them."""

    code = "contributions.not-a-tier"
    message = N_("A contribution is one of: {allowed}.")


class NotTheInstalment(Refused):
    """The payment is not the instalment, or not a whole number of instalments."""

    code = "contributions.not-the-instalment"
    message = N_("The instalment is {instalment}.")


class NoDeclaredIncome(Refused):
    """The product's contributions are no share of a declared income, or the member declared none."""

    code = "contributions.no-declared-income"
    message = N_("No income is declared in {product}.")


class DeclaredFrom(Invalid):
    """The income would count before today or before the one declared last, or from too late a day."""

    code = "contributions.declared-from"
    message = N_("An income declared now may count from {first} to {last}.")


class NotWhatIsDue(Refused):
    """The payment is none of the amounts that pay instalments the member undertook, each late one with its charge."""

    code = "contributions.not-what-is-due"
    message = N_("The instalment undertaken is {instalment}. What may be paid now: {allowed}.")


class NothingDue(Refused):
    """All instalments that the member undertook and may pay by now are paid."""

    code = "contributions.nothing-due"
    message = N_("No instalment is left to be paid now. The next one is due on: {next}.")


class RedirectNotAllowed(Refused):
    """The member may not turn their contribution to this pot."""

    code = "contributions.redirect-not-allowed"
    message = N_("A contribution cannot be turned to {pot}. Possible: {allowed}.")


class PaymentTooShort(Refused):
    """The payment does not hold what must be taken from it first."""

    code = "contributions.payment-too-short"
    message = N_("The payment is too small: {least} is taken from it first.")


class CapReached(Refused):
    """The most of the scheme year is passed."""

    code = "contributions.cap-reached"
    message = N_("At most {most} can be contributed in a scheme year.")


class OwnerProposed(Refused):
    """Somebody's proposal of whose the payment is waits for a decision."""

    code = "contributions.owner-proposed"
    message = N_("Somebody has proposed whose this payment is. That is decided on first.")


class UnknownOwner(NotFound):
    """Nobody proposed that."""

    code = "contributions.unknown-owner-proposal"
    message = N_("Nobody has proposed that.")


class OwnerDecided(Refused):
    """The proposal was confirmed or rejected before."""

    code = "contributions.owner-decided"
    message = N_("This was decided already.")


class OwnerDiffers(Refused):
    """What is confirmed is not what was proposed, or what the payment would bring has changed since."""

    code = "contributions.owner-differs"
    message = N_("This is not what would be credited now. Reject the proposal and propose it again.")


class GoesBack(Refused):
    """What is beyond the most of a scheme year is nobody's but the payer's."""

    code = "contributions.goes-back"
    message = N_("This money is more than a scheme year takes. It goes back to whoever paid it.")


class ReasonOrMember(Invalid):
    """A payment is taken back for a reason, or moved to its member."""

    code = "contributions.reason-or-member"
    message = N_("Give either a reason or the right member.")


class NothingToMove(Refused):
    """What is moved to the right member was posted to another: what lies in suspense is given to them from there."""

    code = "contributions.nothing-to-move"
    message = N_("The payment lies in suspense, or is that member’s already.")


class MemberClosed(Refused):
    """A record that was closed takes no payments."""

    code = "contributions.member-closed"
    message = N_("That member’s record is closed.")


class PayerNotTaken(Refused):
    """The product takes nothing from such payers."""

    code = "contributions.payer-not-taken"
    message = N_("Money from {payer} is not taken. Possible payers: {allowed}.")


class CurrencyNotTaken(Refused):
    """The product takes no contributions in this currency."""

    code = "contributions.currency-not-taken"
    message = N_("Contributions in {currency} are not taken.")


class CollectionNotTaken(Refused):
    """The product takes nothing that agents collect in this way."""

    code = "contributions.collection-not-taken"
    message = N_("Agents do not collect {takes} for this product.")


class CollectionReceiptNeeded(Refused):
    """The agent must give a receipt for what they collect, and none is named."""

    code = "contributions.collection-receipt-needed"
    message = N_("Name the receipt that the agent gave.")


class CollectedLater(Invalid):
    """A collection is of a day after its deposit, or of goods without a quantity, or of cash with one."""

    code = "contributions.collected-later"
    message = N_("The agent collected on {collected_on}, after the deposit of {deposited_on}.")


class QuantityWanted(Invalid):
    """Goods are collected by quantity, cash is not."""

    code = "contributions.quantity-wanted"
    message = N_("Give a quantity above zero for goods, and none for cash.")


class GoodsWorthOtherwise(Refused):
    """What was deposited for goods is not what they were worth on the day they were taken."""

    code = "contributions.goods-worth-otherwise"
    message = N_("The goods were worth {amount} on {collected_on}.")


class NotEligible(Refused):
    """Eligibility is tested again at each contribution, and the member is not eligible any more."""

    code = "contributions.not-eligible"
    message = N_("The member may no longer contribute to {product}.")


class AboveLevel(Refused):
    """The payment exceeds a limit of how well the member is known."""

    code = "contributions.above-level"
    message = N_("This level does not allow so much. Show more documents, or pay less.")


class NoMatch(NotFound):
    """The product has no state match in that scheme year, or none that is claimed for members' pension accounts."""

    code = "contributions.no-match"
    message = N_("{product} has no state money to be claimed for the year from {day}.")


class MatchNotDue(Refused):
    """State money is claimed before its day."""

    code = "contributions.match-not-due"
    message = N_("State money of this year is claimed from {day} on.")


class ClaimPrepared(Refused):
    """A claim is prepared while another of the product waits for a second person."""

    code = "contributions.claim-prepared"
    message = N_("Claim {claim} waits for a second person. Decide on it first.")


class NothingToClaim(Refused):
    """A claim would have no line."""

    code = "contributions.nothing-to-claim"
    message = N_("There is nothing to claim: everything that was earned was claimed before.")


class UnknownClaim(NotFound):
    """There is no such claim."""

    code = "contributions.unknown-claim"
    message = N_("There is no claim of that number.")


class ClaimChanged(Refused):
    """A claim is decided on that is not the one that was read."""

    code = "contributions.claim-changed"
    message = N_("The claim is not the one you read. Read it again.")


class ClaimDecided(Refused):
    """A claim was decided on, or paid, before."""

    code = "contributions.claim-decided"
    message = N_("The claim is {state}.")


class MoreThanClaimed(Refused):
    """More is received for a claim than it asks for."""

    code = "contributions.more-than-claimed"
    message = N_("The claim asks for {total}, and not more.")


class AlreadyReceived(Refused):
    """A provider's reference was booked before."""

    code = "contributions.already-received"
    message = N_("A payment with the reference {reference} was booked before.")


class NotOnStatement(Refused):
    """Money is shared before a statement shows it."""

    code = "contributions.not-on-statement"
    message = N_("No statement shows the money yet. It is shared once one does.")


class UnknownContribution(NotFound):
    """There is no such receipt, or nobody proposed to take it back."""

    code = "contributions.unknown-contribution"
    message = N_("There is no such receipt.")


class ReversalDecided(Refused):
    """The receipt is taken back already, or somebody has proposed or decided it."""

    code = "contributions.reversal-decided"
    message = N_("Taking back this payment is {state} already.")


class ReversalDiffers(Refused):
    """What is confirmed is not what was proposed."""

    code = "contributions.reversal-differs"
    message = N_("What you confirm is not what was proposed. Look at it again.")
