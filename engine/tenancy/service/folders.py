"""Packs read from folders, and what of a pack only libraries can judge: calendars, phone countries, locales, catalogues."""

import string
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import phonenumbers
from babel.core import Locale, UnknownLocaleError
from babel.messages.catalog import Message
from babel.messages.pofile import PoFileError, read_po
from holidays.registry import EntityLoader

from engine.kernel.rules import Rule
from engine.tenancy.errors import PackErrors, PackProblem
from engine.tenancy.rules.decoding import shown
from engine.tenancy.rules.packs import MANIFEST, Pack, PackFiles, decode_pack, is_demo

_CALENDARS = frozenset(EntityLoader.get_country_codes(include_aliases=False))
"""Countries whose public holidays are known: by the list alone, since asking the library of each loads all their calendars."""
LARGEST_PACK = 16 * 1024 * 1024
"""Bytes a pack may hold in all, the demo's files left out: it is held in memory and stored with each version."""


def load_pack(path: Path, kinds: Sequence[type[Rule]]) -> Pack:
    """Return the pack in the folder `path`; its examples are not run (`check_pack` runs them).

    Raises:
        PackErrors: everything that is wrong with the pack, at once.

    """
    pack, problems = read_pack(path, kinds)
    if pack is None:
        raise PackErrors.of(path.resolve().name, problems)
    return pack


def read_pack(path: Path, kinds: Sequence[type[Rule]]) -> tuple[Pack | None, list[PackProblem]]:
    """Return the pack in a folder, or None, and everything that is wrong with it."""
    files, problems = _read_folder(path)
    pack, found = decode_stored(path.resolve().name, files, kinds)
    problems.extend(found)
    return (None if problems else pack), problems


def decode_stored(code: str, files: PackFiles, kinds: Sequence[type[Rule]]) -> tuple[Pack | None, list[PackProblem]]:
    """Return the pack that files say, wherever they come from, or None, and everything that is wrong with them."""
    pack, problems = decode_pack(code, files, kinds)
    problems.extend(_catalogue_problems(files))
    if pack is not None:
        problems.extend(_outside_problems(pack))
    return (None if problems else pack), problems


def pack_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the folders of packs: those given that are packs themselves, and all inside those that are not.

    Raises:
        PackErrors: a folder is not there, or holds no pack.

    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise PackErrors.of(str(folder), [PackProblem("", "", "is no folder")])
        if (folder / MANIFEST).is_file():
            found.append(folder)
            continue
        inside = sorted(one for one in folder.iterdir() if one.is_dir() and one.name[0] not in "._")
        if not inside:
            raise PackErrors.of(str(folder), [PackProblem("", "", "holds no pack: no folder with a pack.toml")])
        found.extend(inside)
    return found


def _read_folder(path: Path) -> tuple[PackFiles, list[PackProblem]]:
    """Return the files of a pack. Hidden files are passed over; the demo's are named but not read."""
    if not path.is_dir():
        return {}, [PackProblem("", "", f"{path} is no folder")]
    files: dict[str, bytes] = {}
    problems: list[PackProblem] = []
    size = 0
    for one in sorted(path.rglob("*")):
        relative = one.relative_to(path)
        name = relative.as_posix()
        if any(part.startswith(".") for part in relative.parts):
            continue
        if one.is_symlink():
            problems.append(PackProblem(name, "", "is a link; a pack holds its own files"))
        elif one.is_dir():
            continue
        elif is_demo(name):
            if one.suffix in (".py", ".pyc", ".so"):
                problems.append(PackProblem(name, "", "is code; a pack is data only"))
        else:
            size += one.stat().st_size
            if size > LARGEST_PACK:
                problems.append(PackProblem(name, "", f"makes the pack larger than {LARGEST_PACK} bytes"))
                break
            files[name] = one.read_bytes()
    return files, problems


def _outside_problems(pack: Pack) -> list[PackProblem]:
    manifest = pack.manifest
    found = []
    if manifest.calendar not in _CALENDARS:
        reason = f"{shown(manifest.calendar)} is not a country whose public holidays are known"
        found.append(PackProblem(MANIFEST, "calendar", reason))
    if manifest.phone_country not in phonenumbers.SUPPORTED_REGIONS:
        reason = f"{shown(manifest.phone_country)} is not a country whose telephone numbers are known"
        found.append(PackProblem(MANIFEST, "phone_country", reason))
    for language, name in manifest.locales.items():
        try:
            Locale.parse(name.partition("-u-")[0])
        except (UnknownLocaleError, ValueError):
            found.append(PackProblem(MANIFEST, f"locales.{language}", f"{shown(name)} is not a locale that CLDR knows"))
    return found


def _catalogue_problems(files: PackFiles) -> list[PackProblem]:
    """Return what is wrong with the pack's own words: unreadable, or with other placeholders than the engine's."""
    return [
        problem
        for path, content in sorted(files.items())
        if path.startswith("locales/") and path.endswith(".po")
        for problem in _problems_in(path, content)
    ]


@lru_cache(maxsize=512)
def _problems_in(path: str, content: bytes) -> tuple[PackProblem, ...]:
    """Return what is wrong with a catalogue: kept, since the versions of a pack have most files in common."""
    try:
        catalogue = read_po(BytesIO(content), locale=path.split("/")[1], abort_invalid=True)
    except (PoFileError, UnknownLocaleError, ValueError) as error:
        return (PackProblem(path, "", f"is not a gettext catalogue: {error}"),)
    return tuple(
        problem
        for message in catalogue
        if message.id and message.string
        for problem in _message_problems(path, message)
    )


def _message_problems(path: str, message: Message) -> list[PackProblem]:
    originals = message.id if isinstance(message.id, list | tuple) else (message.id,)
    translations = message.string if isinstance(message.string, list | tuple) else (message.string,)
    key = str(originals[0])
    try:
        allowed = {name for one in originals for name in _placeholders(one)}
        used = {name for one in translations for name in _placeholders(one or "")}
    except ValueError as error:
        return [PackProblem(path, key, f"has a placeholder that cannot be read: {error}")]
    if used == allowed or (len(originals) > 1 and used <= allowed):
        return []
    return [
        PackProblem(
            path,
            key,
            f"has the placeholders {_named(used)} in translation, {_named(allowed)} in the original",
        )
    ]


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def _named(names: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "none"
