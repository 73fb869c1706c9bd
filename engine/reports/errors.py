"""What the reports refuse."""

from engine.kernel.errors import Invalid, Malformed, NotFound, Refused
from engine.kernel.text import N_


class UnknownMember(NotFound):
    """There is no such member for this caller; another tenant's member is not found either."""

    code = "reports.unknown-member"
    message = N_("There is no member with this number.")


class DateMalformed(Malformed):
    """A date is not one."""

    code = "reports.date-malformed"
    message = N_("Write the date as year-month-day, such as 2024-03-31.")


class DateInFuture(Invalid):
    """A statement was asked for a day that has not come."""

    code = "reports.date-in-future"
    message = N_("A statement can be made for any day up to today, {today}; {day} has not come yet.")


class NoPrice(Refused):
    """Units are held of a fund that had no accepted price yet, so their value cannot be told."""

    code = "reports.no-price"
    message = N_("The fund {fund} has no accepted price on or before {day}, so its units cannot be valued.")


class UnknownLanguage(Invalid):
    """The scheme does not speak the language that was asked for."""

    code = "reports.unknown-language"
    message = N_("The scheme does not write in that language. It writes in: {allowed}.")


class ContributionMalformed(Malformed):
    """What a member will pay is no amount of the scheme's money."""

    code = "reports.contribution-malformed"
    message = N_("Write the contribution as an amount in {currency} with at most {decimals} decimals.")


class UnknownFrequency(Malformed):
    """Nobody is asked to pay so often."""

    code = "reports.unknown-frequency"
    message = N_("Say the contribution, and how often it is paid in a year: {allowed} times.")


class ChoiceMalformed(Malformed):
    """A choice is not written as a name and a value."""

    code = "reports.choice-malformed"
    message = N_("Write a choice as its name and value, such as slab:3000.")
