"""What benefits refuse."""

from engine.kernel.errors import Invalid, Malformed, NotFound, Refused
from engine.kernel.text import N_


class NoSuchRule(NotFound):
    """The scheme has no such rule of benefits, or it is not in force."""

    code = "benefits.no-such-rule"
    message = N_("The scheme has no rule {rule} that day.")


class FeeNotCovered(Refused):
    """There is too little money for a fee without which the act may not be done."""

    code = "benefits.fee-not-covered"
    message = N_("There is not enough money for the fee {fee}.")


class UnknownAnnuity(NotFound):
    """A claim buys no annuity."""

    code = "benefits.unknown-annuity"
    message = N_("This claim buys no annuity.")


class AnnuityAnswered(Refused):
    """An insurer has answered already."""

    code = "benefits.annuity-answered"
    message = N_("This annuity is {state}.")


class AnnuityNotPaid(Refused):
    """An annuity is confirmed that nothing was paid for."""

    code = "benefits.annuity-not-paid"
    message = N_("Nothing was sent to the insurer yet.")


class NoPremiumDue(NotFound):
    """No cover of the product costs anything for that day."""

    code = "benefits.no-premium-due"
    message = N_("No cover of {product} asks for a premium on {day}.")


class PremiumTooSoon(Refused):
    """Premiums are asked for on a day that has not come."""

    code = "benefits.premium-too-soon"
    message = N_("Premiums can be asked for from {day}.")


class PremiumRunOpen(Refused):
    """Another run over the product's premiums has not ended."""

    code = "benefits.premium-run-open"
    message = N_("Run {run} over the premiums of this product has not ended.")


class PremiumRunDecided(Refused):
    """A run over premiums is not waiting for this."""

    code = "benefits.premium-run-decided"
    message = N_("This run over premiums is {state}.")


class PremiumRunChanged(Refused):
    """A run over premiums is not the one that was seen."""

    code = "benefits.premium-run-changed"
    message = N_("This run over premiums is not the one that you have read.")


class UnknownPremiumRun(NotFound):
    """There is no such run over premiums."""

    code = "benefits.unknown-premium-run"
    message = N_("There is no such run over premiums.")


class PremiumsOfFunds(Refused):
    """Premiums are taken from members' money before it is invested, and theirs is."""

    code = "benefits.premiums-of-funds"
    message = N_("Money of {product} is invested in funds, and pays no premiums.")


class NoPremiumPaid(NotFound):
    """There is no premium that an insurer was not told of."""

    code = "benefits.no-premium-paid"
    message = N_("No premium waits to be told to {insurer}.")


class UnknownPremiumFile(NotFound):
    """There is no such file of premiums."""

    code = "benefits.unknown-premium-file"
    message = N_("There is no such file of premiums.")


class NoFeeDue(NotFound):
    """No fee that is charged for all members falls due that day."""

    code = "benefits.no-fee-due"
    message = N_("No fee of {product} falls due on {day}.")


class FeeTooSoon(Refused):
    """Fees are charged for a day that is not over."""

    code = "benefits.fee-too-soon"
    message = N_("Fees of that day can be charged from {day}.")


class FeeKeyMissing(Invalid):
    """A cap stands in a table, and nobody said in which row."""

    code = "benefits.fee-key-missing"
    message = N_("The cap {cap} needs to know: {key}.")


class FeeRunOpen(Refused):
    """Another run over the product's fees has not ended."""

    code = "benefits.fee-run-open"
    message = N_("Fee run {run} has not ended. Decide on it first.")


class UnknownFeeRun(NotFound):
    """The scheme has no such fee run."""

    code = "benefits.unknown-fee-run"
    message = N_("There is no such fee run.")


class FeeRunDecided(Refused):
    """The fee run is not in the state in which this is done."""

    code = "benefits.fee-run-decided"
    message = N_("This cannot be done with the fee run: it is {state}.")


class FeeRunChanged(Refused):
    """The digest is of other lines than those of the fee run."""

    code = "benefits.fee-run-changed"
    message = N_("The fee run is not the one that you saw. Please look at it again.")


