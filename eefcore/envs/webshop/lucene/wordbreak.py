"""Split a text into words as Lucene 8.11's `StandardTokenizer` does: Unicode's UAX#29, and emoji sequences (UTS #51).

    wi-fi 3,000.5mm        wi · fi · 3,000.5mm     comma and point join digits, and digits join letters
    women's size:large     women's · size:large    apostrophe, colon and point join letters
    a_b tea ™ ★ 👍🏽         a_b · tea · ™ · ★ · 👍🏽   emoji in Lucene's sense are words

Each character is replaced by one letter for its class (the left column of `_CLASSES`), and one regular
expression over those letters finds the words; a text of ASCII alone has an expression of its own, several times faster.

Lucene 8.11 knows Unicode 9 and Emoji 11. `_SINCE`, `_CHANGED` and the emoji lists undo what was added or changed later,
so that every code point has the class that it has in Lucene.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

import regex

LONGEST = 255
"""Characters (UTF-16 units) in a word, at most; longer words are cut."""

_SINCE = """
B8 2C2-2C5 2D2-2D6 2DE-2DF 2E5-2EB 2ED 2EF-2FF 558 55A-560 588 58A-58C 5C8-5C9 5EF 7FD 860-89F 8B5 8BE-8D3 9FC-9FE
AFA-AFF B53-B55 C04 C3C C5C-C5D CDC-CDD CF3-D00 D04 D3B-D3C D81 E86 E89 E8C E8E-E93 E98 EA0 EA8-EA9 EAC EBA ECE 170D
1715-171F 180F 1878 1ABF-1AF0 1B4C 1C89-1CBF 1CF7 1CFA 1DF6-1DFA 208F 209D-209F 2C2F 2C5F 312E-312F 31BB-31BF
4DB6-4DBF 9FD6-9FFF A708-A716 A720-A721 A789-A78A A7AF A7B8-A7F6 A82C A8FE-A8FF AB5B AB66-AB6D 1032D-1032F
10570-105F3 10780-107BF 10940-10959 10A34-10A35 10D00-10FF6 11070-11075 110C2-110CD 11144-11147 111C9 111CE-111CF
1123F-11241 1133B 11380-113E2 1145E-11461 116B8 116D0-116E3 1171A 11740-1183A 11900-11ABF 11B0A-11BF9 11D00-11FB0
1246F-1247F 12550-12FF0 1342F-143FA 16100-16139 16A70-16AC9 16D40-16ED3 16F45-16F4F 16F7F-16F87 16FE1-16FF6
1AFF0-1AFFE 1B002-1B168 1CCF0-1D128 1D250-1D281 1D6A6 1DF00-1DFFF 1E030-1E7FE 1E94B 1FBF0-1FBF9 2A6D7-2A6DF
2B735-2B73F 2B81E 2CEA2-2EE5D 30000-3FFFF
"""  # code points that join words in later Unicode, and do not in Lucene

_EMOJI = """
A9 AE 203C 2049 2122 2194-2199 21A9-21AA 231A-231B 2328 2388 23CF 23E9-23F3 23F8-23FA 25AA-25AB 25B6 25C0 25FB-25FE
2600-2605 2607-2612 2614-2685 2690-2705 2708-2712 2714 2716 271D 2721 2728 2733-2734 2744 2747 274C 274E 2753-2755
2757 2763-2767 2795-2797 27A1 27B0 27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55 3030 303D 3297 3299 1F000-1F0FF
1F10D-1F10F 1F12F 1F16C-1F16F 1F18E 1F191-1F19A 1F1AD-1F1E5 1F201-1F20F 1F21A 1F22F 1F232-1F23A 1F23C-1F23F
1F249-1F3FA 1F400-1F53D 1F546-1F64F 1F680-1F6FF 1F774-1F77F 1F7D5-1F7FF 1F80C-1F80F 1F848-1F84F 1F85A-1F85F
1F888-1F88F 1F8AE-1F8FF 1F90C-1F93A 1F93C-1F945 1F947-1FFFD
"""  # Extended_Pictographic of Emoji 11, without letters and modifiers

_TAKES_MODIFIER = """
261D 26F9 270A-270D 1F385 1F3C2-1F3C4 1F3C7 1F3CA-1F3CC 1F442-1F443 1F446-1F450 1F466-1F469 1F46E 1F470-1F478 1F47C
1F481-1F483 1F485-1F487 1F4AA 1F574-1F575 1F57A 1F590 1F595-1F596 1F645-1F647 1F64B-1F64F 1F6A3 1F6B4-1F6B6 1F6C0
1F6CC 1F918-1F91C 1F91E-1F91F 1F926 1F930-1F939 1F93D-1F93E 1F9B5-1F9B6 1F9B8-1F9B9 1F9D1-1F9DD
"""  # Emoji_Modifier_Base of Emoji 11

_CHANGED = {
    **dict.fromkeys("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2\U000110bd", "x"),  # format
    **dict.fromkeys("\u1cf2\u1cf3", "x"),  # marks
    **dict.fromkeys("\ufe10\ufe14", ","),
    "\u02d7": ":",
    "\u19da": "s",
}

_CLASSES = {
    "z": "\u200d",  # zero-width joiner
    "w": "\ufe0f",  # shows the sign before it as an emoji
    "v": "\ufe0e",  # shows it as text
    "q": "\u20e3",  # the key cap
    "t": "[\U000e0020-\U000e007e]",  # emoji tags
    "T": "\U000e007f",  # end of the tags
    "m": "[\U0001f3fb-\U0001f3ff]",  # skin tones
    "l": "[\u2139\u24c2\U0001f170\U0001f171\U0001f17e\U0001f17f]",  # letters that are emoji
    "r": r"\p{WB=Regional_Indicator}",
    "S": r"[\p{LB=SA}&&[\p{WB=Extend}\p{WB=Format}]]",
    "s": r"\p{LB=SA}",  # scripts without spaces: Thai, Lao, Khmer, …
    "x": r"[\p{WB=Extend}\p{WB=Format}]",
    "h": r"\p{WB=Hebrew_Letter}",
    "a": r"\p{WB=ALetter}",
    "d": "[0-9]",
    "n": "[\\p{WB=Numeric}\uff10-\uff19]",
    "k": r"\p{WB=Katakana}",
    "_": r"\p{WB=ExtendNumLet}",
    "'": "'",
    '"': '"',
    ":": r"\p{WB=MidLetter}",
    ".": r"\p{WB=MidNumLet}",
    ",": r"\p{WB=MidNum}",
    "i": r"[\p{Script=Han}\p{Script=Hiragana}]",  # one character, one word
    "#": "[#*]",
}  # the first that matches; b is an emoji that takes a skin tone, e another emoji, blank any other character

_TESTS = [(name, regex.compile(f"(?V1){pattern}")) for name, pattern in _CLASSES.items()]


def _bounds(ranges: str) -> list[int]:
    """Return starts and ends (exclusive) of ranges, in order: where `bisect_right` is odd, a code point is inside."""
    bounds = []
    for item in ranges.split():
        first, _, last = item.partition("-")
        bounds += [int(first, 16), int(last or first, 16) + 1]
    return bounds


_since, _emoji, _takes_modifier = map(_bounds, (_SINCE, _EMOJI, _TAKES_MODIFIER))


class _Classes(dict[int, str]):
    """Maps a code point to the letter of its class; filled on demand."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char in _CHANGED:
            found = _CHANGED[char]
        elif bisect_right(_emoji, code) % 2:
            found = "b" if bisect_right(_takes_modifier, code) % 2 else "e"
        elif bisect_right(_since, code) % 2:
            found = " "
        else:
            found = next((name for name, test in _TESTS if test.match(char)), " ")
        self[code] = found
        return found


