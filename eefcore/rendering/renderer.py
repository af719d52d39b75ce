"""Render histories as token ids, by one format and one tokenizer; spans of actions are recorded while rendering."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from eefcore.rendering.formats import Format, load_format
from eefcore.rendering.special_tokens import SpecialTokens
from eefcore.types import History, Step
from eefcore.unicode import well_formed


class Encoded(NamedTuple):
    """h_t as token ids; `spans[i]` is the span of a_i, its end mark included."""

    tokens: list[int]
    spans: list[tuple[int, int]]


class Renderer:
    """Render histories as token ids, by one format and one tokenizer.

    Only what the format writes itself can become a special token (`eefcore.rendering.special_tokens`).
    """

    def __init__(self, tokenizer: Any, format: Format) -> None:
        self.tokenizer, self.format = tokenizer, format
        self.ids = lru_cache(maxsize=1 << 16)(self._ids)
        self._format_action = getattr(format, "action_text", str)
        bos = getattr(tokenizer, "bos_token_id", None)
        adds_bos = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
        self._head = (bos,) if adds_bos else ()
        self._eos = getattr(tokenizer, "eos_token", None) or ""

    @cached_property
    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens of the tokenizer, which no page and no action may bring in."""
        return SpecialTokens(self.tokenizer, self.format)

    def encode(self, history: History) -> Encoded:
        """Return the ids of h_t: all that a policy has read and written when it must write a_t.

        Raises:
            FormatError: the format can't show an action or a page of it again.
        """
        tokens, spans = list(self._head), []
        for text, action in self.format.pieces(self.special_tokens.quote_history(history)):
            if action is None:
                # A chat template writes its own opening mark.
                ids = self.ids(text)
                tokens += ids[1:] if not spans and self._head and ids[:1] == self._head else ids
            else:
                ids = self.action_ids(history.steps[action])
                spans.append((len(tokens), len(tokens) + len(ids)))
                tokens += ids
        return Encoded(tokens, spans)

    def action_ids(self, step: Step) -> tuple[int, ...]:
        """Return the ids of a_t with its end mark: those that were sampled, if any were."""
        return step.tokens or self.ids(self.special_tokens.quote(self.action_text(step)) + self.format.end)

    def action_text(self, step: Step) -> str:
        """Return the text of a_t: as it was sampled, or else as the format writes it (some templates trim it)."""
        return step.action if step.tokens else self._format_action(step.action)

    def length(self, history: History) -> int:
        """Return the number of tokens that are read and written on the way to h_t: its own length if h_t grows.

        If h_t does not grow, a policy with a cache reads each page once, and each action once more.
        """
        if self.format.grows:
            return len(self.encode(history).tokens)
        read = len(self.encode(history.at(0)).tokens)
        for i in range(1, len(history) + 1):
            tokens, spans = self.encode(history.at(i))
            start, stop = spans[-1]
            read += len(tokens) - start + stop - start
        return read

    def decode_action(self, tokens: Sequence[int]) -> str:
        """Return the action that sampled `tokens` spell, without its end mark or the model's own end of text."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=False)
        return text.split(self.format.end, 1)[0].removesuffix(self._eos)

    def _ids(self, text: str) -> tuple[int, ...]:
        text = well_formed(text)
        if self.special_tokens.has_stand_ins(text):
            return self.special_tokens.encode(text)
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def make_renderer(tokenizer: Any, format: str) -> Renderer:
    """Return the renderer of a tokenizer and the format of that name."""
    return Renderer(tokenizer, load_format(format, tokenizer))