class RecountChanged(NotFound):
    """There is no recount of that number and digest that can be decided on."""

    code = "benefits.recount-changed"
    message = N_("No recount waits that is the one you saw. Please look at the list again.")


class LoanTooSoon(Refused):
    """A loan is asked for before enough months of membership."""

    code = "benefits.loan-too-soon"
    message = N_("A loan is possible from {day}.")


class LoanRunning(Refused):
    """Another loan is not paid back yet."""

    code = "benefits.loan-running"
    message = N_("Another loan is still running. It must be paid back first.")


class BelowLeastLoan(Refused):
    """Less is asked for than is lent."""

    code = "benefits.below-least-loan"
    message = N_("The smallest loan is {least}.")


class AboveLoanCeiling(Refused):
    """More is asked for than the savings allow."""

    code = "benefits.above-loan-ceiling"
    message = N_("At most {most} can be lent or pledged now.")


class LoanTooLong(Refused):
    """More instalments are asked for than are allowed."""

    code = "benefits.loan-too-long"
    message = N_("A loan is paid back in at most {most} instalments.")


class LenderNeeded(Refused):
    """A pledge names no lender, or no rate of its loan."""

    code = "benefits.lender-needed"
    message = N_("Say who lends, and at which yearly rate.")


class UnknownLoan(NotFound):
    """There is no loan of that number."""

    code = "benefits.unknown-loan"
    message = N_("There is no such loan.")


class LoanDecided(Refused):
    """The loan is in a state, or of a form, in which this cannot be done."""

    code = "benefits.loan-decided"
    message = N_("This cannot be done with this loan now: {state}.")


class LoanDiffers(Refused):
    """What is confirmed is not what the lender was said to say."""

    code = "benefits.loan-differs"
    message = N_("This is not what was reported. Read the loan again.")


class GuaranteeNotOffered(Refused):
    """A guarantee would add to what is paid over time, or beside another role, or by a key that is not known."""

    code = "benefits.guarantee-not-offered"
    message = N_("The guarantee {guarantee} cannot be kept in this way yet.")


class NotCovered(Refused):
    """The member was not covered against the peril on the day of the event."""

    code = "benefits.not-covered"
    message = N_("There was no cover for this on that day ({reason}).")


class UnknownCoverFile(NotFound):
    """There is no file of claims of cover of that number."""

    code = "benefits.unknown-cover-file"
    message = N_("There is no such file of claims.")


class NoCoverAsked(Refused):
    """No claim of cover waits for a file."""

    code = "benefits.no-cover-asked"
    message = N_("No claim waits to be asked of {payer}.")


class NoUnclaimedRule(Refused):
    """No rule of the product hands over money that nobody claims, or its money is in funds."""

    code = "benefits.no-unclaimed-rule"
    message = N_("Money that nobody claims is not handed over here ({product}).")


class NothingUnclaimed(Refused):
    """There is no such money."""

    code = "benefits.nothing-unclaimed"
    message = N_("There is no such unclaimed money.")


class HandOverOpen(Refused):
    """Another handing over of the product is not done."""

    code = "benefits.hand-over-open"
    message = N_("Handing over {run} of this product is not done yet.")


class UnknownHandOver(NotFound):
    """There is no handing over of that number."""

    code = "benefits.unknown-hand-over"
    message = N_("There is no such handing over.")


class HandOverDecided(Refused):
    """The handing over is in a state in which this cannot be done."""

    code = "benefits.hand-over-decided"
    message = N_("This cannot be done with this handing over now: {state}.")


class HandOverDiffers(Refused):
    """What is approved is not what was proposed."""

    code = "benefits.hand-over-differs"
    message = N_("This is not what was proposed. Read it again.")


class SavingsPledged(Refused):
    """Savings are pledged to a lender, who has not said that the loan is paid back."""

    code = "benefits.savings-pledged"
    message = N_("Savings are pledged for a loan. The lender must first say what is still owed.")


class SavingsFrozen(Refused):
    """A loan is in default, and nothing may be taken until it is paid."""

    code = "benefits.savings-frozen"
    message = N_("A loan is overdue. Nothing can be taken out until it is paid back.")