_classes = _Classes()

# The scanner's rules, in classes. Nearly every loop is possessive: it never needs to give back what it matched, so
# that no text takes long, whatever it holds.


def _word_pattern() -> str:
    follow = "[xzwvqtTS]*+"  # marks stay with the character before them (WB4)
    bare = "[xzqtTS]*+"  # the same in an emoji, where the rules name presentation selectors themselves
    letter, hebrew, digit = f"[alh]{follow}", f"h{follow}", f"[dn]{follow}"
    kana, joiner = f"k{follow}", f"_{follow}"
    between_letters, between_digits = f"[:.']{follow}", f"[,.']{follow}"
    marked = f"{hebrew}(?:'{follow}|\"{follow}{hebrew})"
    kanas = f"{kana}(?:(?:{joiner})*+{kana})*+"
    digits = f"{digit}(?:(?:(?:{joiner})*+|{between_digits}){digit})*+"
    letters = f"{letter}(?:(?:{joiner})*+(?!{marked}){letter}|{between_letters}{letter})*+"
    body = f"(?:{kanas}|(?:{marked}|{digits}|{letters})++)"
    word = f"(?:(?<!_)(?:{joiner})++)?+{body}(?:(?:{joiner})++{body})*+(?:{joiner})*+"
    sign = f"b{bare}m{bare}|[ebl]{bare}w?+"
    toned = f"m{bare}"
    emoji = f"(?:{toned}|z*+(?:{sign}))(?:z*+(?<=z)(?:{toned}|{sign}))*+(?:t++T)?+"
    key = "[d#][xzqtTS]*w?q[xzqtTS]*+"
    flag = f"r{follow}r{follow}"
    longer = f"(?=(?:l{bare}w?+z*+(?<=z))++[ebm])(?:{emoji})"  # an emoji that begins with a letter and goes on beyond it
    return f"{longer}|{word}|{emoji}|{key}|{flag}|(?:[sS]{follow})++|i{follow}"


