"""What goes out: a message to one reader, a screen to one telephone."""

from msgspec import Struct

from engine.notices.rules.gsm7 import Encoding, needed, pieces


class ApprovedTemplate(Struct, frozen=True, kw_only=True):
    """A text that the provider has approved before and fills in itself; `values` in the order it numbers them."""

    name: str
    language: str
    values: tuple[str, ...] = ()


class OutgoingMessage(Struct, frozen=True, kw_only=True):
    """One text to one reader.

    `reference` is ours, unique for ever, stored before the first byte goes out and the same when the message is sent
    again. `to` is a number in E.164 with its +, or an address. `sender` is what the reader sees as the sender, "" for
    what the provider has on file. `subject` is for e-mail, `template` for those who carry no free text.
    """

    reference: str
    to: str
    text: str
    sender: str = ""
    subject: str = ""
    template: ApprovedTemplate | None = None

    def __repr__(self) -> str:
        """Return what may be logged: who is written to, and what, may not."""
        return f"OutgoingMessage(reference={self.reference!r})"

    @property
    def encoding(self) -> Encoding:
        """Return how the text travels as a short message."""
        return needed(self.text)

    @property
    def pieces(self) -> tuple[str, ...]:
        """Return the short messages that the text is carried by, at least one."""
        return pieces(self.text, self.encoding)


class UssdScreen(Struct, frozen=True, kw_only=True):
    """What the telephone shows; `ends` closes the session, else it waits for an input."""

    text: str
    ends: bool
