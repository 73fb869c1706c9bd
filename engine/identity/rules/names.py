"""How alike two names are: tolerant of order, spelling and script, and deaf to nothing else. Pure.

A name is taken to words in Latin letters. A pair of words is as alike as its spelling or, where the letters between the
consonants differ only (as scripts without vowels write them), as its consonants. Each word of the shorter name is given the
one of the longer that suits the whole best; what is left over costs, but less than a word that contradicts.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from functools import lru_cache
from itertools import combinations

from anyascii import anyascii
from msgspec import Struct
from rapidfuzz.distance import Indel

WHOLE_BP = 10_000
WORDS_MAX = 8
"""Longer names are cut to so many words: every assignment of words is tried."""

_PARTICLES = frozenset("al el ul bin binti bint ibn ben ould wa na de da do dos das di du la le van von der y".split())
_TITLES = frozenset(
    "mr mrs ms miss dr prof rev hon shri shrimati smt sri alhaji hajia hajj haji sheikh nana mzee".split()
)
_SPELLINGS = (("ph", "f"), ("ck", "k"), ("q", "k"), ("x", "ks"), ("w", "v"), ("z", "s"), ("j", "g"), ("dh", "d"),
              ("th", "t"), ("kh", "k"), ("gh", "g"), ("sh", "s"), ("ch", "s"), ("c", "k"), ("bh", "b"))  # fmt: skip
_INITIAL_BP = 8_500
_SAME_VOWELS_BP = 9_700
_NEAR_VOWELS_BP = 9_400
_OTHER_VOWELS_BP = 8_800
_OTHER_CONSONANTS_BP = 8_600
_UNRELATED_BP = 8_000
_DOUBTFUL_BP = 9_000
_ARABIC = re.compile(r"[\u0600-\u06ff\u0750-\u077f]")
_ARABIC_LAST_H = re.compile(r"ه\b")
_MARKS = dict.fromkeys([*range(0x064B, 0x0660), 0x0640, 0x0670, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0xFEFF])
_ARABIC_VOWELS = str.maketrans(dict.fromkeys("اأإآٱعةى", "a"))


class NameVerdict(StrEnum):
    """What follows from a score."""

    ACCEPT = "accept"
    LOOK = "look"
    REFUSE = "refuse"


class NameThresholds(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Figures of a pack, in basis points: from `accept_bp` on names are the same person's, from `look_bp` on a person decides."""

    accept_bp: int
    look_bp: int

    def __post_init__(self) -> None:
        """Refuse thresholds that leave no order.

        Raises:
            ValueError: they are not 0 <= look <= accept <= 10,000; a pack's reader turns it into a refusal with its place.
        """
        if not 0 <= self.look_bp <= self.accept_bp <= WHOLE_BP:
            raise ValueError("look_bp and accept_bp must be in this order, from 0 to 10000")

    def verdict(self, score_bp: int) -> NameVerdict:
        """Return what follows from a score."""
        if score_bp >= self.accept_bp:
            return NameVerdict.ACCEPT
        return NameVerdict.LOOK if score_bp >= self.look_bp else NameVerdict.REFUSE