_WORD = re.compile(_word_pattern())
_FOREIGN = re.compile(
    r"(?<![\x21-\x7e])[\x21-\x7e]*+[^\x00-\x7f][^\x00-\x20]*+"
)  # between blanks, not all ASCII
_NO_JOINER = re.compile("[^_xzwvqtTS]")
_ASCII_WORD = re.compile(
    r"(?:(?<!_)_++)?+[^\W_]\w*+(?:(?:(?<=[A-Za-z])[:.'](?=[A-Za-z])|(?<=[0-9])[.,;'](?=[0-9]))\w++)*+",
    re.ASCII,
)


def words(text: str) -> list[str]:
    """Return the words of `text`, in order."""
    if text.isascii():
        found = _ASCII_WORD.findall(text)
    else:
        found, at = [], 0
        for match in _FOREIGN.finditer(text):
            found += _ASCII_WORD.findall(text, at, match.start())
            part, at = match.group(), match.end()
            found += [
                part[start:end] for start, end in map(re.Match.span, _WORD.finditer(part.translate(_classes)))
            ]
        found += _ASCII_WORD.findall(text, at)
    if max(map(len, found), default=0) * 2 > LONGEST and any(_units(word) > LONGEST for word in found):
        return list(_cut(text, text.translate(_classes)))
    return found


def _cut(text: str, classes: str) -> Iterator[str]:
    """Yield the words of a text that has long ones, which Lucene's scanner reads through a window of `LONGEST`."""
    while text:
        end = len(text)
        for match in _WORD.finditer(classes):
            if _units(text[match.start() : match.end()]) > LONGEST:
                start = match.start()
                window = _WORD.match(classes[start : start + _fitting(text[start : start + LONGEST])])
                if window:
                    yield text[start : (end := start + window.end())]
                else:  # joiners alone: the word that they belong to begins beyond the window
                    body = _NO_JOINER.search(classes, start)
                    assert body is not None  # `_WORD` matches no joiners alone
                    end = max(start + 1, body.start() - LONGEST + 1)
                break
            yield text[match.start() : match.end()]
        text, classes = text[end:], classes[end:]


def _fitting(text: str) -> int:
    """Return how many characters of `text` fit the window, whole ones only."""
    fits = len(text)
    while _units(text[:fits]) > LONGEST:
        fits -= 1
    return fits


def _units(text: str) -> int:
    """Return the length in characters as Java counts them: those beyond U+FFFF are two."""
    return len(text) if text.isascii() else len(text) + sum(c > "\uffff" for c in text)