class StillWaiting(Refused):
    """The waiting period of a benefit is not over."""

    code = "benefits.still-waiting"
    message = N_("This opens after {months} paid months; {missing} are missing.")


class AccessNotYet(Refused):
    """The member has not been in the scheme long enough to withdraw."""

    code = "benefits.access-not-yet"
    message = N_("A withdrawal is possible from {day}.")


class AgeNotReached(Refused):
    """The member is too young for this withdrawal."""

    code = "benefits.age-not-reached"
    message = N_("This withdrawal is possible from the age of {age}.")


class HistoryTooShort(Refused):
    """Too few years with enough contributions."""

    code = "benefits.history-too-short"
    message = N_("This needs {years} years with enough contributions; there are {counted}.")


class GroundNeeded(Refused):
    """The way asked for is open on one ground only."""

    code = "benefits.ground-needed"
    message = N_("This is possible on one ground only: {ground}.")


class PurposeNeeded(Refused):
    """The money may be taken for some purposes only."""

    code = "benefits.purpose-needed"
    message = N_("Say what the money is for. Allowed: {allowed}.")


class DocumentsNeeded(Refused):
    """Documents are missing."""

    code = "benefits.documents-needed"
    message = N_("These documents are missing: {missing}.")


class WithdrawnTooOften(Refused):
    """The next withdrawal is not open yet."""

    code = "benefits.withdrawn-too-often"
    message = N_("The next withdrawal is possible from {day}.")


class NoMoreWithdrawals(Refused):
    """All withdrawals of a lifetime have been made."""

    code = "benefits.no-more-withdrawals"
    message = N_("All withdrawals of this kind have been made.")


class BelowLeastWithdrawal(Refused):
    """Less is asked for than is paid out."""

    code = "benefits.below-least-withdrawal"
    message = N_("The smallest withdrawal is {least}.")


class MoreThanAccessible(Refused):
    """More is asked for than may be withdrawn now."""

    code = "benefits.more-than-accessible"
    message = N_("At most {most} can be withdrawn now ({reason}).")


class NoExit(Refused):
    """One cannot leave on this ground now."""

    code = "benefits.no-exit"
    message = N_("No rule lets a member leave now on this ground: {ground}.")


class NoBenefitAge(Refused):
    """No rule says from which age the benefit is due."""

    code = "benefits.no-benefit-age"
    message = N_("No rule says from which age the benefit is due.")


class BeforeBenefitAge(Refused):
    """The benefit is not due yet."""

    code = "benefits.before-benefit-age"
    message = N_("The benefit begins on {day}.")


class OptionNotOpen(Refused):
    """A way to take the benefit is not open to a balance of this size, or on this ground."""

    code = "benefits.option-not-open"
    message = N_("This way to take the benefit is not open here: {option}.")


class LumpSumOutOfRange(Refused):
    """The lump sum chosen is outside what the rules allow."""

    code = "benefits.lump-sum-out-of-range"
    message = N_("The lump sum must be between {least_bp} and {most_bp} hundredths of a percent.")


class YearsOutOfRange(Refused):
    """Instalments over that many years are not offered."""

    code = "benefits.years-out-of-range"
    message = N_("Instalments run for {least} to {most} years.")


class RestTooSmall(Refused):
    """What is left after the lump sum would give too little a period."""

    code = "benefits.rest-too-small"
    message = N_("What is left must give at least {least} each time.")


class NoRail(Refused):
    """No way of payment takes this amount to an account of the payee."""

    code = "benefits.no-rail"
    message = N_("There is no account to which this amount can be paid. Add one.")


class AccountNotChecked(Refused):
    """The payee's account must be checked first."""

    code = "benefits.account-not-checked"
    message = N_("The account ({rail}) has to be checked before it can be paid.")


class NameDiffers(Refused):
    """The account is in another name."""

    code = "benefits.name-differs"
    message = N_("The name on the account ({rail}) is not the member's.")


class NotProven(Refused):
    """What was presented does not prove the fact."""

    code = "benefits.not-proven"
    message = N_("This does not prove it: {fact}. Bring one of: {wanted}.")


