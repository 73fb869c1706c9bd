"""XML from outside, read with nothing of it believed: no DTD, no entities, no network, UTF-8 only, a cap on the size.

And XML for outside, written so that the same values give the same bytes.
"""

import re
from functools import lru_cache

from lxml import etree

from engine.kernel.files import Wrong

BYTES_MAX = 64_000_000  # some 40,000 statement entries with all their details

_DECLARATION = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*\?>""")
_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def read_document(raw: bytes, *, bytes_max: int = BYTES_MAX) -> etree._Element:
    """Return the root of the document in `raw`.

    Comments and processing instructions are left out. ISO 20022 asks for UTF-8; any other encoding is refused, which
    also leaves no encoding in which a document type could hide.

    Raises:
        Wrong: empty, too large, not UTF-8, with a document type or an entity, or not well-formed to its end.

    """
    if not raw.strip():
        raise Wrong("file", "empty-file")
    if len(raw) > bytes_max:
        raise Wrong("file", "too-large", f"It has {len(raw)} bytes; the most is {bytes_max}.")
    _check_encoding(raw)
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise Wrong("file", "document-type")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True, huge_tree=False
    )
    try:
        return etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise Wrong("file", "not-xml", row=error.lineno) from error


def _check_encoding(raw: bytes) -> None:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Wrong("file", "not-text", "It must be in UTF-8.", row=raw.count(b"\n", 0, error.start) + 1) from error
    declared = _DECLARATION.match(raw.removeprefix(b"\xef\xbb\xbf").lstrip())
    if declared is not None and declared[1].decode("ascii").lower() not in _ENCODINGS:
        raise Wrong("file", "not-text", f"It says that it is in {declared[1].decode('ascii')}; it must be in UTF-8.")


def namespace_of(element: etree._Element) -> str:
    """Return the namespace of an element, "" if it has none."""
    return etree.QName(element).namespace or ""


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace."""
    return etree.QName(element).localname


class Node:
    """An element read by paths of local names in the document's own namespace, such as "Acct/Id/IBAN"."""

    __slots__ = ("_prefix", "element")

    def __init__(self, element: etree._Element) -> None:
        self.element = element
        self._prefix = f"{{{namespace_of(element)}}}" if namespace_of(element) else ""

    @property
    def row(self) -> int:
        """Return the line of the file that the element begins in."""
        row: int | None = self.element.sourceline  # type: ignore[assignment] # the stubs take it for text
        return row or 0

    @property
    def name(self) -> str:
        """Return the element's local name."""
        return local_name(self.element)

    def all(self, path: str) -> list["Node"]:
        """Return every element at `path`, in the order of the document."""
        return [Node(found) for found in self.element.findall(self._qualified(path))]

    def find(self, path: str) -> "Node | None":
        """Return the first element at `path`, or None."""
        found = self.element.find(self._qualified(path))
        return None if found is None else Node(found)

    def text(self, *paths: str) -> str:
        """Return the text of the first of `paths` that has one, without the blanks around it; "" if none has."""
        for path in paths:
            found = (self.element.findtext(self._qualified(path)) or "").strip()
            if found:
                return found
        return ""

    def need(self, path: str) -> "Node":
        """Return the first element at `path`; Wrong if there is none."""
        found = self.find(path)
        if found is None:
            raise Wrong(path, "missing", row=self.row)
        return found

    def need_text(self, *paths: str) -> str:
        """Return the text of the first of `paths` that has one; Wrong, naming the first path, if none has."""
        found = self.text(*paths)
        if not found:
            raise Wrong(paths[0], "missing", row=self.row)
        return found

    def children(self) -> list["Node"]:
        """Return the elements within this one."""
        return [Node(child) for child in self.element]

    @property
    def value(self) -> str:
        """Return the element's own text, without the blanks around it."""
        return (self.element.text or "").strip()

    def attribute(self, name: str) -> str:
        """Return an attribute, "" if it is not there."""
        return str(self.element.get(name) or "").strip()

    def _qualified(self, path: str) -> str:
        return _qualified(self._prefix, path)


@lru_cache(maxsize=4096)
def _qualified(prefix: str, path: str) -> str:
    return "/".join(f"{prefix}{step}" for step in path.split("/"))


class Builder:
    """Makes elements of one namespace: `make("Amt", "12.50", Ccy="KES")`. Content that is None is left out."""

    __slots__ = ("namespace",)

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def __call__(self, name: str, *content: "etree._Element | str | None", **attributes: str) -> etree._Element:
        """Return the element `name` with the content in the order given: elements, or one text."""
        made = etree.Element(f"{{{self.namespace}}}{name}", attributes, nsmap={None: self.namespace})  # type: ignore[dict-item] # no prefix
        for part in content:
            if isinstance(part, str):
                made.text = part
            elif part is not None:
                made.append(part)
        return made

    def optional(self, name: str, text: str) -> etree._Element | None:
        """Return the element with `text`, or None if the text is empty."""
        return self(name, text) if text else None

    def path(self, path: str, *content: "etree._Element | str | None", **attributes: str) -> etree._Element:
        """Return elements one in another, outermost first, such as "Acct/Id/IBAN"; content and attributes are the last's."""
        *outer, last = path.split("/")
        made = self(last, *content, **attributes)
        for name in reversed(outer):
            made = self(name, made)
        return made


def document_bytes(root: etree._Element) -> bytes:
    """Return a whole document in UTF-8, indented."""
    etree.indent(root, space="  ")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8") + b"\n"
