"""What a pack's `demo.toml` says: how many people, how they save, when, by which way; strictly decoded."""

import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[int, Meta(ge=1)]
Cadence = Literal["weekly", "fortnightly", "monthly"]
Way = Literal["single", "batch", "file"]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Amounts = Annotated[tuple[str, ...], Meta(min_length=1)]
FILE = "demo.toml"


class DemoInvalid(Exception):
    """A pack's demo.toml cannot be used; the message names file, key and reason."""


class People(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who joins. `groups` and `languages` are weights; `ages` are completed years on the first day, both ends included.

    `at_start` people join over the first `start_days` working days, `later` ones one by one until `later_until`.
    """

    at_start: Annotated[int, Meta(ge=1)]
    start_days: Annotated[int, Meta(ge=1)] = 1
    later: Annotated[int, Meta(ge=0)] = 0
    later_until: date | None = None
    ages: tuple[int, int]
    women: Share
    languages: Mapping[str, Weight]
    groups: Mapping[str, Weight] = {}
    document: Literal["aadhaar", "nid"]
    phone_prefixes: Annotated[tuple[str, ...], Meta(min_length=1)]
    phone_digits: Annotated[int, Meta(ge=1, le=8)]
    nominee: Share


class Saving(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How people save. `skipped` and `late` are shares of payments, `dormant` a share of people who pause for weeks."""

    cadences: Mapping[Cadence, Weight]
    amounts: Mapping[Cadence, Amounts]
    skipped: Share = 0.0
    late: Share = 0.0
    dormant: Share = 0.0
    dormant_weeks: tuple[int, int] = (6, 20)


class Sending(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """By which way payments come: one request each, many in one request, or a file on certain days of the month.

    `channels` says which collection channels each way uses; `connections` how many requests are under way at once.
    Files are sent on the days `files_on` of the months `file_months`, or the next working day.
    """

    ways: Mapping[Way, Weight]
    channels: Mapping[Way, Annotated[tuple[str, ...], Meta(min_length=1)]]
    files_on: tuple[Annotated[int, Meta(ge=1, le=28)], ...] = ()
    file_months: tuple[Annotated[int, Meta(ge=1, le=12)], ...] = tuple(range(1, 13))
    connections: Annotated[int, Meta(ge=1, le=64)] = 32


class Mishaps(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What goes wrong, as it does: payments sent again, numbers that nobody has, numbers mistyped, a file sent twice."""

    sent_again: Share = 0.0
    unknown_numbers: Annotated[int, Meta(ge=0)] = 0
    wrong_digits: Annotated[int, Meta(ge=0)] = 0
    file_sent_twice: bool = False


class Collecting(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A round of requests for payments on the day of the last payment, through simulated operators that misbehave.

    `requests` go to members of each channel, for `amount`, and each channel's operator misbehaves `misbehaving` times in
    every way; those to `others`, by channel, to telephones of people who
    cannot or will not pay. `left_unknown` of a channel nobody can ever tell of: its operator does not know a request
    by our name, so one whose sending failed is never sent again. `one_address`: channels whose operator calls back at
    one address, entered by people.
    """

    requests: Annotated[int, Meta(ge=1)]
    amount: str
    misbehaving: Annotated[int, Meta(ge=1)] = 1
    others: Mapping[str, tuple[str, ...]] = {}
    left_unknown: Mapping[str, int] = {}
    one_address: tuple[str, ...] = ()


class YearEnd(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The end of the scheme year that `day` lies in, worked on the first day from `on` on.

    `percent` is declared on `declared_on` for the series `series`, in force from `effective_from`. Members' classes, each as
    likely as its weight, are those of `classes_as_of`. The state pays its claim into the channel `paid_by`.
    """

    on: date
    day: date
    series: str
    percent: str
    effective_from: date
    declared_on: date
    source: str
    classes: Mapping[str, int]
    classes_as_of: date
    paid_by: str


class Retiring(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On the last day those of `from_age` and older take what they saved by the option `rule`, paid to their wallets.

    Each wallet that is `unpayable`, by channel, is written down for one of them at first. Each channel's operator
    misbehaves `misbehaving` times in every way.
    """

    from_age: Annotated[int, Meta(ge=18, le=120)]
    rule: str
    unpayable: Mapping[str, tuple[str, ...]] = {}
    misbehaving: Annotated[int, Meta(ge=0)] = 0


class Pensions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of those who retire, all but every `every`th take instalments over `years` by the option `rule`, from the month's payroll on.

    `unpayable` and `misbehaving` are as those of `retiring`.
    """

    every: Annotated[int, Meta(ge=2)]
    rule: str
    years: Annotated[int, Meta(ge=1, le=60)]
    unpayable: Mapping[str, tuple[str, ...]] = {}
    misbehaving: Annotated[int, Meta(ge=0)] = 0


class Telephones(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At the end `members` dial `service_code`, and a gateway that misbehaves `misbehaving` times in every way carries their messages."""

    members: Annotated[int, Meta(ge=1)]
    service_code: str
    misbehaving: Annotated[int, Meta(ge=0)] = 0


class Trading(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From the day `since` a simulated manager deals for the manager `deals_for` of the prices, in our `account` there."""

    deals_for: str
    account: str
    since: date


class Saver(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person whose account is calculated by hand: the same one however large the demo is.

    `amounts` are taken in turn, a payment every `every` weeks from `from_day` on, by `way`.
    """

    code: Annotated[str, Meta(pattern=r"^[a-z]{1,20}$")]
    full_name: str
    sex: Literal["female", "male"]
    born_on: date
    language: str
    group: str
    way: Way
    from_day: date
    every: Annotated[int, Meta(ge=1, le=8)]
    amounts: Amounts


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tenant's demo: its first and last day, its hours, its people and their habits."""

    seed: int
    product: str
    first_day: date
    last_day: date
    last_payment: date
    morning: TimeOfDay = "09:00"
    evening: TimeOfDay = "21:30"
    prices: str | None = None  # a CSV file in the pack's demo folder; None: the scheme deals in no funds
    schemes: str | None = None
    people: People
    saving: Saving
    sending: Sending
    mishaps: Mishaps = Mishaps()
    collecting: Collecting | None = None
    year_end: YearEnd | None = None
    retiring: Retiring | None = None
    pensions: Pensions | None = None
    telephones: Telephones | None = None
    trading: Trading | None = None
    saver: tuple[Saver, ...] = ()

    def __post_init__(self) -> None:
        """Check what holds between the keys."""
        if not self.first_day <= self.last_payment <= self.last_day:
            raise ValueError("first_day, last_payment and last_day must follow each other")
        if (self.prices is None) != (self.schemes is None):
            raise ValueError("prices and schemes go together")
        if self.pensions is not None and self.retiring is None:
            raise ValueError("pensions are of those who retire: retiring is missing")
        missing = {way for way in self.sending.ways if way not in self.sending.channels}
        if missing:
            raise ValueError(f"sending.channels lacks {', '.join(sorted(missing))}")
        if "file" in self.sending.ways and not self.sending.files_on:
            raise ValueError("sending.files_on is empty, and payments come by file")
        if set(self.saving.cadences) != set(self.saving.amounts):
            raise ValueError("saving.cadences and saving.amounts must name the same cadences")


class Pack(Struct, frozen=True, kw_only=True):
    """What the demo needs to know of a pack, from its `pack.toml` and `demo.toml`."""

    folder: Path
    code: str
    name: str
    currency: str
    time_zone: str
    host: str
    number_prefix: str
    number_digits: int
    scenario: Scenario

    @property
    def zone(self) -> ZoneInfo:
        """Return the zone the scheme counts its days by."""
        return ZoneInfo(self.time_zone)


def load_packs(folders: tuple[Path, ...]) -> list[Pack]:
    """Return the packs in the folders that have a demo, by code.

    Raises:
        DemoInvalid: there is none, or one cannot be used.
    """
    found = [
        _load(path)
        for folder in folders
        for path in ([folder] if (folder / "pack.toml").is_file() else sorted(folder.iterdir()))
        if (path / FILE).is_file()
    ]
    if not found:
        raise DemoInvalid(f"no pack with a {FILE} in {', '.join(map(str, folders))}")
    return sorted(found, key=lambda pack: pack.code)


def _load(folder: Path) -> Pack:
    manifest = _toml(folder / "pack.toml")
    try:
        scenario = msgspec.convert(_toml(folder / FILE), Scenario)
    except msgspec.ValidationError as error:
        raise DemoInvalid(f"{folder / FILE}: {error}") from None
    return Pack(
        folder=folder,
        code=folder.name,
        name=manifest["short_name"],
        currency=manifest["currency"],
        time_zone=manifest["time_zone"],
        host=manifest["hosts"][0],
        number_prefix=manifest["member_number"].get("prefix", ""),
        number_digits=manifest["member_number"]["digits"],
        scenario=scenario,
    )


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DemoInvalid(f"{path}: {error}") from None
