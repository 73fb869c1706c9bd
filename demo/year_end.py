"""The end of a scheme year: members' classes are told, its interest is declared and credited, its state money claimed and shared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from random import Random

from demo.client import DemoFailed, Operator
from demo.people import pick
from demo.scenario import Pack, YearEnd

RULES_MAKER, RULES_CHECKER, CLAIMER = "rules-maker", "rules-checker", "contributions-officer"


@dataclass(slots=True)
class YearEnded:
    """What a scheme year brought: interest credited, state money claimed for how many members, and shared."""

    interest: Decimal = Decimal(0)
    interest_members: int = 0
    claimed: Decimal = Decimal(0)
    claim_lines: int = 0
    shared: Decimal = Decimal(0)


class YearEnding:
    """One tenant's year end, by staff of whom each has one part of it."""

    def __init__(self, pack: Pack, wanted: YearEnd, operator: Operator, staff: Callable[[str], Operator]) -> None:
        self._pack, self._wanted, self._operator, self._staff = pack, wanted, operator, cache(staff)

    def tell_classes(self, numbers: Sequence[str]) -> None:
        """Record what the social register says of each member."""
        rng = Random(f"{self._pack.scenario.seed}:{self._pack.code}:classes")
        for number in numbers:
            word = {
                "attribute": "class",
                "value": pick(rng, self._wanted.classes),
                "source": "social registry",
                "as_of": self._wanted.classes_as_of.isoformat(),
            }
            self._operator.post(f"/v1/members/{number}/statuses", word, status=201)

    def credit(self) -> YearEnded:
        """Have the year's rate proposed and accepted by two people, and credit the interest.

        Raises:
            DemoFailed: nothing was credited, or a second run credits more.
        """
        wanted, year = self._wanted, self._wanted.day.isoformat()
        row = f"{wanted.effective_from},{wanted.declared_on},{wanted.percent},{wanted.source},low"
        raw = f"effective_from,published_on,value,source,confidence\n{row}\n".encode()
        proposed = self._staff(RULES_MAKER).upload(
            f"/v1/figures/{wanted.series}", raw, status=201, name=f"{wanted.series}-{wanted.effective_from}.csv"
        )
        for figure in proposed["proposed"]:
            self._staff(RULES_CHECKER).post(f"/v1/figures/{figure}/accept", {})
        asked = {"product": self._pack.scenario.product, "date": year}
        report = self._operator.post("/v1/operations/interest", asked)
        again = self._operator.post("/v1/operations/interest", asked)
        if report["waiting"] or not report["members"] or again["members"]:
            raise DemoFailed(f"{self._pack.code}: interest of the year of {year}: {report}, then {again}")
        return YearEnded(Decimal(report["credited"]), report["members"])

    def claim(self, ended: YearEnded) -> tuple[int, tuple[str, str]]:
        """Claim the year's state money by two people, and book what the state pays; return the claim and its line, (reference, amount).

        Raises:
            DemoFailed: what was paid is not what was claimed.
        """
        claimer = self._staff(CLAIMER)
        asked = {"product": self._pack.scenario.product, "date": self._wanted.day.isoformat()}
        claim = claimer.post("/v1/state-claims", asked, status=201)
        number = claim["claim"]
        self._operator.post(f"/v1/state-claims/{number}/sending", {"digest": claim["digest"]})
        reference = f"STATE-{number}"
        paid = {"amount": claim["total"], "channel": self._wanted.paid_by, "reference": reference}
        booked = claimer.post(f"/v1/state-claims/{number}/receipt", paid, status=201)
        if booked["received"] != claim["total"]:
            raise DemoFailed(f"{self._pack.code}: claim {number} is paid otherwise than claimed: {booked}")
        ended.claimed, ended.claim_lines = Decimal(claim["total"]), claim["lines"]
        return number, (reference, str(claim["total"]))

    def share(self, number: int, ended: YearEnded) -> None:
        """Share the state money that the statement has shown.

        Raises:
            DemoFailed: members did not get what was claimed for them.
        """
        shared: Mapping[str, str] = self._staff(CLAIMER).post(f"/v1/state-claims/{number}/sharing", {}, status=201)
        ended.shared = Decimal(shared["given"])
        if ended.shared != ended.claimed:
            raise DemoFailed(f"{self._pack.code}: claim {number} was shared otherwise than claimed: {shared}")