class MoreThanReleased(Refused):
    """A minor's money is asked for before its time."""

    code = "benefits.more-than-released"
    message = N_("More of this money is released at the age of {age}.")


class MoreThanSaved(Refused):
    """More is taken than the tranches hold."""

    code = "benefits.more-than-saved"
    message = N_("This is more than was saved.")


class CannotReactivate(Refused):
    """There is no way back from this status now."""

    code = "benefits.cannot-reactivate"
    message = N_("There is no way back from this status now: {status}.")


class DuesUnpaid(Refused):
    """Less was paid than is due to come back."""

    code = "benefits.dues-unpaid"
    message = N_("To come back, {dues} must be paid.")


class ReclaimTooLate(Refused):
    """Unclaimed money is asked for after the law's last day."""

    code = "benefits.reclaim-too-late"
    message = N_("This money could be reclaimed until {day}.")


class CannotMove(Refused):
    """Money in the product left has no place in the new one."""

    code = "benefits.cannot-move"
    message = N_("There is no way to move this here: {pots}.")


class MoveNotServed(Refused):
    """The rule allows a move that the engine cannot carry out, or not in this way."""

    code = "benefits.move-not-served"
    message = N_("This move cannot be carried out: {reason}.")


class UnknownMove(NotFound):
    """The scheme has no such move."""

    code = "benefits.unknown-move"
    message = N_("There is no such move.")


class MoveOpen(Refused):
    """Another move out of the product has not ended."""

    code = "benefits.move-open"
    message = N_("Move {run} has not ended. Decide on it first.")


class MoveDecided(Refused):
    """The move is not in the state in which this is done."""

    code = "benefits.move-decided"
    message = N_("This cannot be done with the move: it is {state}.")


class MoveChanged(Refused):
    """The digest is not that of the move."""

    code = "benefits.move-changed"
    message = N_("The move is not the one that you saw. Please look at it again.")


class ConsentNeeded(Refused):
    """The member has to agree to the move."""

    code = "benefits.consent-needed"
    message = N_("The member has to agree to this move.")


class NoProjection(NotFound):
    """The product says nothing of what its members may expect."""

    code = "benefits.no-projection"
    message = N_("This product has no projection.")


class UnknownPayout(NotFound):
    """There is no payout of that number."""

    code = "benefits.unknown-payout"
    message = N_("There is no such payout.")


class PayoutUnderWay(Refused):
    """What is due is being paid by another payout."""

    code = "benefits.payout-under-way"
    message = N_("Another payout for this is under way.")


class MemberDeceased(Refused):
    """A register says that the member has died, and the payment is to the member."""

    code = "benefits.member-deceased"
    message = N_("This member has died, as a register says: nothing is paid to them.")


class NotPayable(Refused):
    """More is to be paid than is payable."""

    code = "benefits.not-payable"
    message = N_("So much is not payable now.")


class BelowLeastPayable(Refused):
    """The amount is less than the rail pays."""

    code = "benefits.below-least-payable"
    message = N_("The amount is too small to be paid this way ({rail}).")


class PayoutDecided(Refused):
    """The payout was approved or refused before."""

    code = "benefits.payout-decided"
    message = N_("This payout was decided already.")


class PayoutChanged(Refused):
    """What is approved is not what would be paid."""

    code = "benefits.payout-changed"
    message = N_("This is not the payout that you saw. Look at it again.")


class CoolingOff(Refused):
    """The account is new and is not paid yet."""

    code = "benefits.cooling-off"
    message = N_("The account is new. It can be paid from {day}.")


class RailNotJoined(Refused):
    """The scheme has no way to pay by that rail now."""

    code = "benefits.rail-not-joined"
    message = N_("Nothing can be paid this way now ({rail}).")


class NotReconciled(Refused):
    """The money is on no statement: nobody knows yet that it came."""

    code = "benefits.not-reconciled"
    message = N_("This money is on no statement yet.")


class UnreadableReport(Invalid):
    """A bank's report cannot be taken as it is; nothing of it was used."""

    code = "benefits.unreadable-report"
    message = N_("{file}, row {row}, {field}: {reason}.")


