"""What identity refuses. No refusal repeats what was entered: it would reach a log."""

from engine.kernel.errors import Invalid, NotFound, Refused
from engine.kernel.text import N_


class UnusableName(Invalid):
    """A name is empty, too long, or holds characters that no name has."""

    code = "identity.unusable-name"
    message = N_("Write the name as the person writes it, in at most {most} characters.")


class UnusablePhone(Invalid):
    """The text is no telephone number that can be dialled."""

    code = "identity.unusable-phone"
    message = N_("This is not a telephone number of {country}, nor one written with + and a country code.")


class DocumentMalformed(Invalid):
    """A document number has not the form its kind of document has."""

    code = "identity.document-malformed"
    message = N_("This is not the number of a document of the kind {document}: its length or its form is wrong.")


class CheckDigitWrong(Invalid):
    """A document number's check digit does not fit: something was mistyped."""

    code = "identity.check-digit-wrong"
    message = N_("The number of the {document} has a wrong check digit: one digit is probably mistyped.")


class UnknownMember(NotFound):
    """The tenant has no such member, or the member was erased."""

    code = "identity.unknown-member"
    message = N_("There is no such member.")


class MoneyOnItsWay(Refused):
    """Money is still on its way to or from the member, so that they cannot be erased yet."""

    code = "identity.money-on-its-way"
    message = N_("Money is still on its way to or from this member. Erase them once it has arrived or come back.")
