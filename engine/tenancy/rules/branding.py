"""How a tenant looks: its colours, checked to be readable, and its logo, checked to be a picture and nothing else."""

import re
from collections.abc import Mapping
from typing import Annotated
from xml.parsers import expat

from msgspec import Meta, Struct

from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.decoding import shown

LEAST_CONTRAST = 4.5
LARGEST_LOGO = 64 * 1024  # bytes; it is sent with every page
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_ELEMENTS = frozenset(
    "svg g defs title desc path rect circle ellipse line polyline polygon linearGradient radialGradient stop clipPath "
    "use symbol".split()
)
_LEGIBLE = (("text", "background"), ("text", "surface"), ("muted", "background"), ("muted", "surface"),
            ("brand", "background"), ("brand", "surface"), ("button_text", "button"))  # fmt: skip

Colour = Annotated[str, Meta(pattern=r"^#[0-9a-f]{6}$", description="a colour such as #1a2b3c, in lower case")]


class Colours(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The colours of a tenant's pages: `text`, `muted` and `brand` (headings, links) stand on `background` and `surface`."""

    background: Colour
    surface: Colour
    text: Colour
    muted: Colour
    brand: Colour
    button: Colour
    button_text: Colour
    line: Colour


class Theme(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`branding/theme.toml`."""

    colours: Colours

    def css_variables(self) -> Mapping[str, str]:
        """Return the colours as CSS custom properties: "--colour-button-text" and its kin."""
        names = self.colours.__struct_fields__
        return {f"--colour-{name.replace('_', '-')}": getattr(self.colours, name) for name in names}


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours "#rrggbb", from 1 to 21, as WCAG 2.2 defines it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def contrast_problems(theme: Theme, file: str) -> list[PackProblem]:
    """Return which texts of a theme could not be read on what they stand on (WCAG 2.2, 1.4.3 level AA: 4.5 to 1)."""
    found = []
    for front, back in _LEGIBLE:
        ratio = contrast(getattr(theme.colours, front), getattr(theme.colours, back))
        if ratio < LEAST_CONTRAST:
            # Cut, not rounded: 4.499 must not read as 4.50.
            reason = (
                f"has a contrast of {int(ratio * 100) / 100:.2f} to 1 on {back}; at least {LEAST_CONTRAST} is needed"
            )
            found.append(PackProblem(file, f"colours.{front}", reason))
    return found


def logo_problems(content: bytes, file: str) -> list[PackProblem]:
    """Return why an SVG file may not be shown: not well-formed, too large, or able to run or fetch anything."""
    if len(content) > LARGEST_LOGO:
        return [PackProblem(file, "", f"is larger than {LARGEST_LOGO} bytes")]
    reasons: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        namespace, _, local = name.rpartition(" ")
        if depth == 0 and (namespace, local) != (_SVG, "svg"):
            reasons.append(f"begins with <{local}>, not with <svg> of the namespace {_SVG}")
        elif depth == 0 and "viewBox" not in attributes:
            reasons.append("has no viewBox, so it cannot be scaled")
        elif namespace != _SVG or local not in _ELEMENTS:
            reasons.append(f"has the element <{local}>; allowed: {', '.join(sorted(_ELEMENTS))}")
        for attribute, value in attributes.items():
            reason = _attribute_reason(attribute, value)
            if reason:
                reasons.append(f"<{local}>: {reason}")
        depth += 1

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_parts: object) -> None:
        reasons.append("has a document type declaration, which could define entities")

    def instruction(target: str, _data: str) -> None:
        reasons.append(f"has the processing instruction <?{target}?>")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    parser.ProcessingInstructionHandler = instruction
    parser.DefaultHandler = lambda _data: None  # an undefined entity is then an error, a defined one is not expanded
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        reasons.append(f"is not well-formed XML: {error}")
    return [PackProblem(file, "", reason) for reason in dict.fromkeys(reasons)]


def _attribute_reason(name: str, value: str) -> str | None:
    namespace, _, local = name.rpartition(" ")
    squeezed = re.sub(r"\s", "", value).lower()
    if local.lower().startswith("on"):
        return f"the attribute {local} could run a script"
    if local == "href" and namespace in ("", _XLINK):
        return None if squeezed.startswith("#") else f"href {shown(value)} leads out of the file"
    if local == "style" or "\\" in value:
        return f"the attribute {local} {shown(value)} holds CSS; use plain attributes"
    if "url(" in squeezed.replace("url(#", ""):
        return f"the attribute {local} {shown(value)} leads out of the file"
    if "script:" in squeezed:
        return f"the attribute {local} {shown(value)} could run a script"
    return None


def _luminance(colour: str) -> float:
    """Return the relative luminance of "#rrggbb", 0 black to 1 white, by the formula of WCAG 2.2."""
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
