"""The stem of a word by Porter's algorithm, as Lucene's `PorterStemFilter` gives it.

M. F. Porter, *An algorithm for suffix stripping*, Program 14 (1980), with the two departures of the author's own
program, which Lucene follows: `bli` becomes `ble` (the paper: `abli`, `able`), and `logi` becomes `log`. Words of
one or two characters stay. Snowball's `porter` has neither departure and cuts `us` to `u`, so it can't replace this.
Every character but an ASCII vowel is a consonant, digits and accented letters too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
    "logi": "log",
}  # fmt: skip
_STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


def _ending(suffixes: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds the longest of `suffixes` that a word ends with."""
    return re.compile("(?:" + "|".join(sorted(suffixes, key=len, reverse=True)) + r")\Z")


_ENDING_2, _ENDING_3 = _ending(_STEP_2), _ending(_STEP_3)
_ENDING_4 = re.compile(_ending(_STEP_4).pattern + r"|(?<=[st])ion\Z")


def stem(word: str) -> str:
    """Return the stem of a lower-case `word`."""
    if len(word) <= 2:
        return word
    word = _step_1(word)
    word = _replace_ending(word, _ENDING_2, _STEP_2)
    word = _replace_ending(word, _ENDING_3, _STEP_3)
    if (found := _ENDING_4.search(word)) and _measure(word[: found.start()]) > 1:
        word = word[: found.start()]
    measure = _measure(word)
    if word[-1] == "e" and (measure > 1 or (measure == 1 and not _consonant_vowel_consonant(word[:-1]))):
        word = word[:-1]
    return word[:-1] if measure > 1 and word.endswith("ll") else word


def _step_1(word: str) -> str:
    """Remove plural, past tense and -ing; turn a final y into i if a vowel comes before it."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word[-1] == "s" and word[-2] != "s":
        word = word[:-1]
    if word.endswith("eed"):
        word = word[:-1] if _measure(word[:-3]) else word
    elif word.endswith(("ed", "ing")):
        rest = word[: -2 if word[-1] == "d" else -3]
        if "v" in _shape(rest):
            word = _respell(rest)
    if word[-1:] == "y" and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    return word


def _respell(word: str) -> str:
    """Return the spelling of a word from which -ed or -ing was removed."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c":
        return word if word[-1] in "lsz" else word[:-1]
    return word + "e" if _measure(word) == 1 and _consonant_vowel_consonant(word) else word


def _replace_ending(word: str, ending: re.Pattern[str], suffixes: dict[str, str]) -> str:
    found = ending.search(word)
    if found is None or not _measure(word[: found.start()]):
        return word
    return word[: found.start()] + suffixes[found.group()]


def _shape(word: str) -> str:
    """Return v for each vowel, c for each consonant; y is a vowel after a consonant."""
    shape = ""
    for letter in word:
        shape += "v" if letter in "aeiou" or (letter == "y" and shape.endswith("c")) else "c"
    return shape


def _measure(word: str) -> int:
    """Return m of the paper: how often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _consonant_vowel_consonant(word: str) -> bool:
    """Whether *o of the paper holds: the word ends so, and its last letter is none of w, x, y."""
    return len(word) > 2 and _shape(word)[-3:] == "cvc" and word[-1] not in "wxy"