class NothingAtOnce(Refused):
    """Nothing is paid at once by the rule claimed by."""

    code = "benefits.nothing-at-once"
    message = N_("Nothing is paid at once by this rule: {option}.")


class PensionNotOffered(Refused):
    """The pension's rule says what the payroll cannot pay by."""

    code = "benefits.pension-not-offered"
    message = N_("This pension cannot be paid here yet: {option}.")


class ChoiceCoolingOff(Refused):
    """The member may still change their mind about how they take the benefit."""

    code = "benefits.choice-cooling-off"
    message = N_("The member may still change this choice. It can be approved from {day}.")


class AnnuityFirst(Refused):
    """A part of the benefit must buy an annuity."""

    code = "benefits.annuity-first"
    message = N_("A part of this must buy an annuity, which cannot be arranged here yet.")


class AlreadyClaimed(Refused):
    """A benefit that is taken whole was claimed before."""

    code = "benefits.already-claimed"
    message = N_("This was claimed already.")


class UnknownClaim(NotFound):
    """There is no claim of that number."""

    code = "benefits.unknown-claim"
    message = N_("There is no such claim.")


class ClaimDecided(Refused):
    """The claim is in a state in which this cannot be done to it."""

    code = "benefits.claim-decided"
    message = N_("This cannot be done to the claim any more: {state}.")


class ClaimDiffers(Refused):
    """What is approved is not what was decided."""

    code = "benefits.claim-differs"
    message = N_("This is not the claim that was decided. Read it again.")


class ClaimMoneyGone(Refused):
    """The member no longer holds what the claim was granted."""

    code = "benefits.claim-money-gone"
    message = N_("The account no longer holds what this claim takes. Reject it.")


class ClaimKeyReused(Invalid):
    """The idempotency key was used for another claim."""

    code = "benefits.claim-key-reused"
    message = N_("This key was already used for a different claim.")


class ClaimKeyMissing(Malformed):
    """The request has no usable Idempotency-Key header."""

    code = "benefits.claim-key-missing"
    message = N_("Send an Idempotency-Key header: your own name for this claim.")


class ClaimAmountMalformed(Invalid):
    """The amount claimed is none."""

    code = "benefits.claim-amount"
    message = N_("The amount must be a positive number of {currency} with at most {decimals} decimals.")


class NoPriceYet(Refused):
    """Units are held whose price is not known."""

    code = "benefits.no-price-yet"
    message = N_("There is no price of the fund {fund} yet.")


class DeathNotConfirmed(Refused):
    """Nobody has said that the member died, or somebody has proposed to take it back."""

    code = "benefits.death-not-confirmed"
    message = N_("The member's death is not confirmed. Say on which day they died, with the documents.")


class UnknownHeir(NotFound):
    """There is no such heir, or they do not inherit."""

    code = "benefits.unknown-heir"
    message = N_("There is no such heir.")


class TrustNotOffered(Refused):
    """A child's money is to earn in a way that cannot be kept."""

    code = "benefits.trust-not-offered"
    message = N_("A child's money cannot be kept here as the rule says ({earns}).")


class PaymentsSuspended(Refused):
    """The member's death is confirmed: what was theirs is claimed by others."""

    code = "benefits.payments-suspended"
    message = N_("Nothing is paid to this member any more: their death is confirmed.")


class UnknownPayroll(NotFound):
    """There is no payroll of that number."""

    code = "benefits.unknown-payroll"
    message = N_("There is no such payroll.")


class PayrollOpen(Refused):
    """Another payroll of the product is not done."""

    code = "benefits.payroll-open"
    message = N_("Payroll {payroll} of this product is not done yet.")


class PayrollTooEarly(Refused):
    """The month of a payroll has not begun."""

    code = "benefits.payroll-too-early"
    message = N_("This payroll can be made from {day}.")


class PayrollDecided(Refused):
    """The payroll is in a state in which nobody decides on it."""

    code = "benefits.payroll-decided"
    message = N_("Nothing can be decided on this payroll now: {state}.")


