"""The nouns of a product's title, which the reward compares to judge whether it is the right kind of thing.

The official engine asks spaCy for tokens tagged NOUN or PROPN: `en_core_web_lg` until May 2024,
`en_core_web_sm` since. Those models are not on PyPI. Every environment card says which tagger was used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from eefcore.errors import DataError

_SMALL = """
    a all an and are as at be best by for from great in into is it its more new no non not of off on or our
    out per s the this to up us use very with without you your
"""


class NounTagger(Protocol):
    """Finds nouns. Repetitions are kept: the score divides by their number."""

    name: str
    """For the environment card."""

    def __call__(self, text: str) -> list[str]:
        """The nouns of `text` in lower case, in reading order."""


class Letters:
    """Words of letters alone, but for small ones: the substitute where spaCy's models are out of reach.

    On titles scored by the real engine the class of r_type is the same and the title score within 0.06: a
    title holds little but nouns, and the rest is mostly numbers, sizes and the words left out here.
    """

    name = "letters"
    _word = re.compile(r"(?<!\w)[^\W\d_]+(?!\w)")
    _small = frozenset(_SMALL.split())

    def __call__(self, text: str) -> list[str]:
        """The words of `text` that are not small."""
        return [word for word in self._word.findall(text.lower()) if word not in self._small]


class Spacy:
    """Tokens tagged NOUN or PROPN by a spaCy model, as the official engine has it.

    Raises:
        DataError: spaCy or the model is not installed.
    """

    def __init__(self, model: str) -> None:
        self.name = model
        self._parse = self._loaded(model)

    def __call__(self, text: str) -> list[str]:
        """The nouns of `text`."""
        return [token.text.lower() for token in self._parse(text) if token.pos_ in ("NOUN", "PROPN")]

    @staticmethod
    def _loaded(model: str) -> Callable[[str], list]:
        try:
            import spacy

            return spacy.load(model)
        except (ImportError, OSError) as e:
            raise DataError(
                f"noun tagger {model!r} is not installed ({e}); `pip install eefcore[spacy]` and "
                f"`python -m spacy download {model}`, or use tagger='letters'"
            ) from e


def tagger_named(name: str) -> NounTagger:
    """`letters`, or a spaCy model by its name (`en_core_web_sm`, `en_core_web_lg`)."""
    return Letters() if name == Letters.name else Spacy(name)
