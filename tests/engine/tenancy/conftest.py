"""A small pack on disk that tests spoil on purpose, with kinds of rules of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from msgspec import Meta, Struct

from engine.kernel.errors import Refused
from engine.kernel.rules import Rule
from engine.tenancy.rules import MissingInput, Runner, ScenarioContext
from engine.tenancy.service import PackReport, check_pack

Kinds = tuple[type[Rule], ...]
MakeToy = Callable[..., "ToyPack"]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    pot: str
    share: Annotated[int, Meta(ge=1, le=100)]


class Least(Rule, tag="least", frozen=True, kw_only=True):
    amount: Annotated[int, Meta(ge=0)]
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if self.parts and sum(part.share for part in self.parts) != 100:
            raise ValueError("the shares must sum to 100")


class Paper(Rule, tag="paper", frozen=True, kw_only=True):
    many: ClassVar[bool] = True
    name: str


class Other(Rule, tag="other", frozen=True, kw_only=True):
    value: int = 0


class TooLittle(Refused):
    code = "toy.too-little"


KINDS: tuple[type[Rule], ...] = (Least, Paper, Other)


def pay(context: ScenarioContext) -> Mapping[str, str]:
    least = context.rule(Least)
    if "amount" not in context.given:
        raise MissingInput("amount")
    amount = int(context.text("amount"))
    if least is not None and amount < least.rule.amount:
        raise TooLittle
    return {"taken": str(amount), "papers": ",".join(one.rule.name for one in context.rules(Paper))}


FILES = {
    "pack.toml": """\
name = "Toy Saving Scheme"
short_name = "Toy"
country = "KE"
currency = "KES"
time_zone = "Africa/Nairobi"
calendar = "KE"
phone_country = "KE"
languages = ["en", "sw"]
hosts = ["toy.localhost"]
log_origin = "toy.localhost/log"

[locales]
en = "en_KE"
sw = "sw_KE"

[regulator]
name = "The Regulator"
short_name = "TR"

[roles]
scheme = "The members' pool"

[[channels]]
code = "till"
name = "Till"
account = "TILL 1"

[member_number]
digits = 10
prefix = "7"
source = "invented"

[[products]]
code = "main"
name = "Main"
pots = [{ code = "savings", name = "Savings" }]
origins = ["own"]
scheme_year_start = "07-01"
opened_on = 2020-01-01
source = "invented"
""",
    "main/rules/2020-01-01.toml": """\
[[rule]]
kind = "least"
id = "least-payment"
amount = 10
source = "page 1"
confidence = "high"

[[rule]]
kind = "paper"
id = "passport"
name = "passport"
source = "page 2"
confidence = "high"
""",
    "main/rules/2022-01-01.toml": """\
[[rule]]
kind = "least"
id = "least-payment"
amount = 20
source = "page 3"
confidence = "high"

[[rule]]
kind = "paper"
id = "licence"
name = "licence"
source = "page 4"
confidence = "high"

[[repeal]]
id = "passport"
source = "page 5"
""",
    "branding/theme.toml": """\
[colours]
background = "#ffffff"
surface = "#f4f4f4"
text = "#111111"
muted = "#555555"
brand = "#004488"
button = "#004488"
button_text = "#ffffff"
line = "#cccccc"
""",
    "branding/logo.svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4"/></svg>\n',
    "content/en/consents.toml": """\
[[consent]]
id = "rules"
title = "The rules"
text = "I agree to the rules of the scheme."
""",
    "content/sw/consents.toml": """\
[[consent]]
id = "rules"
title = "Kanuni"
text = "Ninakubali kanuni za mpango huu."
""",
    "locales/sw/LC_MESSAGES/engine.po": """\
msgid ""
msgstr ""
"Language: sw\\n"
"Content-Type: text/plain; charset=UTF-8\\n"

msgid "The smallest contribution is {minimum}."
msgstr "Mchango mdogo zaidi ni {minimum}."
""",
    "scenarios/payments.toml": """\
[[scenario]]
name = "The least payment is taken"
kind = "pay"
product = "main"
on = 2020-06-01
given = { amount = 10 }
expect = { taken = "10", papers = "passport" }
source = "page 1"

[[scenario]]
name = "Less is refused"
kind = "pay"
product = "main"
on = 2020-06-01
given = { amount = 9 }
expect = { refused = "toy.too-little" }
source = "page 1"

[[scenario]]
name = "The least payment of 2022 is taken"
kind = "pay"
product = "main"
on = 2022-01-01
given = { amount = 20 }
expect = { taken = "20", papers = "licence" }
source = "page 3"
""",
}


@dataclass
class ToyPack:
    """A pack in a folder; `check` reads it anew each time."""

    path: Path

    def write(self, file: str, content: str | bytes) -> "ToyPack":
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def replace(self, file: str, old: str, new: str) -> "ToyPack":
        content = (self.path / file).read_text(encoding="utf-8")
        assert old in content, (file, old)
        return self.write(file, content.replace(old, new, 1))

    def append(self, file: str, more: str) -> "ToyPack":
        return self.write(file, (self.path / file).read_text(encoding="utf-8") + more)

    def remove(self, file: str) -> "ToyPack":
        (self.path / file).unlink()
        return self

    def check(self) -> PackReport:
        return check_pack(self.path, KINDS, {"pay": pay})

    def problems(self) -> list[str]:
        return [str(problem) for problem in self.check().problems]


def write_pack(folder: Path, code: str = "ke-toy") -> ToyPack:
    pack = ToyPack(folder / code)
    for file, content in FILES.items():
        pack.write(file, content)
    return pack


@pytest.fixture
def toy(tmp_path: Path) -> ToyPack:
    return write_pack(tmp_path)


@pytest.fixture
def make_toy() -> Callable[..., ToyPack]:
    """Write a sound pack into a folder, under a code."""
    return write_pack


@pytest.fixture
def toy_kinds() -> tuple[type[Rule], ...]:
    return KINDS


@pytest.fixture
def least() -> type[Least]:
    return Least


@pytest.fixture
def toy_runners() -> Mapping[str, Runner]:
    return {"pay": pay}
