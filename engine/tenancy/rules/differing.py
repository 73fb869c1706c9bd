"""What changed from one version of a pack to another, in words. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from engine.kernel.rules import Rule
from engine.kernel.series import SeriesPoint
from engine.tenancy.rules.books import InForce, RuleBook
from engine.tenancy.rules.explaining import words
from engine.tenancy.rules.packs import Pack

_OF_THEMSELVES = ("scenarios/", "branding/", "content/", "locales/", "README.md")


def differences(old: Pack, new: Pack) -> list[str]:
    """Return a sentence for everything that differs, rules first; nothing where both versions are the same."""
    found = [*_products(old, new), *_manifest(old, new), *_series(old, new), *_tables(old, new)]
    return found + list(_files(old, new))


def _products(old: Pack, new: Pack) -> Iterator[str]:
    for code in sorted({*old.books, *new.books}):
        if code not in new.books:
            yield f"{code}: the product is gone"
        elif code not in old.books:
            yield f"{code}: the product is new, with {len(new.books[code].versions())} rules"
        else:
            yield from _book(code, old.books[code], new.books[code])


def _book(code: str, old: RuleBook, new: RuleBook) -> Iterator[str]:
    before = {one.ref: one for one in old.versions()}
    after = {one.ref: one for one in new.versions()}
    for ref in sorted(before.keys() - after.keys()):
        yield f"{code}: {ref} is taken out of the book: what it decided before is decided without it"
    for ref in sorted(after.keys() - before.keys()):
        yield f"{code}: {_new(after[ref], old)}"
    for ref in sorted(before.keys() & after.keys()):
        for change in _changes(before[ref].rule, after[ref].rule):
            yield f"{code}: {ref} is rewritten in place: {change}"
    repealed = {one.rule.id for one in old.latest()} - {one.rule.id for one in new.latest()}
    for rule_id in sorted(repealed & {one.rule.id for one in new.versions()}):
        yield f"{code}: {rule_id} is repealed"


def _new(version: InForce[Rule], old: RuleBook) -> str:
    rule = version.rule
    since = f"from {version.effective_from}" + ("" if rule.applies_by == "event" else f" by {rule.applies_by}")
    earlier = next((one for one in reversed(old.latest()) if one.rule.id == rule.id), None)
    if earlier is None:
        return f"{rule.id} is added {since}: {_all(rule)}"
    changes = "; ".join(_changes(earlier.rule, rule)) or "nothing but its date"
    return f"{rule.id} changes {since}: {changes}"


def _changes(old: Rule, new: Rule) -> Iterator[str]:
    before, after = (msgspec.to_builtins(rule) for rule in (old, new))
    for name in sorted({*before, *after}):
        was, becomes = before.get(name), after.get(name)
        if was != becomes:
            yield f"{name} was {_said(was)}, becomes {_said(becomes)}"


def _all(rule: Rule) -> str:
    table = msgspec.to_builtins(rule)
    common = ("source", "confidence", "assumption")
    ordered = {"kind": table.pop("kind"), **{name: value for name, value in table.items() if name not in common}}
    ordered |= {name: table[name] for name in common if table[name]}
    return "; ".join(f"{name} {_said(value)}" for name, value in ordered.items() if name not in ("id", "applies_by"))


def _manifest(old: Pack, new: Pack) -> Iterator[str]:
    before, after = (msgspec.to_builtins(pack.manifest) for pack in (old, new))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"pack.toml: {name} was {_said(before.get(name))}, becomes {_said(after.get(name))}"


def _series(old: Pack, new: Pack) -> Iterator[str]:
    for code in sorted({*old.series, *new.series}):
        before = {(one.effective_from, one.published_on): one.value for one in _points(old, code)}
        after = {(one.effective_from, one.published_on): one.value for one in _points(new, code)}
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                yield f"series {code} from {key[0]}: was {_said(before.get(key))}, becomes {_said(after.get(key))}"


def _points(pack: Pack, code: str) -> tuple[SeriesPoint, ...]:
    return pack.series[code].points if code in pack.series else ()


def _tables(old: Pack, new: Pack) -> Iterator[str]:
    for code in sorted({*old.tables, *new.tables}):
        before = old.tables[code].rows if code in old.tables else {}
        after = new.tables[code].rows if code in new.tables else {}
        for key in sorted({*before, *after}):
            was, becomes = dict(before.get(key, {})), dict(after.get(key, {}))
            if was != becomes:
                changed = [name for name in sorted({*was, *becomes}) if was.get(name) != becomes.get(name)]
                told = "; ".join(
                    f"{name} was {_said(was.get(name))}, becomes {_said(becomes.get(name))}" for name in changed
                )
                yield f"table {code}, {' '.join(key)}: {told}"


def _files(old: Pack, new: Pack) -> Iterator[str]:
    for path in sorted({*old.files, *new.files}):
        if path.startswith(_OF_THEMSELVES) and old.files.get(path) != new.files.get(path):
            state = "new" if path not in old.files else "gone" if path not in new.files else "changed"
            yield f"{path}: {state}"


def _said(value: object) -> str:
    if value is None or value == "" or (isinstance(value, list | tuple | Mapping) and not value):
        return "nothing"
    return words(value)