def best_score(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Return the best score of any of our names against any of theirs; 0 if there are none.

    Ours are several where a person had another name before (a marriage), theirs where an agency gives one a language.
    """
    return max((score(one, other) for one in ours for other in theirs), default=0)


def score(one: str, other: str) -> int:
    """Return how alike two names are, in basis points: 10,000 for the same words in any order, 0 for nothing in common.

    Symmetric. Above 9,000 every word of the shorter name has its own in the longer. A name without a letter is like nothing.
    """
    shorter, longer = sorted((words(one), words(other)), key=lambda it: (len(it), it))
    if not shorter:
        return 0
    pieces = [longer]
    if len(shorter) < len(longer):
        pieces += [(*longer[:at], longer[at] + longer[at + 1], *longer[at + 2 :]) for at in range(len(longer) - 1)]
    return max(_assigned(*sorted((shorter, each), key=len)) for each in pieces)


def words(name: str) -> tuple[str, ...]:
    """Return the words of a name in small Latin letters, without titles and particles unless nothing else is left."""
    plain = _ARABIC_LAST_H.sub("a", unicodedata.normalize("NFKC", name).translate(_MARKS))
    is_arabic = _ARABIC.search(plain) is not None
    latin = anyascii(plain.translate(_ARABIC_VOWELS)).casefold().replace("'", "").replace("`", "")
    found = re.findall(r"[a-z]+", latin)
    if is_arabic:
        found = [word[2:] if word.startswith("al") and len(word) > 4 else word for word in found]
    kept = [word for word in found if word not in _PARTICLES and word not in _TITLES]
    return tuple((kept or found)[:WORDS_MAX])


def sounds(name: str, born_on: date) -> tuple[str, ...]:
    """Return what names of one person that are spelt otherwise have in common, with their birth date; without repeats.

    Each word by its consonants with the birth date, in which day and month may have changed places, and each two words with
    the year alone. One in common says little: whoever is found by it is looked at.
    """
    heard = sorted({sound for word in words(name) if len(sound := _consonants(word)) > 1})
    year, day = born_on.year, sorted((born_on.month, born_on.day))
    dated = [f"{one}/{year}-{day[0]}-{day[1]}" for one in heard]
    return (*dated, *(f"{one}+{other}/{year}" for one, other in combinations(heard, 2)))


@lru_cache(maxsize=65_536)
def _alike(one: str, other: str) -> int:
    """Return how alike two words are, in basis points."""
    if one == other:
        return WHOLE_BP
    if len(one) == 1 or len(other) == 1:
        return _INITIAL_BP if one[0] == other[0] else 0
    consonants = _consonants(one)
    if len(consonants) > 1 and consonants == _consonants(other):
        return _alike_vowels(_vowels(one), _vowels(other))
    spelled = int(Indel.normalized_similarity(one, other) * WHOLE_BP)
    return min(spelled, _OTHER_CONSONANTS_BP) if spelled >= _UNRELATED_BP else 0


def _alike_vowels(one: str, other: str) -> int:
    """Return how alike two words of the same consonants are by their vowels.

    "e" is written for "i" and for "a", but "a" from "i" tells Jamal from Jamil, from "u" Hassan from Hussein, and a last "a"
    women's names from men's. Within a word "a" is left out by scripts in which it is not written.
    """
    if _collapsed(one.replace("i", "e")) == _collapsed(other.replace("i", "e")):
        return _SAME_VOWELS_BP
    if one.endswith("a") != other.endswith("a"):
        return _OTHER_VOWELS_BP
    if one.replace("a", "") == other.replace("a", ""):
        return _NEAR_VOWELS_BP
    if _collapsed(one.replace("e", "a")) == _collapsed(other.replace("e", "a")):
        return _NEAR_VOWELS_BP
    return _OTHER_VOWELS_BP


@lru_cache(maxsize=65_536)
def _vowels(word: str) -> str:
    """Return the vowels of a word, o as u and y as i, without doubles; a last consonant as a full stop."""
    plain = _collapsed(word.removesuffix("h"))
    found = _collapsed(re.sub(r"[^aeiu]", "", plain.translate(str.maketrans("oy", "ui"))))
    return found if plain[-1:] in "aeiouy" else found + "."


def _collapsed(text: str) -> str:
    return re.sub(r"(.)\1+", r"\1", text)


@lru_cache(maxsize=65_536)
def _consonants(word: str) -> str:
    """Return the consonants of a word by their sound, without doubles; a first vowel as one sign."""
    for written, sounded in _SPELLINGS:
        word = word.replace(written, sounded)
    word = re.sub(r"(?<![aeiou])v(?![aeiou])", "", word) or word  # in Arabic the letter is a vowel between consonants
    first = "a" if word[0] in "aeiou" else word[0]
    return _collapsed(first + re.sub(r"[aeiouyh]", "", word[1:]))


def _assigned(shorter: Sequence[str], longer: Sequence[str]) -> int:
    """Return the score of the best assignment of words.

    A word left over of the longer name weighs a third of a word beside one word, a sixth beside more: a name left out says less than a name that is another.
    """
    best = {
        0: (0, WHOLE_BP)
    }  # words of the longer name that are taken, as bits -> the best sum, and the worst word in it
    for word in shorter:
        after: dict[int, tuple[int, int]] = {}
        for taken, (total, worst) in best.items():
            for place, candidate in enumerate(longer):
                if taken >> place & 1:
                    continue
                alike = _alike(word, candidate)
                key = taken | 1 << place
                after[key] = max(after.get(key, (0, 0)), (total + alike, min(worst, alike)))
        best = after
    total, worst = max(best.values())
    weight = 3 if len(shorter) == 1 else 6
    whole = total * weight // (len(shorter) * weight + len(longer) - len(shorter))
    return whole if worst >= _DOUBTFUL_BP else min(whole, _DOUBTFUL_BP)