class PayrollDiffers(Refused):
    """What is approved is not what was counted."""

    code = "benefits.payroll-differs"
    message = N_("This is not the payroll that was counted. Read it again.")


class UnknownPension(NotFound):
    """The claim pays nothing over time, or there is none."""

    code = "benefits.unknown-pension"
    message = N_("There is no such pension.")


class LifeProofNotTaken(Invalid):
    """A proof of life is from nobody whose word is taken, or of a day that has not come."""

    code = "benefits.life-proof-not-taken"
    message = N_("A proof of life needs a day that has come, and one of these sources: {sources}.")


class UnknownMerge(NotFound):
    """Nobody proposed a merging of that number."""

    code = "benefits.unknown-merge"
    message = N_("There is no such merging of records.")


class MergeDecided(Refused):
    """A merging was approved or rejected before."""

    code = "benefits.merge-decided"
    message = N_("This is decided already: {state}.")


class MergeDiffers(Refused):
    """The digest is of another merging, or of an earlier state of it."""

    code = "benefits.merge-differs"
    message = N_("This is not what was proposed. Read it again.")


class CannotMerge(Refused):
    """Two records are not of one person who has both, or something of them runs that must end first."""

    code = "benefits.cannot-merge"
    message = N_("These two records cannot be merged: {reason}.")


class UnknownSplit(NotFound):
    """Nobody proposed a split of that number."""

    code = "benefits.unknown-split"
    message = N_("There is no such split of a record.")


class CannotSplit(Refused):
    """The payments named are not such as one split can be of."""

    code = "benefits.cannot-split"
    message = N_("The record cannot be split so: {reason}.")


class TransferTooSoon(Refused):
    """The member has not been in the scheme for long enough, or moved savings to another scheme not long ago."""

    code = "benefits.transfer-too-soon"
    message = N_("These savings can go to another scheme from {day}.")


class NothingToTransfer(Refused):
    """The scheme sends no savings to others, or the member has none that may go."""

    code = "benefits.nothing-to-transfer"
    message = N_("There are no savings here that can go to another scheme.")


class TransferWaits(Refused):
    """Something of the member's is under way that must end first."""

    code = "benefits.transfer-waits"
    message = N_("Something else must end before these savings can go: {reason}.")


class UnknownTransfer(NotFound):
    """There is no transfer of that number."""

    code = "benefits.unknown-transfer"
    message = N_("There is no such transfer.")


class TransferDecided(Refused):
    """The transfer is in a state in which this cannot be done."""

    code = "benefits.transfer-decided"
    message = N_("This cannot be done to the transfer any more: {state}.")


class TransferNotSent(Refused):
    """No statement shows that the money went."""

    code = "benefits.transfer-not-sent"
    message = N_("No statement shows that this money went to the other scheme.")


class TransferDiffers(Refused):
    """What is approved is not what was advised."""

    code = "benefits.transfer-differs"
    message = N_("This is not the transfer that was advised. Read it again.")


class AdviceDiffers(Invalid):
    """An advice does not agree with itself, or with what is known of the member."""

    code = "benefits.advice-differs"
    message = N_("The advice does not agree in {field}.")


class AdviceKnown(Refused):
    """The other scheme's reference was advised before, of other savings."""

    code = "benefits.advice-known"
    message = N_("Another advice of this scheme has the same reference.")


class TransferNotTaken(Refused):
    """The scheme takes no savings of other schemes."""

    code = "benefits.transfer-not-taken"
    message = N_("Savings of other schemes are not taken here.")


class OriginNotTaken(Refused):
    """Money of that origin is not taken from other schemes."""

    code = "benefits.origin-not-taken"
    message = N_("Money of this origin is not taken from other schemes: {origin}.")


class PotNotTaken(Refused):
    """A pot of the other scheme has no place here."""

    code = "benefits.pot-not-taken"
    message = N_("This pot of the other scheme has no place here: {pot}.")


class PaymentDiffers(Refused):
    """A payment is not the one that belongs to a transfer."""

    code = "benefits.payment-differs"
    message = N_("This payment does not agree with the transfer in {field}.")
