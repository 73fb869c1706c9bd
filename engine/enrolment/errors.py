"""What enrolment refuses. No refusal repeats what a person gave, nor tells who else is a member."""

from engine.kernel.errors import Invalid, Malformed, NotFound, Refused
from engine.kernel.text import N_


class NotOpen(Refused):
    """The product had not opened on that day, or has no rules for joining."""

    code = "enrolment.not-open"
    message = N_("Nobody can join {product} on {day}.")


class ClosedToJoining(Refused):
    """The product takes nobody in any more; who is in it stays."""

    code = "enrolment.closed-to-joining"
    message = N_("Nobody joins {product} since {since}: {reason}")


class NoUndertaking(Refused):
    """The product has no instalments that one undertakes to pay, or the member's entry age is not known any more."""

    code = "enrolment.no-undertaking"
    message = N_("No instalments are undertaken in {product}.")


class UnknownSlab(Invalid):
    """The product's chart has no such slab."""

    code = "enrolment.unknown-slab"
    message = N_("The chart has no such slab. Allowed: {allowed}.")


class UnknownFrequency(Invalid):
    """Instalments are not paid that often in the product."""

    code = "enrolment.unknown-frequency"
    message = N_("Instalments are not paid that often. Allowed: {allowed}.")


class UndertakingFixed(Refused):
    """The product lets nobody change this of what they undertook."""

    code = "enrolment.undertaking-fixed"
    message = N_("This cannot be changed once it was undertaken.")


class ChangedTooOften(Refused):
    """The member changed this of what they undertook as often as they may in a scheme year."""

    code = "enrolment.changed-too-often"
    message = N_("This was changed as often as a scheme year allows: {times}.")


class TooYoung(Refused):
    """The person is younger than the product takes."""

    code = "enrolment.too-young"
    message = N_("A person must be at least {minimum} years old to join.")


class TooOld(Refused):
    """The person is older than the product takes."""

    code = "enrolment.too-old"
    message = N_("A person may be at most {maximum} years old to join.")


class BirthDateImplausible(Invalid):
    """The birth date lies in the future, or further back than anyone has lived."""

    code = "enrolment.birth-date-implausible"
    message = N_("The birth date cannot be right.")


class DocumentMissing(Refused):
    """No identity document was given, and the product asks for one."""

    code = "enrolment.document-missing"
    message = N_("An identity document is needed. Accepted: {allowed}.")


class DocumentNotAccepted(Invalid):
    """A document of a kind was given that the product does not take."""

    code = "enrolment.document-not-accepted"
    message = N_("Documents of this kind are not accepted. Accepted: {allowed}.")


class DocumentRepeated(Invalid):
    """Two documents of one kind were given."""

    code = "enrolment.document-repeated"
    message = N_("Two documents of the kind {document} were given; give one.")


class DocumentContradicts(Invalid):
    """The document's number says another birth year or sex of its holder than the application."""

    code = "enrolment.document-contradicts"
    message = N_("The number of the {document} does not fit the birth date or the sex that was given.")


class GroupMissing(Refused):
    """The product is joined through a group, and none was named."""

    code = "enrolment.group-missing"
    message = N_("This product is joined through a group. Groups: {allowed}.")


class UnknownGroup(Invalid):
    """There is no such group."""

    code = "enrolment.unknown-group"
    message = N_("There is no such group. Groups: {allowed}.")


class NomineesMissing(Refused):
    """The product asks for nominees, and none was named."""

    code = "enrolment.nominees-missing"
    message = N_("Name at least one nominee.")


class TooManyNominees(Refused):
    """More nominees were named than the product takes."""

    code = "enrolment.too-many-nominees"
    message = N_("At most {maximum} nominees can be named.")


class SharesDoNotAddUp(Invalid):
    """The nominees' shares are not one whole."""

    code = "enrolment.shares-do-not-add-up"
    message = N_("The shares of the nominees must add up to 10000 basis points (100 %); they add up to {total}.")


class ConsentMissing(Refused):
    """The person has not agreed to something that joining needs."""

    code = "enrolment.consent-missing"
    message = N_("Joining needs the person's consent to: {missing}.")


class ConsentOutdated(Refused):
    """The person agreed to other words than the ones in use."""

    code = "enrolment.consent-outdated"
    message = N_(
        "The text of the consent {consent} has another version now. Show it again; the versions are: {allowed}."
    )


