"""A dialogue of ScienceWorld in a house where things of a kind have swapped their names.

Seven hundred tasks are few enough to be learnt by heart, box by box. In other names the same dialogue can only be followed
by reading: which box, which bulb, which animal, which flower pot, which room off the hallway is what the page and the
task say, and nothing else.
"""

from __future__ import annotations

import re
from random import Random

from eefcore.experts.registry import permuted, retold
from eefcore.types import Trajectory

_COLOURS = {
    "box": "blue green yellow orange purple red",
    "light bulb": "red green violet blue yellow orange",
    "wire": "black orange red blue green yellow",
}
_HATCHED = "giant tortoise|butterfly|parrot|turtle|dove|crocodile|chameleon|blue jay".split("|")
_BORN = "wolf|ant|rabbit|chipmunk|elephant|brown bear|dragonfly|hedgehog|beaver|mouse".split("|")
_ROOMS = "art studio|bedroom|living room|workshop".split("|")  # one door each, to the hallway
_TREES = "apple cherry peach banana lemon avocado".split()

_KINDS: tuple[tuple[str, list[str]], ...] = (
    *((rf"\b(?:{{}})(?= {thing}\b)", colours.split()) for thing, colours in _COLOURS.items()),
    (r"\b(?:{})(?= tree\b)", _TREES),
    (r"\b(?:{})\b", _ROOMS),
    (r"(?<=flower pot )(?:{})\b", list("123456789")),
    (r"(?<=unknown substance )(?:{})\b", list("BCDEFGHIJKLMNOPQRSTUVWXYZ")),
)
_ANIMALS = ((r"\b(?:{})\b", _HATCHED), (r"\b(?:{})\b", _BORN))
"""Not in tasks about life spans, where the name is what there is to know."""


def renamed(trajectory: Trajectory, rng: Random) -> Trajectory:
    """The trajectory with the names of each kind of thing permuted, in everything that was seen and said."""
    history = trajectory.history
    asked = history.steps[0].observation if history.steps else history.observation
    kinds = _KINDS if "life s" in asked else (*_KINDS, *_ANIMALS)
    swaps = [(_pattern(pattern, names), permuted(names, rng)) for pattern, names in kinds]

    def swapped(text: str) -> str:
        for pattern, names in swaps:
            text = pattern.sub(lambda found, to=names: to[found[0]], text)  # type: ignore[misc]
        return text

    return retold(trajectory, swapped)


def _pattern(pattern: str, names: list[str]) -> re.Pattern[str]:
    return re.compile(pattern.format("|".join(sorted(names, key=len, reverse=True))))
