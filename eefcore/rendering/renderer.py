"""Render histories as token ids, by one format and one tokenizer; spans of actions are recorded while rendering."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import zip_longest
from string import ascii_letters
from typing import Any, NamedTuple

from eefcore.errors import FormatError, PolicyError
from eefcore.protocols import Reply
from eefcore.rendering.formats import Format, Piece, load_format
from eefcore.rendering.special_tokens import SpecialTokens
from eefcore.storage.hashing import digest
from eefcore.types import History, Step, StopReason
from eefcore.unicode import well_formed


class Encoded(NamedTuple):
    """A history h_t as token ids; `spans[i]` is the span of a_i, its end mark included."""

    tokens: list[int]
    spans: list[tuple[int, int]]


class Renderer:
    """Render histories as token ids, by one format and one tokenizer.

    Only what the format writes itself can become a special token (`eefcore.rendering.special_tokens`). The pieces of a
    dialogue are encoded one by one, each as it reads after what stands before it, so that their ids are those of the
    whole dialogue. Where a tokenizer joins the last sign of a prompt with an action's first (`:search`), the policy
    writes that sign too. A tokenizer without a mark for the beginning or the end of a text (`policies.tiny`) has learnt
    the pieces as they are, and reads them so.

    Raises:
        PolicyError: the ids of the pieces are other ones than those of the whole dialogue.
    """

    def __init__(self, tokenizer: Any, format: Format) -> None:
        self.tokenizer, self.format = tokenizer, format
        self.ids = lru_cache(maxsize=1 << 16)(self._ids)
        self._missing_end = lru_cache(maxsize=1 << 16)(self._find_missing_end)
        self._format_action = getattr(format, "action_text", str)
        self._lead: str = getattr(format, "lead", "")
        self._shared = ""  # what of a prompt's end the policy writes, as a tokenizer joins it with the action
        self._before_action = self._before_page = ""  # the ends of texts that actions and later pages follow
        bos, eos = (getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "eos"))
        adds_bos = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
        self._head = (bos,) if adds_bos else ()
        if bos is not None or eos is not None:
            self._find_borders()

    @cached_property
    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens of the tokenizer, which no page and no action may bring in."""
        return SpecialTokens(self.tokenizer, self.format)

    @cached_property
    def fingerprint(self) -> str:
        """Return what tells whether ids of an action are valid here: a hash of the vocabulary and of how an action is written."""
        vocabulary = sorted(self.tokenizer.get_vocab().items())
        return digest(json.dumps([vocabulary, self._lead, self.format.end]))[:12]

    def encode(self, history: History) -> Encoded:
        """Return the ids of h_t: all that a policy has read and written when it must write a_t.

        Raises:
            FormatError: the format can't show an action or a page of it again.
        """
        tokens, spans = list(self._head), []
        for i, (text, action) in enumerate(self._pieces(self.special_tokens.quote_history(history))):
            if action is None:
                ids = self.ids(text, self._before_page if i else "")
                # A chat template writes its own opening mark.
                tokens += ids[1:] if not i and self._head and ids[:1] == self._head else ids
            else:
                ids = self.action_ids(history.steps[action])
                spans.append((len(tokens), len(tokens) + len(ids)))
                tokens += ids
                tokens += self._missing_end(self.sampled_ids(history.steps[action]))
        return Encoded(tokens, spans)

    def sampled_ids(self, step: Step) -> tuple[int, ...]:
        """Return the ids that were sampled for a_t; none if it was not, or by an expert with another tokenizer or end mark."""
        return step.tokens if not step.tokenizer or step.tokenizer == self.fingerprint else ()

    def action_ids(self, step: Step) -> tuple[int, ...]:
        """Return the ids of a_t with its end mark: those that were sampled, if they are this tokenizer's.

        Raises:
            FormatError: an action that was not sampled is blank, or holds the end mark.
        """
        if ids := self.sampled_ids(step):
            return ids
        text, end = self.special_tokens.quote(self.action_text(step)), self.format.end
        if not text.strip() or end in text:
            reason = f"holds {end!r}, which ends actions" if text.strip() else "is blank"
            raise FormatError(f"{self._name}: the action {step.action[:80]!r} {reason}; {self._advice}")
        return self.ids(self._lead + text + end, self._before_action)

    def action_text(self, step: Step) -> str:
        """Return the text of a_t: as it was sampled, or else as the format writes it (some templates trim it)."""
        return step.action if self.sampled_ids(step) else self._format_action(step.action)

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
        """Return the action that sampled `tokens` spell, without its end mark or other special tokens that ended it."""
        marks, n, end = self.special_tokens.ids.values(), len(tokens), self.format.end
        while n and tokens[n - 1] in marks:
            n -= 1
        text = self.tokenizer.decode(tokens[:n], skip_special_tokens=False).split(end, 1)[0]
        blank = end[: -len(end.lstrip())] if end.strip() else ""  # `</s>` above was the rest of ` </s>`
        return text.removesuffix(blank).removeprefix(self._lead)

    def refuse(self, tokens: Sequence[int], logps: Sequence[float], stop: StopReason) -> Reply:
        """Return the reply to sampled `tokens` that hold no action; what they spell is kept to be read."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=False)
        return Reply("", tuple(tokens), tuple(logps), stop, refused_answer=text)

    def _pieces(self, history: History) -> list[Piece]:
        """Return the pieces of h_t, the prompts without the sign that the policy writes."""
        pieces = self.format.pieces(history)
        return [
            Piece(piece.text.removesuffix(self._shared))
            if piece.action is None and (after is None or after.action is not None)
            else piece
            for piece, after in zip_longest(pieces, pieces[1:])
        ]

    def _ids(self, text: str, after: str = "") -> tuple[int, ...]:
        """Return the ids of `text` where it stands after `after`.

        Raises:
            FormatError: the tokenizer joins the two.
        """
        both = well_formed(after + text)
        if self.special_tokens.has_stand_ins(both):
            ids = self.special_tokens.encode(both)
        else:
            ids = tuple(self.tokenizer(both, add_special_tokens=False)["input_ids"])
        before = self.ids(after) if after else ()
        if ids[: len(before)] != before:
            raise FormatError(
                f"{self._name}: the tokenizer joins {after!r} with what follows it, {text[:40]!r}, so the ids of the "
                f"dialogue in pieces are other ones than those of the whole; {self._advice}"
            )
        return ids[len(before) :]

    def _find_borders(self) -> None:
        """Find what actions and pages follow, and check that a plain dialogue has the same ids in pieces and as a whole."""
        history = History("", "o", (Step("o", "look"), Step("o", "look")))
        prompt = self.format.pieces(history)[-1].text
        self._before_action = self._end_of(prompt)
        self._before_page = self._end_of(self.format.end)
        if any(self._joins(self._before_action, self._lead + letter) for letter in ascii_letters):
            self._shared, self._lead = prompt[-1], prompt[-1] + self._lead
            self._before_action = self._end_of(prompt[:-1])
        texts = [
            text if action is None else self._lead + text + self.format.end
            for text, action in self._pieces(history)
        ]
        whole = self.ids("".join(texts))
        whole = whole if whole[:1] == self._head else (*self._head, *whole)
        try:
            ids = tuple(self.encode(history).tokens)
        except FormatError as error:
            raise PolicyError(str(error)) from error
        if ids != whole:
            k = next(k for k, pair in enumerate(zip_longest(ids, whole)) if pair[0] != pair[1])
            pieces, text = (
                self.tokenizer.convert_ids_to_tokens(some[max(0, k - 2) : k + 3]) for some in (ids, whole)
            )
            raise PolicyError(
                f"{self._name}: expected the ids of a dialogue in pieces to be those of the whole, got {pieces} in "
                f"pieces and {text} in the whole; {self._advice}"
            )

    def _joins(self, before: str, text: str) -> bool:
        try:
            self.ids(text, before)
        except FormatError:
            return True
        return False

    def _end_of(self, text: str) -> str:
        """Return the last characters of a text, which decide how what follows is encoded; no special token is cut in two."""
        cut = max(0, len(text) - 16)
        for mark in self.special_tokens.ids:
            start = text.find(mark, max(0, cut - len(mark) + 1), cut + len(mark) - 1)
            cut = start if start >= 0 else cut
        return text[cut:]

    def _find_missing_end(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Return the ids of the end mark if sampled `tokens` end by another of the model's marks: later turns show it."""
        end = self.format.end
        if not tokens or (end.strip() or end) in self.tokenizer.decode(tokens, skip_special_tokens=False):
            return ()
        return self.ids(end)

    @property
    def _name(self) -> str:
        model = getattr(self.tokenizer, "name_or_path", "") or "this tokenizer"
        return f"format {self.format.name} of {model}"

    @property
    def _advice(self) -> str:
        has_template = getattr(self.tokenizer, "chat_template", None) and "chat" not in self.format.name
        return f"use format: {'chat' if has_template else 'agentlite'}, or one of your own"


def make_renderer(tokenizer: Any, format: str, template_args: str | None = None) -> Renderer:
    """Return the renderer of a tokenizer and the format of that name, with arguments for its chat template if it has one."""
    return Renderer(tokenizer, load_format(format, tokenizer, template_args))