class UnknownConsent(Invalid):
    """The product asks for no such consent."""

    code = "enrolment.unknown-consent"
    message = N_("There is no such consent. Consents: {allowed}.")


class UnknownLanguage(Invalid):
    """The scheme does not speak that language."""

    code = "enrolment.unknown-language"
    message = N_("The scheme does not speak this language. Languages: {allowed}.")


class AlreadyMember(Refused):
    """The person is a member of the product already."""

    code = "enrolment.already-member"
    message = N_("This person is already a member of {product}.")


class NumberTaken(Refused):
    """A number that a member had elsewhere leads to somebody else here."""

    code = "enrolment.number-taken"
    message = N_("A number that this member had elsewhere leads to somebody else here.")


class KeyReused(Invalid):
    """The idempotency key was used for another enrolment."""

    code = "enrolment.key-reused"
    message = N_("This key was already used for a different enrolment.")


class KeyMissing(Malformed):
    """The request has no usable Idempotency-Key header."""

    code = "enrolment.key-missing"
    message = N_("Send an Idempotency-Key header: your own name for this enrolment, of 1 to {most} visible characters.")


class ItemUnreadable(Invalid):
    """One enrolment of a batch cannot be read; the others can."""

    code = "enrolment.item-unreadable"
    message = N_("{field}: {reason}.")


class BatchTooLarge(Invalid):
    """More enrolments came in one request than are taken."""

    code = "enrolment.batch-too-large"
    message = N_("At most {most} people can be enrolled in one request.")


class UnknownMember(NotFound):
    """There is no such member for this caller."""

    code = "enrolment.unknown-member"
    message = N_("There is no such member.")


class UnreadableFile(Invalid):
    """A file of members cannot be read at all; nobody of it was enrolled."""

    code = "enrolment.unreadable-file"
    message = N_("{file} cannot be read: {reason}.")


class NotInProduct(Refused):
    """The member is not in the product they are to leave."""

    code = "enrolment.not-in-product"
    message = N_("The member is not in the product {product}.")


class ProductsDoNotFit(Refused):
    """Money of the one product has no place in the other."""

    code = "enrolment.products-do-not-fit"
    message = N_("Money of {source} in the pot {pot}, of origin {origin}, has no place in {target}.")


class GuardianMissing(Refused):
    """A child joins through a guardian, and none was named."""

    code = "enrolment.guardian-missing"
    message = N_("Under {age}, a parent or guardian opens the account. Accepted: {allowed}.")


class GuardianNotAccepted(Refused):
    """The guardian, or a document of theirs or of the child, is of a kind that the product does not take."""

    code = "enrolment.guardian-not-accepted"
    message = N_("This is not accepted for the account of a child. Accepted: {allowed}.")


class GuardianNotNeeded(Invalid):
    """A guardian was named for somebody who joins alone."""

    code = "enrolment.guardian-not-needed"
    message = N_("At this age one joins alone, without a guardian.")


class DocumentExpired(Refused):
    """The document is not valid for long enough, or does not say until when it is."""

    code = "enrolment.document-expired"
    message = N_("The {document} must be valid for {days} more days.")


class ClassMissing(Refused):
    """Nothing says as what the person joins: as a citizen, a resident, a refugee."""

    code = "enrolment.class-missing"
    message = N_("Say as what the person joins: {allowed}.")


class UnknownClass(Invalid):
    """The product takes no people of that class."""

    code = "enrolment.unknown-class"
    message = N_("The product does not take this class of people. Accepted: {allowed}.")


class ClassNotShown(Refused):
    """No document shows that the person is of the class they say."""

    code = "enrolment.class-not-shown"
    message = N_("A document must show this class of people. Accepted: {allowed}.")


class NotLongEnoughResident(Refused):
    """The person has not lived in the country for long enough."""

    code = "enrolment.not-long-enough-resident"
    message = N_("One must have lived in the country for {months} months.")


class IncomeMissing(Refused):
    """The product has a ceiling of income, and none was declared."""

    code = "enrolment.income-missing"
    message = N_("Declare the income of a month.")


class IncomeTooHigh(Refused):
    """The declared income is above the ceiling."""

    code = "enrolment.income-too-high"
    message = N_("The income may be at most {most} a month.")


