"""Instructions for property tests, and the ways in which data files tell one and the same instruction."""

from __future__ import annotations

from hypothesis import strategies as st

_SPACES = (" ", "  ", "\n", "\r\n", "\t", "\u00a0", " \u2009", "\u3000")
_CASES = (str, str.upper, str.lower, str.title)
_ENDS = ("", ".", "!", " ", "\n", "\u00a0", " .", ".,")


def instructions() -> st.SearchStrategy[list[str]]:
    """Return lists of the words of an instruction; some hold digits, signs, or an accent."""
    word = st.text("abcdeéß018-.'", min_size=1, max_size=6).filter(lambda w: w.strip(".-'"))
    return st.lists(word.map(lambda w: w.strip(".")), min_size=1, max_size=6)


@st.composite
def tellings(draw: st.DrawFn, words: list[str]) -> str:
    """Return `words` with white space, letter case, end and price clause as another file may have them."""
    space = st.sampled_from(_SPACES)
    text = "".join(word + draw(space) for word in words[:-1]) + words[-1]
    price = draw(st.none() | st.integers(1, 99))
    clause = "" if price is None else f", and price lower than {10 * price}.00 dollars"
    return (
        draw(st.sampled_from(_CASES))(text)
        + draw(st.sampled_from(_ENDS))
        + clause
        + draw(st.sampled_from(_ENDS))
    )
