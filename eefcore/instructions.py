"""Compare instructions by their words, so that two wordings of one task count as one task.

Splits (`envs.webshop.splits`), the check for leaks (`selection.leakage`) and the import of foreign trajectories all ask here.
"""

import re
import unicodedata

_PRICE = re.compile(r",? and price lower than .*")


def instruction_key(instruction: str) -> str:
    """Return the words of an instruction; two instructions with equal keys ask for the same thing.

    No part of the key: letter case, the kind and amount of white space (no-break spaces and line breaks among it),
    compatibility forms of characters (full-width letters, ligatures), the price clause that WebShop draws for a goal, and
    punctuation at the two ends.
    """
    words = " ".join(unicodedata.normalize("NFKC", instruction).casefold().split())
    return _PRICE.sub("", words).strip(" .,;:!?")
