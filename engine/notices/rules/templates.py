"""Message templates of a pack: read, checked against what the engine can say, and filled in.

    [[message]]
    id = "contribution-received"
    text = "{amount} received. You have saved {balance}. Receipt {receipt}"
    parts = 1
    placeholders = { amount = { longest = 16 }, balance = { longest = 18 }, receipt = { longest = 12 } }

`content/<language>/messages.toml` of a pack holds them, one file a language.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from engine.notices.rules.gsm7 import Encoding
from engine.notices.rules.messages import ApprovedTemplate, OutgoingMessage
from engine.notices.rules.placeholders import Placeholders, fill, named, placeholder_problems, worst_case
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode, shown, under, unknown
from engine.tenancy.rules.manifest import Code


class WhatsAppTemplate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The text as the provider approved it, for readers who did not write within the day."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,512}$", description="lower-case letters, digits and _")]
    language: Annotated[str, Meta(pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$", description="a language such as en or pt_BR")]
    values: tuple[str, ...] = ()


class MessageTemplate(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A text for one occasion in one language. `parts` is the most short messages that it may take."""

    id: Code
    text: Annotated[str, Meta(min_length=1, max_length=2000, description="text of 1 to 2000 characters")]
    subject: Annotated[str, Meta(max_length=120, description="text of 120 characters at most")] = ""
    encoding: Encoding = Encoding.GSM_7
    parts: Annotated[int, Meta(ge=1, le=6, description="a whole number from 1 to 6")] = 1
    placeholders: Placeholders = {}
    whatsapp: WhatsAppTemplate | None = None


class _MessageFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    message: Annotated[tuple[MessageTemplate, ...], Meta(min_length=1, description="a list of [[message]]")]


Templates = Mapping[str, MessageTemplate]
"""The templates of one language, by id."""
Occasions = Mapping[str, frozenset[str]]
"""What the engine tells people, by id, with the values it then has."""


def decode_templates(
    file: str, content: bytes, *, occasions: Occasions | None = None
) -> tuple[Templates, list[PackProblem]]:
    """Return the sound templates of a file, and everything that is wrong with the others.

    Args:
        file: its name in the pack, for the problems.
        content: TOML in UTF-8.
        occasions: if given, ids and placeholders beyond it are problems.

    """
    problems: list[PackProblem] = []
    table = read_toml(file, content, problems)
    if table is None:
        return {}, problems
    decoded, problems = decode(table, _MessageFile, file=file)
    found: dict[str, MessageTemplate] = {}
    for row, one in enumerate(decoded.message if decoded else (), 1):
        key = f"message[{row}]"
        reasons = [(under(key, name), reason) for name, reason in _problems(one, occasions)]
        if one.id in found:
            reasons.append((under(key, "id"), f"{shown(one.id)} stands above already"))
        problems.extend(PackProblem(file, place, reason) for place, reason in reasons)
        if not reasons:
            found[one.id] = one
    return found, problems


def render(
    template: MessageTemplate, values: Mapping[str, str], *, reference: str, to: str, sender: str = ""
) -> OutgoingMessage:
    """Return the message of a sound template.

    Its text takes at most `template.parts` short messages. `values` are texts as people read them, money written by
    `gsm7.money`; more of them than the template names may be given.

    Raises:
        ValueTooLong: a value does not fit where it must not be cut.
        KeyError: a value is missing.
    """
    filled = {
        name: fill(f"{{{name}}}", template.placeholders, values, template.encoding) for name in template.placeholders
    }
    known = template.whatsapp
    approved = known and ApprovedTemplate(
        name=known.name, language=known.language, values=tuple(filled[name] for name in known.values)
    )
    return OutgoingMessage(
        reference=reference,
        to=to,
        text=fill(template.text, template.placeholders, values, template.encoding),
        sender=sender,
        subject=template.subject,
        template=approved or None,
    )


def _problems(one: MessageTemplate, occasions: Occasions | None) -> list[tuple[str, str]]:
    """Return what is wrong with a template, each with the key it stands at."""
    if occasions is not None and one.id not in occasions:
        return [("id", unknown(one.id, occasions, what="a message that the engine sends"))]
    offered = one.placeholders.keys() if occasions is None else occasions[one.id]
    found = [("text", reason) for reason in placeholder_problems(one.text, one.placeholders, one.encoding)]
    found += [
        (f"placeholders.{name}", unknown(name, offered, what="a value that this message has"))
        for name in one.placeholders
        if name not in offered
    ]
    found += [
        (f"whatsapp.values[{row}]", unknown(name, one.placeholders, what="a declared placeholder"))
        for row, name in enumerate(one.whatsapp.values if one.whatsapp else (), 1)
        if name not in one.placeholders
    ]
    if found:
        return found
    used = {*named(one.text), *(one.whatsapp.values if one.whatsapp else ())}
    found = [
        (f"placeholders.{name}", "is declared but stands nowhere in the text")
        for name in one.placeholders
        if name not in used
    ]
    most = worst_case(one.text, one.placeholders, one.encoding)
    room = room_in(one.parts, one.encoding)
    if most > room:
        words = "septets" if one.encoding is Encoding.GSM_7 else "16-bit units"
        found.append(("text", f"takes up to {most} {words}; {one.parts} of {one.encoding} hold {room}"))
    return found


def room_in(parts: int, encoding: Encoding) -> int:
    """Return the units that surely fit into `parts` messages, whatever the letters.

    A part of several may have to end one unit early, before a letter of two.
    """
    return encoding.single if parts == 1 else parts * (encoding.part - 1) + 1