class IncomeNotWhole(Invalid):
    """The declared income has more decimals than the currency."""

    code = "enrolment.income-not-whole"
    message = N_("Write the income with at most {scale} decimals.")


class DeclarationMissing(Refused):
    """The product asks for yes or no, and neither was said."""

    code = "enrolment.declaration-missing"
    message = N_("Say yes or no to each of: {missing}.")


class Excluded(Refused):
    """A fact that the person declares keeps them out."""

    code = "enrolment.excluded"
    message = N_("The product does not take people of whom this holds: {fact}.")


class LevelNotReached(Refused):
    """The documents do not reach even the lowest level."""

    code = "enrolment.level-not-reached"
    message = N_("These documents are not enough to join. Accepted: {allowed}.")


class GroupProofMissing(Refused):
    """Belonging to a group must be proven on joining."""

    code = "enrolment.group-proof-missing"
    message = N_("Show proof of the group. Accepted: {allowed}.")


class GroupProofNotAccepted(Invalid):
    """What was shown proves no group."""

    code = "enrolment.group-proof-not-accepted"
    message = N_("This does not prove membership of a group. Accepted: {allowed}.")


class NoSuchRule(Refused):
    """The product has no rule of the kind that was asked for."""

    code = "enrolment.no-such-rule"
    message = N_("The product has no rule {rule}.")


class CannotVerify(Refused):
    """The scheme asks no agency about documents of that kind, or is not joined to it."""

    code = "enrolment.cannot-verify"
    message = N_("No agency is asked about documents of this kind. Asked about: {allowed}.")


class SignInUsed(Refused):
    """A sign-in was used before, has expired, or was never begun."""

    code = "enrolment.sign-in-used"
    message = N_("This sign-in was used before or has expired. Start again.")


class UnknownVerification(NotFound):
    """There is no question to an authority of that reference."""

    code = "enrolment.unknown-verification"
    message = N_("There is no such check of an identity.")


class NothingToDecide(Refused):
    """The check was decided before, or no answer has come yet."""

    code = "enrolment.nothing-to-decide"
    message = N_("There is nothing to decide here any more.")


class UnknownDeath(NotFound):
    """There is no notice of a death of that number."""

    code = "enrolment.unknown-death"
    message = N_("There is no such notice of a death.")


class NumberFromUnusable(Invalid):
    """A change of a number is still to come, or would begin before what it ends."""

    code = "enrolment.number-from-unusable"
    message = N_("This day cannot be the first of the change: it lies ahead, or before the number that ends was held.")


class NumberHeldAlready(Refused):
    """The member holds the number, or holds none of the kind that is to end."""

    code = "enrolment.number-held-already"
    message = N_("Nothing would change: the member holds this number, or none of this kind.")


class NumberChangeOpen(Refused):
    """Another change of the member's documents of the kind is not decided yet."""

    code = "enrolment.number-change-open"
    message = N_("Another change of this document is not decided yet.")


class UnknownNumberChange(NotFound):
    """There is no change of a number of that reference, or its member was erased."""

    code = "enrolment.unknown-number-change"
    message = N_("There is no such change of a document's number.")


class NumberChangeDiffers(Refused):
    """The change is not any more as it was seen."""

    code = "enrolment.number-change-differs"
    message = N_("The change is not as you saw it any more. Look at it again.")


class NumberNotVerified(Refused):
    """The agency was asked about the number, and has not confirmed it."""

    code = "enrolment.number-not-verified"
    message = N_("The agency has not confirmed this number. Where the check stands: {state}.")


class ProofRefused(Invalid):
    """A signed file proves nothing; `reason` is a code of `identity.ports.NotProven`."""

    code = "enrolment.proof-refused"
    message = N_("This file proves nothing: {reason}.")


class ProofUsed(Refused):
    """The same signed file was handed over for another member."""

    code = "enrolment.proof-used"
    message = N_("This file was handed over for another member.")


class BatchFileRefused(Invalid):
    """A file of answers cannot be used; nothing of it was."""

    code = "enrolment.batch-file-refused"
    message = N_("The file of answers was refused: {field}, {reason}.")


class UnknownBatch(NotFound):
    """There is no such file of questions to an agency."""

    code = "enrolment.unknown-batch"
    message = N_("No agency was asked by this file.")
