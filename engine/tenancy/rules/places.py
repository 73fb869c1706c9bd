"""On which line of a file a problem stands, so that whoever wrote it finds it."""

import re

_ROW = re.compile(r"^(?P<name>[^.\[\]]+)(?:\[(?P<row>\d+)\])?")


def line_of(text: str, key: str) -> int:
    """Return the line, counted from 1, on which a dotted key of a TOML file stands: the nearest that can be told.

    Of "rule[2].parts[1].share" that is the line of `parts` in the second [[rule]]; where that row has no such line, its
    header. 0 where nothing of the key can be found, and for a file as a whole.
    """
    lines = text.splitlines()
    first, _, rest = key.partition(".")
    found = _ROW.match(first)
    if found is None:
        return 0
    name, row = re.escape(found["name"]), int(found["row"] or 0)
    headers = [n for n, line in enumerate(lines, 1) if re.match(rf"\[\[\s*{name}\s*\]\]", line)]
    if headers and row > len(headers):
        return 0
    if not headers or not row:
        return next((n for n, line in enumerate(lines, 1) if re.match(rf"\[?{name}\s*[\]=.]", line)), 0)
    start = headers[row - 1]
    end = next((n for n in range(start + 1, len(lines) + 1) if re.match(r"\[\[?\s*\w", lines[n - 1])
                and not re.match(rf"\[\[?\s*{name}\.", lines[n - 1])), len(lines) + 1)  # fmt: skip
    inner = _ROW.match(rest)
    wanted = rf"(\[\[?{name}\.)?{re.escape(inner['name'])}\s*[\]=]" if inner else ""
    return next((n for n in range(start + 1, end) if wanted and re.match(wanted, lines[n - 1])), start)
