"""Synthetic people: drawn from a seed and the pack's list of names, with numbers that are right in form and nobody's."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from stdnum import verhoeff

from demo.scenario import Cadence, Pack, Saver, Way

NAMES = "demo/names.csv"
_YEAR = timedelta(days=365)
Key = TypeVar("Key", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person, and the habit they save by. `saver` is set for one whose account is calculated by hand."""

    index: int
    full_name: str
    sex: str
    born_on: date
    phone: str
    document: str
    document_number: str
    language: str
    group: str
    joins_on: date
    way: Way
    channel: str
    cadence: Cadence
    nominee: str
    saver: Saver | None = None

    def application(self, product: str, consents: Mapping[str, list[dict[str, str]]]) -> dict[str, Any]:
        """Return the body of an enrolment; `consents` are what joining needs, by language."""
        body: dict[str, Any] = {
            "product": product,
            "full_name": self.full_name,
            "born_on": self.born_on.isoformat(),
            "sex": self.sex,
            "phone": self.phone,
            "documents": [{"document": self.document, "number": self.document_number}],
            "language": self.language,
            "consents": consents[self.language],
        }
        if self.group:
            body["group"] = self.group
        if self.nominee:
            body["nominees"] = [{"full_name": self.nominee, "relationship": "family", "share_bp": 10_000}]
        return body


@dataclass(frozen=True, slots=True)
class _Names:
    female: tuple[str, ...]
    male: tuple[str, ...]
    family: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "_Names":
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        kinds = {
            kind: tuple(row["name"] for row in rows if row["kind"] == kind) for kind in ("female", "male", "family")
        }
        return cls(**kinds)

    def draw(self, rng: Random, sex: str) -> str:
        return f"{rng.choice(self.female if sex == 'female' else self.male)} {rng.choice(self.family)}"


def working_days(first: date, last: date) -> Iterator[date]:
    """Yield the days from Monday to Friday between two days, both included."""
    day = first
    while day <= last:
        if day.weekday() < 5:
            yield day
        day += timedelta(days=1)


def pick(rng: Random, weights: Mapping[Key, int]) -> Key:
    """Return one of the keys, each as likely as its weight."""
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def population(pack: Pack) -> list[Person]:
    """Return the people of a pack's demo. Each depends on the seed and their own index, not on how many there are."""
    scenario, names = pack.scenario, _Names.read(pack.folder / NAMES)
    people = scenario.people
    start = list(working_days(scenario.first_day, scenario.last_payment))[: people.start_days]
    found = [_saver(pack, index, saver, names) for index, saver in enumerate(scenario.saver)]
    for index in range(len(found), people.at_start + people.later):
        rng = Random(f"{scenario.seed}:{pack.code}:person:{index}")
        joins_on = start[index % len(start)]
        if index >= people.at_start:
            until = people.later_until or scenario.last_payment
            joins_on = rng.choice(list(working_days(start[-1] + timedelta(days=1), until)))
        found.append(_person(pack, index, rng, names, joins_on))
    return found


def _person(pack: Pack, index: int, rng: Random, names: _Names, joins_on: date) -> Person:
    scenario = pack.scenario
    people, sending = scenario.people, scenario.sending
    sex = "female" if rng.random() < people.women else "male"
    youngest, oldest = people.ages
    age_days = rng.randint(youngest * 366, oldest * 365)
    born_on = scenario.first_day - timedelta(days=age_days)
    way = pick(rng, sending.ways)
    return Person(
        index=index,
        full_name=names.draw(rng, sex),
        sex=sex,
        born_on=born_on,
        phone=_phone(pack, index),
        document=people.document,
        document_number=_document(people.document, index, sex=sex, born_on=born_on),
        language=pick(rng, people.languages),
        group=pick(rng, people.groups) if people.groups else "",
        joins_on=joins_on,
        way=way,
        channel=rng.choice(sending.channels[way]),
        cadence=pick(rng, scenario.saving.cadences),
        nominee=names.draw(rng, "female") if rng.random() < people.nominee else "",
    )


def _saver(pack: Pack, index: int, saver: Saver, names: _Names) -> Person:
    scenario = pack.scenario
    return Person(
        index=index,
        full_name=saver.full_name,
        sex=saver.sex,
        born_on=saver.born_on,
        phone=_phone(pack, index),
        document=scenario.people.document,
        document_number=_document(scenario.people.document, index, sex=saver.sex, born_on=saver.born_on),
        language=saver.language,
        group=saver.group,
        joins_on=scenario.first_day,
        way=saver.way,
        channel=scenario.sending.channels[saver.way][0],
        cadence="monthly",
        nominee=names.draw(Random(f"{scenario.seed}:{saver.code}"), "female"),
        saver=saver,
    )


def _phone(pack: Pack, index: int) -> str:
    people = pack.scenario.people
    prefix = people.phone_prefixes[index % len(people.phone_prefixes)]
    return f"{prefix}{index:0{people.phone_digits}d}"


def _document(kind: str, index: int, *, sex: str, born_on: date) -> str:
    """Return an identity number that is right in form and nobody's.

    Aadhaar: twelve digits that begin with 9999, as the issuer's own examples do, the last a Verhoeff check digit.
    Rwanda's: 16 digits: citizen, year of birth, 8 for men and 7 for women, order, issue, two security digits.
    """
    if kind == "aadhaar":
        body = f"9999{index:07d}"
        return body + str(verhoeff.calc_check_digit(body))
    return f"1{born_on.year}{8 if sex == 'male' else 7}{index:07d}0{index * 37 % 100:02d}"
