"""A page as a tree, read strictly: an element left open, closed twice or closed by another is an error."""

from html.parser import HTMLParser
from xml.etree.ElementTree import Element, SubElement

_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("page")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute: {names}"
        element = SubElement(self._open[-1], tag, {name: value or "" for name, value in attrs})
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}> at {self.getpos()}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        parent = self._open[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + data
        else:
            parent.text = (parent.text or "") + data

    def finish(self) -> Element:
        self.close()
        assert self._open == [self.root], [element.tag for element in self._open]
        return self.root


def tree(page: str) -> Element:
    """Return the root of a page."""
    assert page.startswith("<!doctype html>"), page[:40]
    reader = _Reader()
    reader.feed(page)
    root = reader.finish()
    (html,) = [child for child in root if child.tag == "html"]
    return html


def words(element: Element) -> str:
    """Return the text of an element and all in it, blanks made single."""
    return " ".join("".join(element.itertext()).split())


def every(root: Element, tag: str, **attributes: str) -> list[Element]:
    """Return the elements of a tag with those attributes; `class_` is one class of several."""
    found = []
    for element in root.iter(tag):
        classes = element.get("class", "").split()
        wanted = {name.replace("_", "-"): value for name, value in attributes.items() if name != "class_"}
        if "class_" in attributes and attributes["class_"] not in classes:
            continue
        if all(element.get(name) == value for name, value in wanted.items()):
            found.append(element)
    return found


def by_id(root: Element, name: str) -> Element:
    """Return the one element of that id."""
    (found,) = [element for element in root.iter() if element.get("id") == name]
    return found


def rows_of(root: Element, caption: str) -> list[list[str]]:
    """Return the texts of the rows of the table with the caption of that id."""
    (table,) = [one for one in root.iter("table") if any(c.get("id") == caption for c in one.iter("caption"))]
    (body,) = table.iter("tbody")
    return [[words(cell) for cell in row if cell.tag in ("td", "th")] for row in body.iter("tr")]
